import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolgym.tools import (
    FunctionSchema,
    InputError,
    StatelessSession,
    Tool,
    ToolCall,
    ToolResult,
    ToolRuntime,
    ToolSession,
    ToolStatus,
    calculator,
    tool,
)

SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"], "additionalProperties": False}

JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4),
    max_leaves=12,
)


class Probe(Tool):
    """Does to the runtime whatever a test wants: `act` is called with the session and the call."""

    def __init__(self, act: Any, name: str = "probe", timeout: float | None = None, cap: int = 10_000) -> None:
        self.act, self.name, self.timeout, self.max_output_characters = act, name, timeout, cap
        self.opened: list[ProbeSession] = []

    @property
    def functions(self) -> Sequence[FunctionSchema]:
        return (FunctionSchema(self.name, "A probe.", SCHEMA),)

    def open(self, seed: int = 0) -> ToolSession:
        self.opened.append(ProbeSession(self, seed))
        return self.opened[-1]


class ProbeSession(ToolSession):
    def __init__(self, tool: Probe, seed: int) -> None:
        self.tool, self.seed, self.closed, self.count = tool, seed, threading.Event(), 0

    def call(self, call: ToolCall) -> ToolResult:
        self.count += 1
        result: ToolResult = self.tool.act(self, call)
        return result

    def fork(self) -> ToolSession:
        twin = ProbeSession(self.tool, self.seed)
        twin.count = self.count
        return twin

    def snapshot(self) -> bytes:
        return bytes([self.count])

    def restore(self, snapshot: bytes) -> None:
        self.count = snapshot[0]

    def close(self) -> None:
        self.closed.set()


def say(text: str) -> Any:
    return lambda session, call: ToolResult(ToolStatus.OK, text)


def counter(session: ProbeSession, call: ToolCall) -> ToolResult:
    return ToolResult(ToolStatus.OK, str(session.count))


@given(name=st.sampled_from(["probe", "calculator"]) | JUNK, arguments=JUNK, error=st.none() | st.text())
def test_no_call_that_a_model_can_write_raises(name: Any, arguments: Any, error: str | None) -> None:
    runtime = ToolRuntime([Probe(lambda session, call: ToolResult(ToolStatus.OK, call.arguments["x"])), calculator])
    result = runtime.call(ToolCall(name, arguments, error))
    assert result.status in ToolStatus
    result.output.encode("utf-8")
    assert len(result.output) <= 10_000


def test_deep_nesting_is_bad_arguments() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    runtime = ToolRuntime([Probe(say("never")), nested])
    for name, arguments in [("probe", {"x": deep}), ("probe", deep), ("probe", {"x": {"a": deep}})]:
        assert runtime.call(ToolCall(name, arguments)).status is ToolStatus.BAD_ARGUMENTS
    assert runtime.call(ToolCall("nested", {"tree": deep})).output == "1"
    while isinstance(deep, list):  # taken apart by hand: freeing it in one go would be as deep as it is
        deep = deep.pop()


@tool(timeout=None)
def nested(tree: list[Any]) -> int:
    """Counts.

    Args:
        tree: Anything.
    """
    return len(tree)


def test_unknown_tools_are_answered_with_the_known_ones() -> None:
    result = ToolRuntime([Probe(say("x")), calculator]).call(ToolCall("serach", {}))
    assert result.status is ToolStatus.UNKNOWN_TOOL
    assert result.output == "Unknown tool 'serach'. Available tools: probe, calculator."


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (ToolCall("probe", {}), "missing argument 'x'"),
        (ToolCall("probe", {"x": 3}), "'x' must be a string, got 3"),
        (ToolCall("probe", {"x": "a", "y": 1}), "unknown argument 'y' (known: x)"),
        (ToolCall("probe", [1]), "must be an object, got an array"),  # type: ignore[arg-type]
        (ToolCall("probe", {"x": "a"}, error="the JSON ends early."), "the JSON ends early."),
    ],
)
def test_bad_arguments_are_one_clear_line(call: ToolCall, words: str) -> None:
    result = ToolRuntime([Probe(say("never"))]).call(call)
    assert result.status is ToolStatus.BAD_ARGUMENTS
    assert words in result.output and "\n" not in result.output and ".." not in result.output


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [ValueError("bad value"), SystemExit(3), RecursionError("deep"), UnprintableError()])
@pytest.mark.parametrize("timeout", [None, 10.0])
def test_exceptions_of_a_tool_are_results(error: BaseException, timeout: float | None) -> None:
    def act(session: ProbeSession, call: ToolCall) -> ToolResult:
        raise error

    result = ToolRuntime([Probe(act, timeout=timeout)]).call(ToolCall("probe", {"x": ""}))
    assert result.status is ToolStatus.ERROR
    assert result.output.startswith(type(error).__name__)


def test_a_tool_that_returns_something_else_is_an_error() -> None:
    result = ToolRuntime([Probe(lambda session, call: "text")]).call(ToolCall("probe", {"x": ""}))
    assert result.status is ToolStatus.ERROR and "instead of a ToolResult" in result.output


@given(st.text(st.characters(exclude_categories=()), max_size=400), st.integers(1, 300))
def test_output_is_capped_and_valid(text: str, cap: int) -> None:
    result = ToolRuntime([Probe(say(text), cap=cap)]).call(ToolCall("probe", {"x": ""}))
    assert len(result.output) <= cap
    result.output.encode("utf-8")
    assert (result.omitted_characters == 0) == (len(text) <= cap) or "\ud800" <= max(text) <= "\udfff"


def test_the_time_limit_holds_and_the_late_call_writes_nowhere() -> None:
    release = threading.Event()

    def act(session: ProbeSession, call: ToolCall) -> ToolResult:
        if call.arguments["x"] == "hang":
            release.wait(20)
            return ToolResult(ToolStatus.OK, "late")
        return ToolResult(ToolStatus.OK, f"fresh {session.count}")

    probe = Probe(act, timeout=0.2)
    with ToolRuntime([probe], seed=7) as runtime:
        start = time.monotonic()
        result = runtime.call(ToolCall("probe", {"x": "hang"}))
        assert result.status is ToolStatus.TIMEOUT
        assert 0.2 <= result.seconds <= time.monotonic() - start < 5
        assert result.output == "Timed out after 0.2 seconds. The tool's state was lost."
        assert result.metadata == {"state_lost": True}
        assert runtime.call(ToolCall("probe", {"x": "a"})).output == "fresh 1"
        release.set()
        assert probe.opened[0].closed.wait(5), "the abandoned call closes its own session when it ends"
        assert runtime.call(ToolCall("probe", {"x": "a"})).output == "fresh 2"
        assert result.output.startswith("Timed out") and len(probe.opened) == 2 and probe.opened[1].seed == 7


def test_two_functions_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="two tools have a function named 'probe'"):
        ToolRuntime([Probe(say("a")), Probe(say("b"))])


def test_fork_snapshot_and_restore_separate_the_states() -> None:
    call = ToolCall("probe", {"x": ""})
    runtime = ToolRuntime([Probe(counter), calculator])
    runtime.call(call)
    state = runtime.snapshot()
    twin = runtime.fork()
    assert [runtime.call(call).output, runtime.call(call).output, twin.call(call).output] == ["2", "3", "2"]
    runtime.restore(state)
    assert runtime.call(call).output == "2"
    assert twin.functions == runtime.functions
    with pytest.raises(ValueError, match="the snapshot has functions"):
        ToolRuntime([calculator]).restore(state)


def test_close_closes_every_session_and_twice_is_once() -> None:
    probe = Probe(say("x"))
    runtime = ToolRuntime([probe])
    runtime.close()
    runtime.close()
    assert probe.opened[0].closed.is_set()
    with pytest.raises(RuntimeError, match="closed"):
        runtime.call(ToolCall("probe", {"x": ""}))


def test_a_tool_that_cannot_open_leaves_no_session_behind() -> None:
    class Broken(Probe):
        def open(self, seed: int = 0) -> ToolSession:
            raise OSError("no interpreter")

    probe = Probe(say("x"))
    with pytest.raises(OSError, match="no interpreter"):
        ToolRuntime([probe, Broken(say("y"), name="broken")])
    assert probe.opened[0].closed.is_set()


def test_stateless_sessions_refuse_a_foreign_snapshot() -> None:
    class Session(StatelessSession):
        def call(self, call: ToolCall) -> ToolResult:
            return ToolResult(ToolStatus.OK, "")

    with pytest.raises(ValueError, match="no state"):
        Session().restore(b"x")
