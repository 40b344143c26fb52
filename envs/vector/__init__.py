"""A vector of environments on threads, as `gymnasium.make_vec` makes it.

It is the environments' `vector_entry_point`, and so what `make_vec` makes where no other mode is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .env import EnvStep, ToolVectorEnv

__all__ = ["EnvStep", "ToolVectorEnv"]


def __getattr__(name: str) -> Callable[..., ToolVectorEnv]:
    """The maker of a vector of a registered environment, by the environment's id.

    Gymnasium names a vector's entry point as `module:attribute`, so that its specification stays JSON.
    """
    if "/" not in name:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def make(num_envs: int = 1, **options: Any) -> ToolVectorEnv:
        return ToolVectorEnv.of_id(name, num_envs, **options)

    return make
