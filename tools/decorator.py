"""`@tool`: a typed function with a docstring becomes a tool."""

from __future__ import annotations

import copy
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast, get_type_hints, overload

from .arguments import describe
from .base import FunctionSchema, StatelessSession, Tool, ToolCall, ToolResult, ToolSession, ToolStatus
from .errors import InputError
from .policy import ToolPolicy

P = ParamSpec("P")
R = TypeVar("R")

_SECTION = re.compile(r"^(Args|Arguments|Returns?|Raises|Yields?|Examples?|Notes?|Warnings?|See Also|References):\s*$")
_CHOICES = re.compile(r"^(.*)\(\s*choices:\s*(\[.*\])\s*\)$", re.DOTALL | re.IGNORECASE)
_ARGUMENT = re.compile(r"^(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")


class FunctionTool(Tool, Generic[P, R]):
    """A function as a tool without state. Made by `@tool`; still callable as the function it wraps.

    Arguments are validated by pydantic against the annotations (unknown names are refused). What the function returns
    is shown to the model: a string as it is, a `ToolResult` as it is, anything else as JSON.

    Args:
        function: The function.
        name: Name for the model; the function's own by default.
        timeout: Wall-clock limit of one call in seconds; None for functions that surely end.
        max_output_characters: Cap on the text of one result.
        policy: Limits, retries and cache over all episodes of the process.
        cacheable: Whether the result depends on the arguments alone, so that the same call need not run twice.
        strict: Whether an `Args` entry that names no parameter is an error.

    Raises:
        InputError: If a parameter has no annotation or the docstring is missing.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        timeout: float | None = 30.0,
        max_output_characters: int = 10_000,
        policy: ToolPolicy = Tool.policy,
        cacheable: bool = False,
        strict: bool = True,
    ) -> None:
        self._function = function
        self.timeout = timeout
        self.max_output_characters = max_output_characters
        self.policy, self.cacheable = policy, cacheable
        self._model, self._fields = _argument_model(function, strict)
        self._plain = _plain_types(function, self._fields)
        self._schema = _function_schema(function, name or function.__name__, self._model)
        update_wrapper(cast(Callable[..., Any], self), function)

    def __reduce_ex__(self, protocol: Any) -> str | tuple[Any, ...]:
        """A tool that stands in its module under its function's name is pickled by that name, as functions are.

        The function itself could not be: its name leads to the tool.
        """
        found: Any = sys.modules.get(self.__module__)
        name = cast(Callable[..., Any], self).__qualname__
        for part in name.split("."):
            found = getattr(found, part, None)
        return name if found is self else super().__reduce_ex__(protocol)

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return copy.copy(self)  # nothing that it holds can be changed

    @property
    def functions(self) -> Sequence[FunctionSchema]:
        """The one function."""
        return (self._schema,)

    def open(self, seed: int = 0) -> ToolSession:
        """A session; the function has no state, so all are alike."""
        return _FunctionSession(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function itself, without validation."""
        return self._function(*args, **kwargs)

    def run(self, arguments: Mapping[str, Any]) -> ToolResult:
        """Validates the arguments and calls the function.

        Args:
            arguments: Values by parameter name, as the model wrote them.

        Returns:
            The rendered value, or `BAD_ARGUMENTS` with one line that says what is wrong.
        """
        function = cast(Callable[..., object], self._function)
        if self._are_plain(arguments):
            return render_value(function(**arguments))
        from pydantic import ValidationError

        try:
            values = self._model.model_validate(dict(arguments))
        except ValidationError as error:
            return ToolResult(ToolStatus.BAD_ARGUMENTS, f"Bad arguments for {self._schema.name}: {one_line(error)}.")
        kwargs = {name: getattr(values, field) for name, field in self._fields.items()}
        return render_value(function(**kwargs))

    def _are_plain(self, arguments: Mapping[str, Any]) -> bool:
        """Whether every parameter is given, and with a value that pydantic would hand on as it is."""
        plain = self._plain
        if plain is None or len(arguments) != len(plain):
            return False
        for name, value in arguments.items():  # noqa: SIM110  # a generator costs twice as much, at every call
            if type(value) is not plain.get(name):
                return False
        return True


class _FunctionSession(StatelessSession):
    def __init__(self, tool: FunctionTool[Any, Any]) -> None:
        self._tool = tool

    def call(self, call: ToolCall) -> ToolResult:
        return self._tool.run(call.arguments)


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    timeout: float | None = 30.0,
    max_output_characters: int = 10_000,
    policy: ToolPolicy = Tool.policy,
    cacheable: bool = False,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...


def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    timeout: float | None = 30.0,
    max_output_characters: int = 10_000,
    policy: ToolPolicy = Tool.policy,
    cacheable: bool = False,
) -> FunctionTool[P, R] | Callable[[Callable[P, R]], FunctionTool[P, R]]:
    """Makes a tool of a typed function with a Google docstring.

    The docstring's text describes the function to the model, its `Args` section the arguments; the annotations give
    the JSON schema. Use it plain (`@tool`) or with options (`@tool(timeout=5)`).

    Args:
        function: The function, when used without parentheses.
        name: Name for the model; the function's own by default.
        timeout: Wall-clock limit of one call in seconds; None for functions that surely end.
        max_output_characters: Cap on the text of one result.
        policy: Limits, retries and cache over all episodes of the process.
        cacheable: Whether the result depends on the arguments alone, so that the same call need not run twice.

    Raises:
        InputError: If a parameter has no annotation, the docstring is missing, or an `Args` entry names no parameter.
    """

    def decorate(inner: Callable[P, R]) -> FunctionTool[P, R]:
        return FunctionTool(
            inner,
            name=name,
            timeout=timeout,
            max_output_characters=max_output_characters,
            policy=policy,
            cacheable=cacheable,
        )

    return decorate if function is None else decorate(function)


def _argument_model(function: Callable[..., Any], strict: bool) -> tuple[Any, dict[str, str]]:
    """A pydantic model of the parameters, and the model's field for each parameter name."""
    from pydantic import ConfigDict, Field, PydanticSchemaGenerationError, create_model

    label = f"tool {getattr(function, '__name__', function)!r}"
    if inspect.iscoroutinefunction(function):
        raise InputError(f"{label} is an async function; give a plain function (use asyncio.run inside it)")
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise InputError(
            f"{label}: an annotation cannot be resolved ({error}); import the name at module level"
        ) from None
    _, descriptions = _parse_docstring(function)
    parameters = inspect.signature(function).parameters
    unknown = [name for name in descriptions if name not in parameters]
    if unknown and strict:
        raise InputError(f"{label}: the docstring describes {unknown[0]!r}, which is not a parameter")
    definitions: dict[str, Any] = {}
    fields: dict[str, str] = {}
    for position, (name, parameter) in enumerate(parameters.items()):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise InputError(f"{label}: parameter {name!r} cannot be given by name; use plain named parameters")
        if name not in hints:
            raise InputError(f"{label}: parameter {name!r} has no type annotation; write for example `{name}: str`")
        default = ... if parameter.default is parameter.empty else parameter.default
        # Fields have neutral names, since a parameter may be called as one of pydantic's own attributes ("schema").
        field = fields[name] = f"argument_{position}"
        description, choices = _split_choices(descriptions.get(name))
        extra: dict[str, Any] = {} if choices is None else {"enum": choices}
        definitions[field] = (
            hints[name],
            Field(default, alias=name, description=description, json_schema_extra=extra or None),
        )
    try:
        model = create_model("Arguments", __config__=ConfigDict(extra="forbid"), **definitions)
    except PydanticSchemaGenerationError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{label}: a parameter's type has no JSON form ({reason}); use JSON-able types") from None
    return model, fields


def _plain_types(function: Callable[..., Any], names: Iterable[str]) -> dict[str, type] | None:
    """The types of the parameters; None unless all are scalars whose values validation does not change."""
    hints = get_type_hints(function, include_extras=True)
    types = {name: hints[name] for name in names}
    return types if all(kind in (str, int, float, bool) for kind in types.values()) else None


def _function_schema(function: Callable[..., Any], name: str, model: Any) -> FunctionSchema:
    parameters = model_parameters(model, name)
    description, _ = _parse_docstring(function)
    if not description:
        raise InputError(f"tool {name!r} has no docstring; its first lines tell the model what the tool does")
    return FunctionSchema(name, description, parameters)


def model_parameters(model: Any, name: str) -> dict[str, Any]:
    """The JSON schema of a pydantic model of arguments.

    Raises:
        InputError: If a field has none; `name` is the tool's, for the message.
    """
    from pydantic.errors import PydanticInvalidForJsonSchema
    from pydantic.json_schema import GenerateJsonSchema

    class Untitled(GenerateJsonSchema):
        """Leaves out the titles that repeat each name: they cost tokens in every prompt."""

        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    try:
        parameters: dict[str, Any] = model.model_json_schema(by_alias=True, schema_generator=Untitled)
    except PydanticInvalidForJsonSchema as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"tool {name!r}: a parameter's type has no JSON schema ({reason})") from None
    parameters.pop("title", None)
    parameters.setdefault("properties", {})
    return parameters


def _split_choices(description: str | None) -> tuple[str | None, list[Any] | None]:
    """Takes `(choices: ["tea", "coffee"])` off the end of an argument's description, where transformers has them."""
    match = _CHOICES.match(description or "")
    if match is None:
        return description, None
    try:
        choices = json.loads(match[2])
    except ValueError:
        return description, None
    return match[1].strip(), choices


def _parse_docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The text before the first section, and the description of each argument."""
    lines = inspect.cleandoc(function.__doc__ or "").splitlines()
    description: list[str] = []
    arguments: dict[str, str] = {}
    section, current, indent = "", "", 0
    for line in lines:
        header = _SECTION.match(line)
        if header:
            section, current, indent = header[1], "", 0
        elif not section:
            description.append(line)
        elif section in ("Args", "Arguments") and line.strip():
            depth = len(line) - len(line.lstrip())
            indent = indent or depth
            entry = _ARGUMENT.match(line.strip()) if depth <= indent else None
            if entry:
                current = entry[1]
                arguments[current] = entry[2]
            elif current:
                arguments[current] = f"{arguments[current]} {line.strip()}".strip()
    return "\n".join(description).strip(), arguments


def one_line(error: Any) -> str:
    """All faults that pydantic found, as one line for the model.

    Args:
        error: A `pydantic.ValidationError`.
    """
    faults = []
    for fault in error.errors(include_url=False, include_context=False):
        place = ".".join(str(part) for part in fault["loc"])
        faults.append(f"'{place}': {fault['msg']} (got {describe(fault['input'])})" if place else fault["msg"])
    return " ".join("; ".join(faults).split())


def render_value(value: object) -> ToolResult:
    """What a function returned as a result: a string and a `ToolResult` as they are, anything else as JSON."""
    if isinstance(value, ToolResult):
        return value
    if isinstance(value, str):
        return ToolResult(ToolStatus.OK, value)
    from pydantic_core import to_jsonable_python

    return ToolResult(ToolStatus.OK, json.dumps(to_jsonable_python(value), ensure_ascii=False))
