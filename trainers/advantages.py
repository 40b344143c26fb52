"""Advantages of a group of episodes: pure functions of their rewards."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

Advantages = NDArray[np.float64]
Function = Callable[[ArrayLike], Advantages]
"""Advantages of one group from its rewards."""


def grpo(rewards: ArrayLike, *, ddof: int = 1, epsilon: float = 1e-6) -> Advantages:
    """Group-relative advantage: (r - mean) / (std + epsilon).

    DeepSeekMath (arXiv 2402.03300), with verl's constants: the unbiased standard deviation and 1e-6. As there, a group
    of one has mean 0 and standard deviation 1, so that its advantage is its reward.

    Args:
        rewards: Rewards of the group's episodes, shape (G,).
        ddof: 1 for the unbiased standard deviation, 0 for the biased one.
        epsilon: Added to the standard deviation.

    Returns:
        Advantages, shape (G,).
    """
    values = _group(rewards)
    if len(values) == 1:
        return values / (1.0 + epsilon)
    return np.asarray((values - values.mean()) / (values.std(ddof=ddof) + epsilon))


def dr_grpo(rewards: ArrayLike) -> Advantages:
    """Advantage without the division: r - mean.

    Dr. GRPO (arXiv 2503.20783).

    Args:
        rewards: Rewards of the group's episodes, shape (G,).

    Returns:
        Advantages, shape (G,).
    """
    values = _group(rewards)
    return np.asarray(values - values.mean())


def by_group(rewards: Mapping[str, float], groups: Mapping[str, str], advantage: Function) -> dict[str, float]:
    """Advantages of episodes, group by group.

    Args:
        rewards: Reward by episode id.
        groups: Group id by episode id; its episodes are those compared.
        advantage: Advantage function of one group.

    Returns:
        Advantage by episode id.
    """
    members: dict[str, list[str]] = {}
    for episode, group in groups.items():
        members.setdefault(group, []).append(episode)
    result: dict[str, float] = {}
    for episodes in members.values():
        values = advantage([rewards[episode] for episode in episodes])
        result.update(zip(episodes, values.tolist(), strict=True))
    return result


def zero_variance(rewards: ArrayLike, tolerance: float = 1e-8) -> bool:
    """Whether all rewards of a group are equal, so that it teaches nothing.

    Args:
        rewards: Rewards of the group, shape (G,).
        tolerance: Largest spread that counts as equal; guards against float noise that a division by a tiny standard
            deviation would blow up.
    """
    values = _group(rewards)
    return bool(values.max() - values.min() <= tolerance)


def _group(rewards: ArrayLike) -> Advantages:
    values = np.asarray(rewards, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"a group's rewards must be a non-empty 1-D array, not of shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("a group's rewards must be finite; leave failed episodes out before")
    return values
