"""A plain step is the step that the environment would have taken the long way."""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from toolgym.envs import Action, Episode, Limits, ParsedAction, StopReason, Task, TaskSet, ToolEnv
from toolgym.envs.formats import FORMATS
from toolgym.envs.formats.search_r1 import SearchR1Format
from toolgym.envs.formats.single import SingleFunctionFormat
from toolgym.tools import (
    FunctionSchema,
    StatelessSession,
    Tool,
    ToolCall,
    ToolPolicy,
    ToolResult,
    ToolSession,
    ToolStatus,
    ToolUnavailable,
)

QUICK = {name: made for name, made in FORMATS.items() if vars(made).get("lone_call")}
LONG: dict[str, type[SingleFunctionFormat]] = {name: type("Long", (made,), {}) for name, made in QUICK.items()}
"""The same formats without their quick pattern, which is not inherited."""
TASKS = TaskSet([Task("one", "What?", ("that",))])
SEARCH = "<think> hm </think> <search> a b </search>"
PASSAGES = [{"id": "1", "title": "Ulm", "text": "A city."}, {"id": "2", "title": "Bonn", "text": "Another."}]


class Searching(Tool):
    """Answers with what a function makes of the call."""

    timeout = None

    def __init__(self, answer: Callable[[ToolCall], Any], **schema: Any) -> None:
        parameters = {"type": "object", "properties": {"query": {"type": "string", **schema}}, "required": ["query"]}
        self._answer, self._functions = answer, (FunctionSchema("search", "Searches.", parameters),)

    @property
    def functions(self) -> tuple[FunctionSchema, ...]:
        return self._functions

    def open(self, seed: int = 0) -> ToolSession:
        return Session(self._answer)


class Session(StatelessSession):
    def __init__(self, answer: Callable[[ToolCall], Any]) -> None:
        self._answer = answer

    def call(self, call: ToolCall) -> ToolResult:
        result: ToolResult = self._answer(call)
        return result


def found(call: ToolCall) -> ToolResult:
    return ToolResult(ToolStatus.OK, f"about {call.arguments['query']}")


def failing(call: ToolCall) -> ToolResult:
    raise ValueError("no such thing")


ANSWERS: dict[str, Callable[[ToolCall], Any]] = {
    "a text": found,
    "a text between blanks": lambda call: ToolResult(ToolStatus.OK, " \n a \n "),
    "nothing": lambda call: ToolResult(ToolStatus.OK, ""),
    "a long text": lambda call: ToolResult(ToolStatus.OK, "abcde " * 40),
    "a text beyond the tool's cap": lambda call: ToolResult(ToolStatus.OK, "x" * 20_000),
    "unclean text": lambda call: ToolResult(ToolStatus.OK, "a\x00b\ud800c"),
    "passages": lambda call: ToolResult(ToolStatus.OK, "two", metadata={"passages": PASSAGES}),
    "facts beside the text": lambda call: ToolResult(ToolStatus.OK, "a", metadata={"score": 1.0}),
    "a failure": lambda call: ToolResult(ToolStatus.ERROR, "did not work"),
    "an exception": failing,
    "no result": lambda call: "a text",
}
LIMITS = [
    Limits(),
    Limits(max_turns=2),
    Limits(max_turns=3, last_turn_calls=False),
    Limits(max_calls=1),
    Limits(max_calls=2, surplus_calls="answer"),
    Limits(max_calls=1, surplus_calls="ignore"),
    Limits(max_observation_characters=64),
    Limits(max_observation_characters=64, observation_cut="head", max_turns=None),
]
MARKS = "<think> </think> <search> </search> <answer> </answer> <information> <result> </result> \\boxed{a} \x00"
PIECES = st.sampled_from([*MARKS.split(), "<", ">", "a", " ", "\n"])
ACTIONS = st.builds(
    Action,
    st.lists(PIECES | st.text(max_size=4), max_size=8).map("".join)
    | st.text(max_size=6).map("<think>{0}</think><search>{0}</search>".format)
    | st.sampled_from(
        [SEARCH, "<search>\u2003x\x1f</search>", "<search> </search>", f"{SEARCH} ", "<answer>a</answer>"]
    ),
    st.sampled_from(["stop", "eos", "length"]),
)


def make(wire: type[SingleFunctionFormat], answer: Callable[[ToolCall], Any] = found, **options: Any) -> ToolEnv:
    return ToolEnv(TASKS, [Searching(answer)], action_format=wire("question"), **options)


def timeless(episode: Episode) -> Episode:
    """The episode without the times that its calls took."""
    kept = episode.copy()
    kept.turns = [
        replace(turn, results=tuple(replace(result, seconds=0.0) for result in turn.results)) for turn in kept.turns
    ]
    return kept


def told(env: ToolEnv, action: str) -> Any:
    """What a step returns, without the times."""
    observation, reward, terminated, truncated, info = env.step(action)
    for call in info["calls"]:
        assert call.pop("seconds") >= 0
    return observation, reward, terminated, truncated, info


def counted(env: ToolEnv) -> list[str]:
    """The actions that the environment's format has read the long way, from now on."""
    wire, read = env.action_format, list[str]()

    class Counting(type(wire)):  # type: ignore[misc]
        lone_call: ClassVar[Any] = getattr(type(wire), "lone_call", None)

        def parse(self, action: Action, functions: Any = ()) -> ParsedAction:
            read.append(str(action))
            parsed: ParsedAction = super().parse(action, functions)
            return parsed

    env.action_format = Counting("question")
    return read


def test_there_are_formats_with_plain_steps() -> None:
    assert set(QUICK) == {"research", "search_r1", "zero_search"}
    assert all(wire.lone_call is None for wire in LONG.values())


@pytest.mark.parametrize("name", QUICK)
@given(action=ACTIONS)
@settings(max_examples=200, deadline=None)
def test_what_the_pattern_matches_is_read_so_the_long_way(name: str, action: Action) -> None:
    wire = QUICK[name]("question")
    lone = wire.lone_call.fullmatch(action)
    value = lone[1].strip() if lone else ""
    if value:
        parsed = wire.parse(action)
        assert parsed == ParsedAction(str(action), "", (ToolCall("search", {"query": value}),))
        assert not wire.forged(action) and wire.result_answer(parsed, ()) is None
        assert wire.assistant_message(action, parsed) == {"role": "assistant", "content": str(action)}


@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("name", QUICK)
@given(answer=st.sampled_from(sorted(ANSWERS)), actions=st.lists(ACTIONS, max_size=5))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_episode_is_the_same_either_way(name: str, limits: Limits, answer: str, actions: list[Action]) -> None:
    quick = make(QUICK[name], ANSWERS[answer], limits=limits)
    long = make(LONG[name], ANSWERS[answer], limits=limits)
    assert quick.reset(seed=1) == long.reset(seed=1)
    for action in actions:
        if long.episode.stop_reason is None:
            assert told(quick, action) == told(long, action)
            assert timeless(quick.episode) == timeless(long.episode)
            assert quick.stop == long.stop


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("answer", ANSWERS)
def test_every_kind_of_result_is_the_same_either_way(name: str, answer: str) -> None:
    quick, long = make(QUICK[name], ANSWERS[answer]), make(LONG[name], ANSWERS[answer])
    quick.reset(), long.reset()
    assert told(quick, SEARCH) == told(long, SEARCH)
    assert timeless(quick.episode) == timeless(long.episode)


def test_a_plain_step_by_hand() -> None:
    env = make(SearchR1Format)
    env.reset()
    observation, reward, terminated, truncated, info = env.step(SEARCH)
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert observation == "\n\n<information>about a b</information>\n\n"
    (call,) = info["calls"]
    assert info["messages"] == [{"role": "user", "content": observation}] and info["faults"] == []
    assert (call["name"], call["status"]) == ("search", "ok")
    (turn,) = env.episode.turns
    assert turn.parsed == ParsedAction(SEARCH, "", (ToolCall("search", {"query": "a b"}),))
    assert turn.results[0].output == "about a b" and turn.results[0].seconds == call["seconds"] > 0


@pytest.mark.parametrize("action", [SEARCH, Action(SEARCH, "length", 7)])
def test_plain_steps_are_taken_the_short_way_and_others_are_not(action: str) -> None:
    env = make(SearchR1Format)
    read = counted(env)
    env.reset()
    env.step(action)
    assert read == []
    env.step("hm")
    assert read == ["hm"]
    env.step(action)
    assert read == ["hm"] and [len(turn.results) for turn in env.episode.turns] == [1, 0, 1]
    assert env.episode.turns[0].action.token_count == getattr(action, "token_count", None)


@pytest.mark.parametrize(
    "asked", [{"timeout": 0.05}, {"max_concurrency": 1}, {"calls_per_second": 1000.0}, {"retries": 1}]
)
@pytest.mark.parametrize("before", [True, False])
def test_what_is_asked_of_a_tool_holds_at_once(asked: dict[str, Any], before: bool) -> None:
    env = make(SearchR1Format)
    read = counted(env)
    if before:
        env.configure_tool("search", asked)
    env.reset()
    if not before:
        env.step(SEARCH)
        env.configure_tool("search", asked)
    env.step(SEARCH)
    assert read == [SEARCH]


@pytest.mark.parametrize("how", ["configured", "by hand"])
def test_a_time_limit_that_is_set_between_two_steps_is_kept(how: str) -> None:
    def slow(call: ToolCall) -> ToolResult:
        time.sleep(0.5 if call.arguments["query"] == "z" else 0.0)
        return found(call)

    env = make(SearchR1Format, slow)
    env.reset()
    env.step(SEARCH)
    if how == "configured":
        env.configure_tool("search", {"timeout": 0.05})
    else:
        env.tools[0].timeout = 0.05
    *_, info = env.step("<search> z </search>")
    assert info["calls"][0]["status"] == "timeout"


def test_limits_that_are_set_between_two_steps_are_kept() -> None:
    env = make(SearchR1Format)
    env.reset()
    env.step(SEARCH)
    env.limits = Limits(max_turns=2)
    _, _, terminated, truncated, info = env.step(SEARCH)
    assert truncated and not terminated and info["stop_reason"] == StopReason.MAX_TURNS


def test_a_schema_that_judges_texts_is_asked() -> None:
    env = ToolEnv(TASKS, [Searching(found, enum=["x"])], action_format="search_r1")
    env.reset()
    *_, info = env.step(SEARCH)
    assert info["calls"][0]["status"] == "bad_arguments"


def test_a_cacheable_tool_is_asked_once() -> None:
    asked: list[str] = []
    search = Searching(lambda call: asked.append(call.name) or found(call))
    search.cacheable = True
    env = ToolEnv(TASKS, [search], action_format="search_r1")
    read = counted(env)
    env.reset()
    for _ in range(2):
        env.step(SEARCH)
    assert asked == ["search"] and len(read) == 2
    env.configure_tool("search", {"cache_entries": 0})
    env.reset()
    for _ in range(2):
        env.step(SEARCH)
    assert asked == ["search"] * 3 and len(read) == 2


def test_what_a_tool_stands_on_is_gone() -> None:
    def gone(call: ToolCall) -> ToolResult:
        raise ToolUnavailable("the index is gone")

    for wire in (QUICK["search_r1"], LONG["search_r1"]):
        env = make(wire, gone)
        env.reset()
        with pytest.raises(ToolUnavailable, match="the index is gone") as caught:
            env.step(SEARCH)
        assert caught.value.function == "search"
        assert env.episode.turns == [] and env.episode.messages[-1]["role"] == "assistant"


def test_a_format_that_reads_otherwise_does_not_inherit_the_short_way() -> None:
    class Loud(SearchR1Format):
        def documents(self, result: ToolResult) -> str:
            return result.output.upper()

    env = make(Loud)
    env.reset()
    assert "ABOUT A B" in env.step(SEARCH)[0]


class Tally(Searching):
    """Says how often it was called in this episode."""

    def __init__(self) -> None:
        super().__init__(found)

    def open(self, seed: int = 0) -> ToolSession:
        return TallySession()


class TallySession(ToolSession):
    def __init__(self, calls: int = 0) -> None:
        self.calls = calls

    def call(self, call: ToolCall) -> ToolResult:
        self.calls += 1
        return ToolResult(ToolStatus.OK, f"call {self.calls}")

    def fork(self) -> ToolSession:
        return TallySession(self.calls)

    def snapshot(self) -> bytes:
        return str(self.calls).encode()

    def restore(self, snapshot: bytes) -> None:
        self.calls = int(snapshot)


@pytest.mark.parametrize("way", ["fork", "snapshot", "pickle", "deepcopy"])
def test_copies_go_their_own_way(way: str) -> None:
    env = ToolEnv(TASKS, [Tally()], action_format="search_r1", limits=Limits(max_turns=4))
    env.reset()
    env.step(SEARCH)
    other = env.fork()
    if way == "snapshot":
        other = env.spawn()
        other.restore(env.snapshot())
    elif way != "fork":
        other = pickle.loads(pickle.dumps(env)) if way == "pickle" else copy.deepcopy(env)
    assert "call 2" in other.step("<search> other </search>")[0]
    assert "call 2" in env.step(SEARCH)[0] and "call 3" in env.step(SEARCH)[0]
    assert [turn.parsed.calls[0].arguments["query"] for turn in env.episode.turns] == ["a b"] * 3
    assert [turn.parsed.calls[0].arguments["query"] for turn in other.episode.turns] == ["a b", "other"]
    assert other.step(SEARCH)[3] is False and other.step(SEARCH)[3] is True


def test_a_policy_of_the_tool_itself_may_be_replaced() -> None:
    env = make(SearchR1Format)
    read = counted(env)
    env.reset()
    env.step(SEARCH)
    env.tools[0].policy = ToolPolicy(max_concurrency=1)
    env.step(SEARCH)
    assert read == [SEARCH]
