import copy
import json
import pickle
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from toolgym.tools import InputError, ToolCall, ToolResult, ToolRuntime, ToolStatus, tool
from toolgym.tools.decorator import FunctionTool


class Unit(Enum):
    KILOMETRES = "km"
    MILES = "mi"


class Place(BaseModel):
    name: str
    latitude: float = 0.0


@dataclass
class Route:
    length: float


@tool
def route(
    start: Place,
    schema: str,
    unit: Unit = Unit.KILOMETRES,
    copy: Annotated[int, Field(ge=1, le=3)] = 1,
    tags: list[Literal["fast", "cheap"]] | None = None,
) -> Route:
    """Finds a route.

    It is always the same one.

    Args:
        start: Where to start,
            with a second line.
        schema (str): A name that pydantic's models have too.
        unit: Unit of length.

    Returns:
        The route.
    """
    return Route(len(start.name) * copy / (2 if unit is Unit.MILES else 1))


def run(function: FunctionTool[Any, Any], **arguments: Any) -> ToolResult:
    return ToolRuntime([function]).call(ToolCall(function.functions[0].name, arguments))


def test_the_schema_holds_types_defaults_and_descriptions() -> None:
    schema = route.functions[0]
    assert schema.name == "route"
    assert schema.description == "Finds a route.\n\nIt is always the same one."
    parameters = schema.parameters
    assert parameters["required"] == ["start", "schema"]
    assert parameters["additionalProperties"] is False
    assert parameters["properties"]["start"]["description"] == "Where to start, with a second line."
    assert parameters["properties"]["schema"] == {
        "type": "string",
        "description": "A name that pydantic's models have too.",
    }
    assert parameters["properties"]["copy"] == {"type": "integer", "default": 1, "minimum": 1, "maximum": 3}
    json.dumps(schema.as_openai())
    assert "title" not in parameters


def test_the_function_stays_a_function() -> None:
    assert route(Place(name="Bern"), "s").length == 4
    assert (route.__doc__ or "").startswith("Finds a route.")


def test_arguments_become_python_values_and_the_return_value_json() -> None:
    assert run(route, start={"name": "Genève"}, schema="x", unit="mi", copy=2).output == '{"length": 6.0}'


def test_options_and_text_results() -> None:
    @tool(name="shout", timeout=None, max_output_characters=100)
    def loud(text: str) -> str:
        """Shouts.

        Args:
            text: What.
        """
        return text.upper()

    result = run(loud, text="ü" * 300)
    assert loud.functions[0].name == "shout" and loud.timeout is None
    assert result.output.startswith("Ü") and len(result.output) <= 100 and result.omitted_characters > 200


def test_a_result_passes_as_it_is_and_none_is_null() -> None:
    @tool
    def nothing() -> None:
        """Does nothing."""

    @tool
    def refuse() -> ToolResult:
        """Refuses."""
        return ToolResult(ToolStatus.ERROR, "no", metadata={"why": 1})

    assert run(nothing).output == "null"
    assert run(refuse).status is ToolStatus.ERROR and run(refuse).metadata == {"why": 1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"start": {"name": "B"}}, "missing argument 'schema'"),
        ({"start": {}, "schema": ""}, "missing argument 'start.name'"),
        ({"start": {"name": "B"}, "schema": "", "unit": "nm"}, "'unit' must be one of 'km', 'mi', got 'nm'"),
        ({"start": {"name": "B"}, "schema": "", "copy": 9}, "'copy': Input should be less than or equal to 3 (got 9)"),
        ({"start": {"name": "B"}, "schema": "", "copy": True}, "'copy' must be an integer, got True"),
        ({"start": {"name": "B"}, "schema": "", "tags": ["slow"]}, "must be one of 'fast', 'cheap', got 'slow'"),
        ({"start": {"name": "B"}, "schema": "", "argument_0": 1}, "unknown argument 'argument_0'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: dict[str, Any], words: str) -> None:
    result = run(route, **arguments)
    assert result.status is ToolStatus.BAD_ARGUMENTS
    assert words in result.output and "\n" not in result.output and "pydantic" not in result.output


def test_exceptions_are_errors_with_type_and_message() -> None:
    @tool
    def divide(by: int) -> float:
        """Divides."""
        return 1 / by

    result = run(divide, by=0)
    assert result.status is ToolStatus.ERROR and result.output == "ZeroDivisionError: division by zero"


def no_docstring(x: int) -> int:
    return x


def untyped(x) -> int:  # type: ignore[no-untyped-def]
    """Doc."""
    return 1


def stars(*parts: int) -> int:
    """Doc."""
    return 1


def unresolved(x: "Missing") -> int:  # type: ignore[name-defined]  # noqa: F821
    """Doc."""
    return 1


def wrong_name(x: int) -> int:
    """Doc.

    Args:
        y: Not there.
    """
    return x


async def waits(x: int) -> int:
    """Doc."""
    return x


class Opaque:
    pass


def opaque(x: Opaque) -> int:
    """Doc."""
    return 1


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_docstring, "has no docstring"),
        (untyped, "parameter 'x' has no type annotation; write for example `x: str`"),
        (stars, "parameter 'parts' cannot be given by name"),
        (unresolved, "cannot be resolved"),
        (wrong_name, "describes 'y', which is not a parameter"),
        (waits, "async"),
        (opaque, "no JSON form"),
    ],
)
def test_functions_that_cannot_be_tools_are_refused(function: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        tool(function)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@tool
def named(x: int) -> int:
    """Doc."""
    return x + 1


def test_pickles_and_copies() -> None:
    assert pickle.loads(pickle.dumps(named)) is named
    for twin in (copy.copy(named), copy.deepcopy(named)):
        assert twin is not named and twin(1) == 2 and twin.functions == named.functions
        twin.timeout = 1.0
        assert named.timeout == 30.0
        with pytest.raises((pickle.PicklingError, AttributeError)):
            pickle.dumps(twin)  # its name leads to the other one


@pytest.mark.parametrize("text", ["a", "\ud800", "x" * 10_000])
def test_plain_arguments_are_handed_on_and_all_others_validated(text: str) -> None:
    seen: list[object] = []

    @tool
    def note(text: str, times: int, half: bool = False) -> str:
        """Notes a text."""
        seen.append((text, times, half))
        return "noted"

    assert note.run({"text": text, "times": 2, "half": True}).ok
    assert note.run({"text": text, "times": 2}).ok  # pydantic fills in `half`
    assert note.run({"text": text, "times": "2", "half": 0}).ok  # and reads a number in a text
    assert seen == [(text, 2, True), (text, 2, False), (text, 2, False)]
    for wrong in ({"text": 1, "times": 2}, {"text": "a", "times": 2.5}, {"text": "a", "times": 1, "x": 1}, {}):
        assert note.run(wrong).status is ToolStatus.BAD_ARGUMENTS
    assert len(seen) == 3
