"""What a rollout cost: time, tokens, tool calls, and how much tool time hid under decoding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


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
        calls: Tool calls by status.
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
        calls = Counter(self.calls) + Counter(other.calls)
        numbers = {
            name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__ if name != "calls"
        }
        return RolloutStatistics(**numbers, calls=dict(calls))


def union_seconds(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals of time, in seconds."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
