"""What vectors add to a step, and how far tools' latencies overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import gymnasium as gym

from ..envs import Limits, ToolEnv, ToolVectorEnv
from . import environment_workload as work

SIZE = 16
"""Environments of the vectors whose overhead is measured."""
_STEPS = 8
_LIMITS = Limits(max_turns=None)


def vector_figures(
    make: Callable[..., ToolEnv], blocks: int, sizes: Sequence[int] = work.SIZES
) -> dict[str, list[float]]:
    """Seconds of vectors' steps for each environment, and of steps whose tools take `work.LATENCY`.

    Args:
        make: Makes an environment whose tool is a given function.
        blocks: How often each is measured.
        sizes: Environments whose tools' latencies are to overlap.

    Returns:
        For each figure one value for each block.
    """
    found: dict[str, list[float]] = {}
    for name, tool in (("quick", work.lookup), ("busy", work.busy), ("nap", work.nap)):
        one = partial(make, tool, limits=_LIMITS)
        alone = one()
        sync, threads = gym.vector.SyncVectorEnv([one] * SIZE), ToolVectorEnv(one(), SIZE)
        actions = [work.SEARCHING] * SIZE
        for _ in range(blocks):
            for env in (alone, sync, threads):
                env.reset(seed=0)
            threads.step(actions)  # it finds out whether threads pay
            timed = {
                f"alone: {name} step": work.seconds_each(partial(alone.step, work.SEARCHING), _STEPS),
                f"sync: {name} step of {SIZE}": work.seconds_each(partial(sync.step, actions), _STEPS) / SIZE,
                f"on threads: {name} step of {SIZE}": work.seconds_each(partial(threads.step, actions), _STEPS) / SIZE,
            }
            for what, seconds in timed.items():
                found.setdefault(what, []).append(seconds)
        for env in (alone, sync, threads):
            env.close()
    for size in sizes:
        vector = ToolVectorEnv(make(work.slow, limits=replace(_LIMITS, max_turns=9)), size)
        vector.reset(seed=0)
        actions = [work.SEARCHING] * size
        found[f"on threads: {size}, {work.LATENCY} s"] = [
            work.seconds_each(partial(vector.step, actions), 1) for _ in range(3)
        ]
        vector.close()
    return found
