"""Episodes for the tests of rewards, made of written actions."""

from __future__ import annotations

from typing import Any

from toolgym.envs.episode import Action, Episode, FinishReason, StopReason, Turn
from toolgym.envs.formats import action_format
from toolgym.envs.rewards import reward_function
from toolgym.envs.task import Task
from toolgym.tools.base import ToolCall, ToolResult, ToolStatus

TASK = Task("t", "Capital of France?", ("Paris",))
CALL = ToolCall("search", {"query": "France"})
NUMBER = Task("t", "?", ("18",), {"num_tokens": 100, "tests": "assert f() == 18", "tool": "code"})
LONG = " hm </think> <answer> {} </answer>"


def play(
    format_name: str,
    actions: list[str],
    *,
    task: Task = TASK,
    results: tuple[ToolResult, ...] = (ToolResult(ToolStatus.OK, "a passage"),),
    finish_reason: FinishReason = "eos",
    stop_reason: StopReason | None = None,
    tokens: int | None = None,
) -> Episode:
    """An episode with these actions, of so many tokens each; every call returns the next result."""
    made = action_format(format_name)
    episode = Episode(task, made.text(task, []))
    for position, text in enumerate(actions):
        action = Action(text, finish_reason, tokens)
        parsed = made.parse(action)
        returned = tuple(results[position % len(results)] for _ in parsed.calls)
        observation = made.render(parsed.calls, returned) if parsed.calls else ""
        episode.turns.append(Turn(action, parsed, returned, observation))
    ended = StopReason.ANSWER if episode.answer is not None else StopReason.NO_ACTION
    episode.stop_reason = stop_reason or ended
    return episode


def search_then(format_name: str, answer: str, **options: Any) -> Episode:
    made = action_format(format_name)
    return play(format_name, [made.write_call("hm", CALL, 1), made.write_answer("so", answer, 2)], **options)


def reward_of(name: str, episode: Episode) -> tuple[float, dict[str, float]]:
    result = reward_function(name)(episode)
    return result.reward, dict(result.terms)
