"""What a rollout cost: time, tokens, tool calls, and how much tool time hid under decoding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from ..envs.episode import Episode, StopReason
from ..tools.base import Tool, ToolStatus
from ..tools.recorded_tools import RecordedTool
from ..tools.shared import shared_state
from ..tools.statistics import UNKNOWN, ToolStatistics, merged


@dataclass
class RolloutStatistics:
    """What a rollout cost.

    Attributes:
        episodes: Episodes played to an end.
        failed: Episodes lost to the infrastructure, after retries.
        retried: Episodes played again after a failure.
        seconds: Wall time of the rollout.
        generated_tokens: Tokens sampled.
        tool_seconds: Wall time during which at least one environment step was running.
        waiting_seconds: Wall time during which the engine had nothing to do but wait for environments.
        forks: Rows begun because a chat template rewrote the history.
        calls: Tool calls that ran, by status.
        tools: What the calls of each function came to; calls of functions that do not exist under `unknown`.
        abandoned_calls: Calls that passed their timeout and still ran at the end of the rollout.
    """

    episodes: int = 0
    failed: int = 0
    retried: int = 0
    seconds: float = 0.0
    generated_tokens: int = 0
    tool_seconds: float = 0.0
    waiting_seconds: float = 0.0
    forks: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    tools: dict[str, ToolStatistics] = field(default_factory=dict)
    abandoned_calls: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Sampled tokens per second of wall time."""
        return self.generated_tokens / self.seconds if self.seconds else 0.0

    @property
    def hidden_tool_share(self) -> float:
        """Share of the tool time during which the engine was decoding (1 when there was no tool time)."""
        if self.tool_seconds <= 0:
            return 1.0
        return max(0.0, 1.0 - self.waiting_seconds / self.tool_seconds)

    def combined(self, other: RolloutStatistics) -> RolloutStatistics:
        """The statistics of two rollouts, one after the other."""
        special = ("calls", "tools", "abandoned_calls")
        numbers = {
            name: getattr(self, name) + getattr(other, name)
            for name in self.__dataclass_fields__
            if name not in special
        }
        return RolloutStatistics(
            **numbers,
            calls=dict(Counter(self.calls) + Counter(other.calls)),
            tools=merged(self.tools, other.tools),
            abandoned_calls=other.abandoned_calls,
        )

    def expect_tools(self, tools: Sequence[Tool]) -> None:
        """Begins an entry for every function, so that one that is never called is seen to be so."""
        for tool in tools:
            for function in tool.functions:
                self.tools.setdefault(function.name, ToolStatistics())

    def count_calls(self, episode: Episode) -> None:
        """Counts the tool calls of an episode that has ended, those beyond its budget included."""
        known = set(self.tools) - {UNKNOWN}
        for turn in episode.turns:
            for call, result in zip_longest(turn.parsed.calls, turn.results):
                name = call.name if call is not None and isinstance(call.name, str) and call.name in known else UNKNOWN
                entry = self.tools.setdefault(name, ToolStatistics())
                if result is not None:
                    self.calls[result.status.value] = self.calls.get(result.status.value, 0) + 1
                    entry.add(result)
                elif turn is episode.turns[-1] and episode.stop_reason is StopReason.MAX_CALLS:
                    entry.statuses[ToolStatus.BUDGET.value] += 1


def abandoned_calls(tools: Sequence[Tool]) -> int:
    """Calls of tools that passed their timeout and still run in this process."""
    called = [tool.tool if isinstance(tool, RecordedTool) else tool for tool in tools]
    return sum(max(0, shared_state(tool).abandoned) for tool in called)


def union_seconds(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals of time, in seconds."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
