"""Where a checkpoint comes from: the run that wrote it, and how that run set up its environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..agents.loading import EnvironmentSetup
from ..tools.errors import InputError
from .recipe import Recipe, environment_arguments
from .run_folder import RunFolder


def run_of_checkpoint(folder: str | Path) -> RunFolder | None:
    """The run under whose `checkpoints` a folder lies, if there is one."""
    path = Path(folder).absolute()
    run = RunFolder(path.parent.parent)
    inside = path.parent.name == run.checkpoints.name and (run.path / "recipe.toml").is_file()
    return run if inside else None


def stage_setup(recipe: Recipe, name: str) -> EnvironmentSetup:
    """The environment of a stage.

    Args:
        recipe: The run's recipe.
        name: The stage.

    Raises:
        InputError: If the recipe has no such stage.
    """
    stage = next((stage for stage in recipe.stage if stage.name == name), None)
    if stage is None:
        raise InputError(f"the recipe has no stage {name!r}; it has {', '.join(stage.name for stage in recipe.stage)}")
    options = environment_arguments(recipe, stage.environment_options)
    return EnvironmentSetup(recipe.environment, options, recipe.limits, recipe.tools)


def evaluation_options(recipe: Recipe) -> dict[str, Any]:
    """The options of the environment in which a run evaluates itself after its last stage."""
    last = recipe.stage[-1]
    return environment_arguments(recipe, {**last.environment_options, **recipe.evaluation.options})
