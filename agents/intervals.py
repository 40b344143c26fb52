"""Intervals of shares and means: how far a score can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


class Interval(NamedTuple):
    """A 95 % interval and how it was computed.

    Attributes:
        low: Lower end.
        high: Upper end.
        method: `wilson` or `bootstrap`; `none` without data.
    """

    low: float
    high: float
    method: str = "wilson"


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> Interval:
    """Wilson's score interval of a share.

    Args:
        successes: How many of the trials succeeded.
        trials: How many there were; without any the interval is all of [0, 1].
        z: Quantile of the normal distribution.

    Raises:
        ValueError: If the counts make no share.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no share")
    if trials == 0:
        return Interval(0.0, 1.0)
    share, correction = successes / trials, z * z / trials
    middle = (share + correction / 2) / (1 + correction)
    half = z * math.sqrt(share * (1 - share) / trials + correction / (4 * trials)) / (1 + correction)
    # At the ends the formula is exact and only rounding leaves [0, 1].
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    return Interval(low, 1.0 if successes == trials else min(1.0, middle + half))


def bootstrap_interval(values: Sequence[float], seed: int = 0, resamples: int = 2000) -> Interval:
    """Percentile bootstrap interval of a mean.

    Args:
        values: Independent values, one per task.
        seed: Seed of the resampling.
        resamples: How many resamples.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        return Interval(math.nan, math.nan, "none")
    generator = np.random.default_rng(seed)
    rows_at_once = max(1, min(resamples, 2_000_000 // data.size))
    means: list[float] = []
    while len(means) < resamples:
        rows = min(rows_at_once, resamples - len(means))
        means.extend(data[generator.integers(0, data.size, size=(rows, data.size))].mean(axis=1))
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(low), float(high), "bootstrap")


def mean_interval(groups: Sequence[Sequence[float]], seed: int = 0) -> Interval:
    """Interval of a mean over tasks, each with one value or several.

    Tasks are the independent units: with several samples per task, their mean is what counts. Where every task is
    wholly right or wholly wrong the interval is Wilson's, otherwise a bootstrap over the tasks.

    Args:
        groups: The values of each task.
        seed: Seed of the bootstrap.
    """
    means = [sum(group) / len(group) for group in groups if group]
    if not means:
        return Interval(math.nan, math.nan, "none")
    if all(mean in (0.0, 1.0) for mean in means):
        return wilson_interval(int(sum(means)), len(means))
    return bootstrap_interval(means, seed)
