"""Limits and stop reasons, by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from toolgym.envs import (
    Action,
    ActionFormat,
    Episode,
    Limits,
    ParsedAction,
    RewardFunction,
    RewardResult,
    StopReason,
    Task,
    TaskSet,
    ToolEnv,
)
from toolgym.envs.formats.base import Cut, whole
from toolgym.tools import InputError, ToolCall, ToolPolicy, ToolStatus, ToolUnavailable, tool

TASK = Task("one", "What is 2 + 2?", ("4",))


class Lines(ActionFormat):
    """`call TEXT` lines are calls, `answer TEXT` is the answer."""

    name = "lines"
    observation_marks = ("OBS",)

    def __init__(self, retry: bool = True) -> None:
        super().__init__("question")
        self.retry = retry

    def messages(self, task: Task, functions: Any) -> list[dict[str, Any]]:
        return [{"role": "user", "content": task.question}]

    def text(self, task: Task, functions: Any) -> str:
        return task.question

    def parse(self, action: Action, functions: Any = ()) -> ParsedAction:
        lines = action.split("\n")
        calls = tuple(ToolCall("echo", {"text": line[5:]}) for line in lines if line.startswith("call "))
        answers = [line[7:] for line in lines if line.startswith("answer ")]
        reply = "OBS try again" if self.retry else None
        return ParsedAction(str(action), calls=calls, answer=answers[0] if answers else None, reply=reply)

    def render(self, calls: Any, results: Any, cut: Cut = whole) -> str:
        return "OBS" + "|".join(cut(result.output) for result in results)

    def write_call(self, thought: str, call: ToolCall, turn: int) -> str:
        return f"call {call.arguments['text']}"

    def write_answer(self, thought: str, answer: str, turn: int) -> str:
        return f"answer {answer}"


@tool
def echo(text: str) -> str:
    """Says it again.

    Args:
        text: What to say.
    """
    return text


class Tiny(ToolEnv):
    def __init__(self, limits: Any = None, retry: bool = True) -> None:
        reward = RewardFunction("right", lambda episode: RewardResult(float(episode.answer == "4"), {"seen": 1.0}))
        super().__init__(TaskSet([TASK]), [echo], action_format=Lines(retry), reward=reward, limits=limits)

    def score(self, episode: Episode) -> float:
        return float(episode.answer in episode.task.answers)


def ended(env: Tiny, *actions: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
    env.reset(seed=0)
    for action in actions[:-1]:
        observation, reward, terminated, truncated, info = env.step(action)
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert observation and "stop_reason" not in info
    return env.step(actions[-1])


@pytest.mark.parametrize(
    "limits, retry, actions, reason",
    [
        (Limits(), True, ["answer 4"], StopReason.ANSWER),
        (Limits(), True, ["call a", "call b", "answer 5"], StopReason.ANSWER),
        (Limits(), True, ["what?", "answer 4"], StopReason.ANSWER),
        (Limits(), False, ["what?"], StopReason.NO_ACTION),
        (Limits(max_turns=1), True, ["call a"], StopReason.MAX_TURNS),
        (Limits(max_turns=2), True, ["call a", "call b"], StopReason.MAX_TURNS),
        (Limits(max_turns=2), True, ["what?", "what?"], StopReason.MAX_TURNS),
        (Limits(max_turns=2), True, ["call a", "answer 4"], StopReason.ANSWER),
        (Limits(max_calls=0), True, ["call a"], StopReason.MAX_CALLS),
        (Limits(max_calls=1), True, ["call a", "call b"], StopReason.MAX_CALLS),
        (Limits(max_calls=1), True, ["call a\ncall b"], StopReason.MAX_CALLS),
        (Limits(max_calls=2), True, ["call a\ncall b", "answer 4"], StopReason.ANSWER),
        (Limits(max_calls=1, max_turns=2), True, ["call a", "call b"], StopReason.MAX_CALLS),
    ],
)
def test_how_episodes_end(limits: Limits, retry: bool, actions: list[str], reason: StopReason) -> None:
    env = Tiny(limits, retry)
    observation, reward, terminated, truncated, info = ended(env, *actions)
    right = actions[-1] == "answer 4"
    assert (observation, reward, info["score"]) == ("", float(right), float(right))
    assert (terminated, truncated) == (reason.terminated, not reason.terminated)
    assert info["stop_reason"] == reason and env.episode.stop_reason is reason
    assert info["reward_terms"] == {"seen": 1.0}
    assert len(env.episode.turns) == len(actions)


@pytest.mark.parametrize("most", [0, 1, 2, 3])
def test_surplus_calls_may_be_answered_and_the_episode_goes_on(most: int) -> None:
    env = Tiny(Limits(max_calls=most, surplus_calls="answer"))
    env.reset(seed=0)
    refusal = f"No tool calls are left: the limit of {most} is reached."
    expected = [word if index < most else refusal for index, word in enumerate("abcd")]
    observation, _, terminated, truncated, info = env.step("call a\ncall b")
    assert (observation, terminated, truncated) == (f"OBS{expected[0]}|{expected[1]}", False, False)
    observation, *_, info = env.step("call c\ncall d")
    assert observation == f"OBS{expected[2]}|{expected[3]}"
    statuses = [result.status for turn in env.episode.turns for result in turn.results]
    assert statuses == [ToolStatus.OK] * most + [ToolStatus.BUDGET] * (4 - most)
    assert [call["status"] for call in info["calls"]] == [str(status) for status in statuses[2:]]
    assert env.episode.call_count == most
    twin = env.fork()
    assert twin.step("call e")[0] == env.step("call e")[0] == f"OBS{'e' if most > 4 else refusal}"
    assert env.step("answer 4")[1] == twin.step("answer 4")[1] == 1.0


def test_what_surplus_calls_do_must_be_known() -> None:
    with pytest.raises(InputError, match=r"limits\.surplus_calls must be 'truncate' or 'answer' or 'ignore', not 'x'"):
        Limits(surplus_calls="x")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"limits\.observation_cut must be 'ends' or 'head', not 'tail'"):
        Limits(observation_cut="tail")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"limits\.max_turns must be None or at least 1, not 0"):
        Limits(max_turns=0)


def test_ignored_calls_leave_the_answer_to_be_read() -> None:
    env = Tiny(Limits(max_calls=1, surplus_calls="ignore"), retry=False)
    env.reset(seed=0)
    assert env.step("call a")[0] == "OBSa"
    *_, terminated, _, info = env.step("call b")
    assert terminated and info["stop_reason"] == StopReason.NO_ACTION and env.episode.call_count == 1
    assert ended(env, "call a", "call b\nanswer 4")[1] == 1.0


def test_calls_of_a_last_turn_that_has_none_do_not_run() -> None:
    env = Tiny(Limits(max_turns=2, last_turn_calls=False))
    *_, truncated, info = ended(env, "call a", "call b")
    assert (truncated, info["stop_reason"], env.episode.call_count) == (True, StopReason.MAX_TURNS, 1)
    assert ended(env, "call a", "answer 4")[1] == 1.0


def test_published_limits_are_the_formats_own() -> None:
    made = Tiny("published")
    assert made.limits == made.action_format.limits == Limits()
    with pytest.raises(InputError, match="limits must be Limits, None or 'published'"):
        Tiny("paper")


def test_a_program_may_print_the_final_answer_where_the_format_says_so() -> None:
    env = Tiny()
    env.action_format.result_answer = lambda _, results: "4" if any("done" in one.output for one in results) else None
    *_, terminated, _, info = ended(env, "call go on", "call done")
    assert terminated and info["answer"] == "4" and info["score"] == 1.0


def test_a_tool_is_found_by_its_function_and_configured() -> None:
    env = Tiny()
    assert env.tool("echo") is echo
    with pytest.raises(InputError, match="no tool has a function 'ecco'; there are: echo"):
        env.tool("ecco")
    env.tools = (copy.copy(echo),)
    env.configure_tool("echo", {"timeout": 5.0, "max_concurrency": 4})
    env.configure_tool("echo", {"retries": 2})
    assert env.tools[0].timeout == 5.0 and env.tools[0].policy == ToolPolicy(max_concurrency=4, retries=2)
    assert echo.timeout == 30.0 and echo.policy == ToolPolicy()
    with pytest.raises(InputError, match="a tool has no setting 'tries'; it has timeout, max_concurrency"):
        env.configure_tool("echo", {"tries": 1})


def test_a_tool_that_is_gone_leaves_step_and_the_environment_can_be_reset() -> None:
    @tool
    def fetch(text: str) -> str:
        """Fetches.

        Args:
            text: What.
        """
        if text == "gone":
            raise ToolUnavailable("the server is gone")
        return text

    env = Tiny()
    env.tools = (fetch, *env.tools)
    env.action_format.parse = lambda action, _: ParsedAction(str(action), calls=(ToolCall("fetch", {"text": action}),))
    env.reset(seed=0)
    with pytest.raises(ToolUnavailable, match="the server is gone"):
        env.step("gone")
    env.reset(seed=0)
    assert env.step("here")[0] == "OBShere"


@pytest.mark.parametrize("reason", [reason for reason in StopReason if not reason.terminated])
def test_truncation_from_outside(reason: StopReason) -> None:
    env = Tiny()
    env.reset(seed=0)
    env.step("call a")
    observation, reward, terminated, truncated, info = env.truncate(reason)
    assert (observation, reward, terminated, truncated) == ("", 0.0, False, True)
    assert (info["stop_reason"], info["score"], info["answer"]) == (reason, 0.0, None)
    assert bool(info["reward_terms"]) == (reason is not StopReason.FAILED)


@pytest.mark.parametrize(
    "text, reason, reward",
    [
        ("answer 4", StopReason.ANSWER, 1.0),
        ("answer 5", StopReason.ANSWER, 0.0),
        ("call a", StopReason.MAX_TOKENS, 0.0),
        ("wha", StopReason.MAX_TOKENS, 0.0),
    ],
)
def test_truncation_with_a_last_action(text: str, reason: StopReason, reward: float) -> None:
    env = Tiny()
    env.reset(seed=0)
    _, got, terminated, truncated, info = env.truncate(StopReason.MAX_TOKENS, Action(text, "length"))
    assert (got, info["stop_reason"]) == (reward, reason)
    assert (terminated, truncated) == (reason.terminated, not reason.terminated)
    assert env.episode.call_count == 0 and len(env.episode.turns) == 1


def test_an_action_cut_by_its_token_limit() -> None:
    env = Tiny(retry=False)
    env.reset(seed=0)
    *_, truncated, info = env.step(Action("call", "length"))
    assert truncated and info["stop_reason"] == StopReason.MAX_TOKENS


@pytest.mark.parametrize("text", ["OBS4\nanswer 4", "answer 4\nOBS", "OBS\ncall a"])
def test_forging_is_judged_for_every_format(text: str) -> None:
    env = Tiny(Limits(max_turns=1))
    env.reset(seed=0)
    _, reward, *_, info = env.step(text)
    assert reward == 0.0 and info["faults"] == ["forged_observation"]
    assert info["reward_terms"]["forged"] == 1.0


@pytest.mark.parametrize("reason", [StopReason.ANSWER, StopReason.NO_ACTION])
def test_only_the_environment_decides_that_it_came_to_its_end(reason: StopReason) -> None:
    env = Tiny()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="cuts an episode off"):
        env.truncate(reason)


def test_long_observations_are_cut_inside_the_marks() -> None:
    env = Tiny(Limits(max_observation_characters=64))
    env.reset(seed=0)
    observation, *_ = env.step("call " + "x" * 500)
    assert observation.startswith("OBSxx") and observation.endswith("xx")
    assert len(observation) == 64 + len("OBS")
    with pytest.raises(InputError, match="max_observation_characters is 3"):
        Tiny(Limits(max_observation_characters=3))


def test_a_cap_in_tokens_needs_a_truncator() -> None:
    env = Tiny(Limits(max_observation_tokens=2))
    env.reset(seed=0)
    with pytest.raises(InputError, match="tokenizer"):
        env.step("call one two three")
    env.truncator = lambda text, max_tokens, keep: " ".join(text.split()[:max_tokens])
    env.reset(seed=0)
    assert env.step("call one two three")[0] == "OBSone two"


def test_a_bad_call_is_an_observation() -> None:
    env = Tiny()
    env.reset(seed=0)
    env.action_format.parse = lambda action, _: ParsedAction(str(action), calls=(ToolCall("nope"),))  # type: ignore[method-assign]
    observation, *_, info = env.step("anything")
    assert "nope" in observation
    assert info["calls"][0]["status"] == "unknown_tool"


def test_unknown_reset_options_and_tasks() -> None:
    env = Tiny()
    with pytest.raises(InputError, match="task_id"):
        env.reset(options={"task": "one"})
    with pytest.raises(InputError, match="no task has the id 'two'"):
        env.reset(options={"task_id": "two"})
    with pytest.raises(InputError, match="render_mode"):
        ToolEnv(TaskSet([TASK]), action_format=Lines(), reward=env.reward_function, render_mode="human")
