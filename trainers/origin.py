"""Where a checkpoint comes from: the run that wrote it, and how that run set up its environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .recipe import Recipe, environment_arguments
from .run_folder import RunFolder


def run_of_checkpoint(folder: str | Path) -> RunFolder | None:
    """The run under whose `checkpoints` a folder lies, if there is one."""
    path = Path(folder).absolute()
    run = RunFolder(path.parent.parent)
    inside = path.parent.name == run.checkpoints.name and (run.path / "recipe.toml").is_file()
    return run if inside else None


def evaluation_options(recipe: Recipe) -> dict[str, Any]:
    """The options of the environment in which a run evaluates itself after its last stage."""
    last = recipe.stage[-1]
    return environment_arguments(recipe, {**last.environment_options, **recipe.evaluation.options})
