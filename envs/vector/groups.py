"""How a vector's environments are counted, grouped and seeded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ...tools.errors import InputError
from ..env import ToolEnv

Flags = np.ndarray[Any, np.dtype[np.bool_]]
"""For each environment whether it is meant."""


class Groups:
    """Groups of environments, one after the other.

    Args:
        num_envs: Number of environments; by default `num_groups` times `group_size`.
        num_groups: Number of groups; by default `num_envs` divided by `group_size`.
        group_size: Environments in a group.

    Attributes:
        num_envs: Number of environments.
        count: Number of groups.
        size: Environments in a group.
        wanted: Whether anybody asked for groups; without, each environment is a group that nobody speaks of.
        of: The group of each environment.

    Raises:
        InputError: If the numbers do not fit.
    """

    def __init__(self, num_envs: int | None, num_groups: int | None, group_size: int) -> None:
        if group_size < 1 or (num_groups is not None and num_groups < 1):
            raise InputError(f"num_groups and group_size must be at least 1, not {num_groups} and {group_size}")
        number = num_envs if num_groups is None else num_groups * group_size
        if number is None or number < 1:
            raise InputError(f"say how many environments: num_envs (it is {num_envs}), or num_groups and group_size")
        if num_envs not in (None, number) or number % group_size:
            groups = "whole groups" if num_groups is None else f"{num_groups} groups"
            raise InputError(f"{num_envs} environments do not make {groups} of {group_size}")
        self.num_envs, self.count, self.size = number, number // group_size, group_size
        self.wanted = group_size > 1 or num_groups is not None
        self.of = np.arange(number) // group_size

    def spread(self, values: Sequence[Any], what: str) -> list[Any]:
        """Values for the environments, of which there may be one for each group.

        Args:
            values: One for each environment, or for each group.
            what: What they are, for the message.

        Raises:
            InputError: If there are more or fewer.
        """
        values = list(values)
        if len(values) == self.num_envs:
            return values
        if self.wanted and len(values) == self.count:
            return [values[group] for group in self.of]
        groups = f" or {self.count} groups" if self.wanted else ""
        raise InputError(f"{len(values)} {what} for {self.num_envs} environments{groups}; give one for each")

    def seeds(self, start: int, mask: Flags, env: ToolEnv, taken: Collection[str] | None) -> list[int | None]:
        """Seeds counted from a number upwards, one for each group of which a member is to be reset.

        Args:
            start: The first.
            mask: Environments that are to be reset.
            env: Tells which task a seed draws.
            taken: Ids of tasks that other groups have: seeds that draw one of these, or the same as one before, are
                left out while there are other tasks. None leaves none out.

        Returns:
            The seed of each environment; None for those of other groups.
        """
        named: dict[int, int] = {}
        drawn = set(taken or ())
        for group in np.unique(self.of[mask]).tolist():
            if taken is not None:
                if len(drawn) >= len(env.tasks):
                    drawn.clear()
                while (task_id := env.task_of_seed(start).id) in drawn:
                    start += 1
                drawn.add(task_id)
            named[group] = start
            start += 1
        return [named.get(group) for group in self.of.tolist()]


def read_mask(mask: Any, num_envs: int) -> Flags:
    """Which environments a `reset_mask` names; all without one.

    Raises:
        InputError: If it is no array of bools with a place for each environment, or names none.
    """
    if mask is None:
        return np.ones(num_envs, np.bool_)
    read = np.asarray(mask)
    if read.shape != (num_envs,) or read.dtype != np.bool_ or not read.any():
        raise InputError(f"reset_mask must be {num_envs} bools of which one is True at least, not {mask!r:.200}")
    return read
