"""Frozen dataclasses that are quick to make."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")


def quick_init(cls: type[T]) -> type[T]:
    """Replaces the `__init__` of a frozen dataclass by one of the same signature that takes a third of the time.

    The generated one sets every field through `object.__setattr__`, which for the records of an environment's step
    comes to a fifth of the step. This one writes into the instance's dictionary. Everything else stays as it is: the
    instances are frozen, compared, copied and pickled as before.

    Args:
        cls: A frozen dataclass without slots and `__post_init__`, whose fields are all given to `__init__`
            and none of which is called `self`, `into` or `unset`.
    """
    parameters, body = [], ["into = self.__dict__"]
    names: dict[str, Any] = {"unset": MISSING}
    for field in fields(cls):  # type: ignore[arg-type]  # mypy does not know that it is a dataclass
        parameter, value = field.name, field.name
        if field.default is not MISSING:
            parameter, names[f"default_{field.name}"] = f"{field.name}=default_{field.name}", field.default
        elif field.default_factory is not MISSING:
            parameter, names[f"make_{field.name}"] = f"{field.name}=unset", field.default_factory
            value = f"make_{field.name}() if {field.name} is unset else {field.name}"
        parameters.append(parameter)
        body.append(f"into[{field.name!r}] = {value}")
    program = f"def __init__(self, {', '.join(parameters)}):\n " + "\n ".join(body)
    exec(program, names)
    made = names["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    made.__annotations__ = cls.__init__.__annotations__
    cls.__init__ = made  # type: ignore[method-assign]
    return cls
