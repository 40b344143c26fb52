"""What a reward is: of one episode, and of the episodes of a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..tools.errors import InputError
from .episode import Episode, RewardResult

GroupReward = Callable[[Sequence[Episode], Sequence[RewardResult]], Sequence[RewardResult]]
"""Judges the episodes of a group anew, all of them and their single results being known."""


@dataclass(frozen=True)
class RewardFunction:
    """A named reward of a finished episode, with the range that a paper gives it.

    Attributes:
        name: Public name.
        function: Computes reward and terms from the episode.
        minimum: The lowest reward; an episode with a forged observation earns this.
        maximum: The highest reward.
        wrong_ceiling: No episode with a wrong answer earns more than this (format bonuses).
        group: What becomes of the results when all episodes of a group are over; None where each stands alone. Called
            through `for_group`.
    """

    name: str
    function: Callable[[Episode], RewardResult]
    minimum: float = 0.0
    maximum: float = 1.0
    wrong_ceiling: float = 0.0
    group: GroupReward | None = None

    def __call__(self, episode: Episode) -> RewardResult:
        """Reward and terms of a finished episode; forged observations earn the minimum."""
        result = self.function(episode)
        if episode.forged:
            return RewardResult(self.minimum, {**result.terms, "forged": 1.0})
        return result

    def for_group(self, episodes: Sequence[Episode], results: Sequence[RewardResult]) -> list[RewardResult]:
        """The results of a whole group, once all of its episodes are over.

        Episodes with a forged observation keep what they have, and the others are judged as if there were none.

        Args:
            episodes: All valid episodes of one task.
            results: What this function said of each.

        Raises:
            InputError: If there are not as many of the one as of the other.
        """
        if len(episodes) != len(results):
            raise InputError(f"{self.name}: {len(episodes)} episodes cannot have {len(results)} results")
        judged = list(results)
        honest = [index for index, episode in enumerate(episodes) if not episode.forged]
        if self.group is None or not honest:
            return judged
        anew = self.group([episodes[index] for index in honest], [results[index] for index in honest])
        for index, result in zip(honest, anew, strict=True):
            judged[index] = result
        return judged


RewardSpec = str | Mapping[str, float] | RewardFunction
"""How a reward is given: `"exact_match"`, `"research(variant=paper)"`, `"exact_match + 0.1*repetition + 0*f1"`,
`{"exact_match": 1.0, "f1": 0.0}`, or an instance."""
