"""What a reward function is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .episode import Episode, RewardResult


@dataclass(frozen=True)
class RewardFunction:
    """A named reward of a finished episode, with the range that a paper gives it.

    Attributes:
        name: Public name.
        function: Computes reward and terms from the episode.
        minimum: The lowest reward; an episode with a forged observation earns this.
        maximum: The highest reward.
        wrong_ceiling: No episode with a wrong answer earns more than this (format bonuses).
    """

    name: str
    function: Callable[[Episode], RewardResult]
    minimum: float = 0.0
    maximum: float = 1.0
    wrong_ceiling: float = 0.0

    def __call__(self, episode: Episode) -> RewardResult:
        """Reward and terms of a finished episode; forged observations earn the minimum."""
        result = self.function(episode)
        if episode.forged:
            return RewardResult(self.minimum, {**result.terms, "forged": 1.0})
        return result
