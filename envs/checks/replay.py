"""Plays a seed in a process of its own, for the check that another process plays alike."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, cast

import gymnasium as gym

from ...tools.errors import InputError
from ..env import ToolEnv
from ..limits import Limits
from .play import transcript

CANNOT_IMPORT = 3
"""Exit code where the environment's class cannot be imported in another process."""


@dataclass(frozen=True)
class Recipe:
    """How an environment was made.

    Attributes:
        entry_point: Its class or function, or `module:Name`.
        options: What it was given.
        limits: Its bounds, which may have been set afterwards.
    """

    entry_point: Any
    options: Mapping[str, Any]
    limits: Limits

    @classmethod
    def of(cls, env: ToolEnv) -> Recipe:
        """The recipe of an environment that was made by an id.

        Raises:
            InputError: If it was not.
        """
        if env.spec is None or env.spec.entry_point is None:
            raise InputError(f"{type(env).__name__} was not made by an id, so that it cannot be made again")
        return cls(env.spec.entry_point, dict(env.spec.kwargs), env.limits)

    def make(self) -> ToolEnv:
        """The environment, made anew."""
        entry = self.entry_point
        creator = gym.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
        env = cast(ToolEnv, creator(**self.options))
        env.limits = self.limits
        return env


def main() -> int:
    """Reads a pickled recipe and a seed from stdin; prints the transcript as JSON."""
    try:
        recipe, seed = pickle.load(sys.stdin.buffer)
    except (ImportError, AttributeError) as error:
        sys.stderr.write(f"another process cannot import it ({error})\n")
        return CANNOT_IMPORT
    with redirect_stdout(sys.stderr):  # what the environment prints is no part of the answer
        env = recipe.make()
        played = list(transcript(env, seed))
        env.close()
    json.dump(played, sys.stdout)
    return 0
