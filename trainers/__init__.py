"""Trainers: how a policy learns. Stages, advantages, objectives, batching, checkpoints and recipes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .recipe import Recipe, load_recipe, recipe_names

if TYPE_CHECKING:
    from .loop import RunSummary, train
    from .run_folder import RunFolder

_HOMES = {"RunFolder": "run_folder", "RunSummary": "loop", "train": "loop"}

__all__ = ["Recipe", "RunFolder", "RunSummary", "load_recipe", "recipe_names", "train"]


def __getattr__(name: str) -> Any:
    """Imports what needs torch only when it is used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
