"""Trainers: how a policy learns. Stages, advantages, objectives, batching, checkpoints and recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..tools.lazy import lazy_names
from .recipe import Recipe, load_recipe, recipe_names

if TYPE_CHECKING:
    from .loop import RunSummary, train
    from .run_folder import RunFolder

_HOMES = {"RunFolder": "run_folder", "RunSummary": "loop", "train": "loop"}

__all__ = ["Recipe", "RunFolder", "RunSummary", "load_recipe", "recipe_names", "train"]


__getattr__ = lazy_names(__name__, _HOMES)
