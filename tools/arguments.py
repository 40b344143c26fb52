"""Checks a call's arguments against the function's JSON schema.

Every call passes through here before its tool sees it, so that a tool may rely on its schema. The keywords are those
that function schemas use: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`, `anyOf`,
`oneOf`, `allOf`, and `$ref` into the schema itself. Other keywords (bounds, patterns, formats) are left to the tool:
`@tool` functions check them with pydantic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
    ),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "array": lambda value: isinstance(value, list | tuple),
    "object": lambda value: isinstance(value, Mapping),
}

_PLAIN: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_JUDGING = frozenset({"const", "enum", "allOf", "anyOf", "oneOf", "$ref"})
"""Keywords that judge a value of any type."""

DEEPEST = 64
"""Levels of objects and arrays that arguments may have."""
_SCALAR = (str, int, float, type(None))

_MAXIMUM_SHOWN = 60
_MAXIMUM_REFERENCES = 100


class ArgumentCheck:
    """Checks the arguments of one function, most of them at a glance.

    A schema whose arguments are plain scalars is kept as the Python types that it takes. Arguments of exactly these
    types fit; any others are judged by `find_fault`, as are all arguments of a schema that says more.

    Args:
        schema: JSON schema of an object.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._types = _plain_types(schema)
        self._required = frozenset(schema.get("required", ()))

    def takes_text(self, name: str) -> bool:
        """Whether any text fits, given alone as the argument of that name."""
        return self._types is not None and str in self._types.get(name, ()) and self._required <= {name}

    def find_fault(self, arguments: object) -> str | None:
        """Looks for the first reason why arguments do not fit, as the function `find_fault` does."""
        types = self._types
        if type(arguments) is dict and types is not None and self._required <= arguments.keys():
            for name, value in arguments.items():
                if type(value) not in types.get(name, ()):
                    break
            else:
                return None
        try:
            return find_fault(self._schema, arguments)
        except RecursionError:
            return "they are nested too deeply"


def find_fault(schema: Mapping[str, Any], arguments: object) -> str | None:
    """Looks for the first reason why arguments do not fit a schema.

    Args:
        schema: JSON schema of an object.
        arguments: What the model wrote: should be a mapping, may be anything.

    Returns:
        The reason as one line for the model, or None when the arguments fit.
    """
    return _fault(schema, arguments, "", schema)


def nests_too_deeply(arguments: object) -> bool:
    """Whether objects and arrays stand in each other more than `DEEPEST` levels deep.

    Whoever copies, pickles or writes down such arguments goes as deep, and Python stops at some depth.
    """
    if type(arguments) is dict:  # nearly all are flat, and every call passes here
        for item in arguments.values():
            if type(item) is not str and not isinstance(item, _SCALAR):
                break
        else:
            return False
    level: list[Any] = [arguments]
    for _ in range(DEEPEST):
        inner = [one.values() if isinstance(one, Mapping) else one for one in level]
        level = [item for items in inner for item in items if isinstance(item, list | tuple | Mapping)]
        if not level:
            return False
    return True


def describe(value: object) -> str:
    """Names a value in an error message: scalars by a short repr, containers by their type (they may be huge)."""
    if value is None or isinstance(value, bool | int | float | str):
        try:
            shown = repr(value)
        except ValueError:  # an int with more digits than Python converts
            return "a very large number"
        if len(shown) > _MAXIMUM_SHOWN:
            shown = shown[:_MAXIMUM_SHOWN] + "..."
        return shown
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "an array"
    return f"a {type(value).__name__}"


def _plain_types(schema: Mapping[str, Any]) -> dict[str, tuple[type, ...]] | None:
    """The types that surely fit each argument; None where a schema judges by more than plain types."""
    if schema.get("type", "object") != "object" or _JUDGING & schema.keys():
        return None
    types = {}
    for name, one in schema.get("properties", {}).items():
        declared = one.get("type") if isinstance(one, Mapping) else None
        if not isinstance(declared, str) or declared not in _PLAIN or _JUDGING & one.keys():
            return None
        types[name] = _PLAIN[declared]
    return types


def _fault(schema: Any, value: object, path: str, root: Mapping[str, Any]) -> str | None:
    if isinstance(schema, Mapping):
        schema = _resolve(schema, root)
    if schema is True or schema == {}:
        return None
    if schema is False:
        return f"{_name(path)} is not allowed"
    return (
        _type_fault(schema, value, path)
        or _choice_fault(schema, value, path)
        or _combination_fault(schema, value, path, root)
        or _object_fault(schema, value, path, root)
        or _array_fault(schema, value, path, root)
    )


def _name(path: str) -> str:
    return f"'{path}'" if path else "the arguments"


def _join(path: str, key: object) -> str:
    shown = key if isinstance(key, str) else describe(key)
    shown = shown if len(shown) <= _MAXIMUM_SHOWN else shown[:_MAXIMUM_SHOWN] + "..."
    return f"{path}.{shown}" if path else shown


def _resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any] | bool:
    """What a schema's references lead to, the keywords beside them included; False where nothing fits."""
    for _ in range(_MAXIMUM_REFERENCES):
        reference = schema.get("$ref")
        if reference is None:
            return schema
        target: Any = root
        for part in str(reference).removeprefix("#").strip("/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")] if part else target
        if target is False:
            return False
        siblings = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**({} if target is True else target), **siblings}
    raise ValueError(f"the schema's reference {schema.get('$ref')!r} leads to itself")


def _type_fault(schema: Mapping[str, Any], value: object, path: str) -> str | None:
    declared = schema.get("type")
    if declared is None:
        return None
    names = (declared,) if isinstance(declared, str) else tuple(declared)
    for name in names:  # a loop: this runs for every argument of every call, and a generator costs twice as much
        if name not in _TYPES or _TYPES[name](value):
            return None
    expected = " or ".join(names)
    article = "an" if expected[0] in "aeiou" else "a"
    return f"{_name(path)} must be {article} {expected}, got {describe(value)}"


def _choice_fault(schema: Mapping[str, Any], value: object, path: str) -> str | None:
    if "const" in schema:
        choices: Sequence[Any] = [schema["const"]]
    elif "enum" in schema:
        choices = schema["enum"]
    else:
        return None
    # True == 1 in Python, but not in JSON.
    if any(choice == value and isinstance(choice, bool) == isinstance(value, bool) for choice in choices):
        return None
    return f"{_name(path)} must be one of {', '.join(map(repr, choices))}, got {describe(value)}"


def _combination_fault(schema: Mapping[str, Any], value: object, path: str, root: Mapping[str, Any]) -> str | None:
    for part in schema.get("allOf", ()):
        fault = _fault(part, value, path, root)
        if fault:
            return fault
    for keyword in ("anyOf", "oneOf"):
        parts = schema.get(keyword)
        if parts:
            faults = [_fault(part, value, path, root) for part in parts]
            if all(faults):
                return "; or ".join(dict.fromkeys(str(fault) for fault in faults))
    return None


def _object_fault(schema: Mapping[str, Any], value: object, path: str, root: Mapping[str, Any]) -> str | None:
    if not isinstance(value, Mapping):
        return None
    properties: Mapping[str, Any] = schema.get("properties", {})
    for key in schema.get("required", ()):
        if key not in value:
            return f"missing argument '{_join(path, key)}'"
    extra = schema.get("additionalProperties", True)
    for key, item in value.items():
        if key in properties:
            fault = _fault(properties[key], item, _join(path, key), root)
        elif extra is False:
            known = ", ".join(properties) or "none"
            return f"unknown argument '{_join(path, key)}' (known: {known})"
        else:
            fault = _fault(extra, item, _join(path, key), root)
        if fault:
            return fault
    return None


def _array_fault(schema: Mapping[str, Any], value: object, path: str, root: Mapping[str, Any]) -> str | None:
    if not isinstance(value, list | tuple):
        return None
    first: Sequence[Any] = schema.get("prefixItems", ())
    rest = schema.get("items", True)
    for index, item in enumerate(value):
        fault = _fault(first[index] if index < len(first) else rest, item, f"{path}[{index}]", root)
        if fault:
            return fault
    return None
