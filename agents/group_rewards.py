"""Rewards that see a whole group: applied when all episodes of a rollout are over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..envs.episode import Episode, RewardResult
from ..envs.reward import RewardFunction
from .trajectory import Outcome


def apply_group_reward(reward: RewardFunction, outcomes: Iterable[Outcome]) -> None:
    """Judges the episodes of each group together and writes what they earn into their outcomes.

    Failed episodes, and those that belong to no group or are not compared with theirs, keep what they have and are not
    seen. A reward that judges every episode by itself changes nothing.

    Args:
        reward: The environment's reward function.
        outcomes: Outcomes of a rollout, which hold their episodes.
    """
    if reward.group is None:
        return
    valid = [(one, one.episode) for one in outcomes if one.compared and one.group_id and not one.failed]
    members = [(outcome, episode) for outcome, episode in valid if episode is not None]
    results = group_results(
        reward,
        [outcome.group_id for outcome, _ in members],
        [episode for _, episode in members],
        [RewardResult(outcome.reward, outcome.reward_terms) for outcome, _ in members],
    )
    for (outcome, _), result in zip(members, results, strict=True):
        outcome.reward = float(result.reward)
        outcome.reward_terms = {name: float(value) for name, value in result.terms.items()}


def group_results(
    reward: RewardFunction, groups: Sequence[object], episodes: Sequence[Episode], results: Sequence[RewardResult]
) -> list[RewardResult]:
    """What a reward function says of episodes when those of one group are judged together.

    Args:
        reward: The function.
        groups: Group of each episode.
        episodes: The episodes.
        results: What the function said of each alone.

    Returns:
        One result per episode, in their order.
    """
    positions: dict[object, list[int]] = {}
    for position, group in enumerate(groups):
        positions.setdefault(group, []).append(position)
    judged = list(results)
    for group in positions.values():
        anew = reward.for_group([episodes[one] for one in group], [results[one] for one in group])
        for position, result in zip(group, anew, strict=True):
            judged[position] = result
    return judged
