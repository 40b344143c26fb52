"""Checkpoints: an ordinary Hugging Face folder with the trainer's state beside it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..tools.errors import InputError
from .learner import Learner
from .policy import save_policy
from .run import Counters, Run

_TRAINER = "trainer"
_PARTIAL = ".partial"


class Checkpoint(NamedTuple):
    """A checkpoint on disk: its folder, the counters, and the learner's state (None at the start of a stage)."""

    folder: Path
    counters: Counters
    learner: dict[str, Any] | None


def checkpoint_folder(run: Run, stage: str, step: int) -> Path:
    """Folder of a checkpoint of the run."""
    return run.folder.checkpoints / f"{stage}-{step:06d}"


def save_checkpoint(run: Run, stage: str, step: int, learner: Learner | None) -> Path:
    """Saves model, tokenizer, optimizer, schedule and counters; a kill leaves the old checkpoint or the new one.

    Random streams and the task cursor need no state of their own: both are functions of the seed and the counters.

    Args:
        run: The run.
        stage: Name of the stage.
        step: Steps done in it.
        learner: The stage's learner; None before its first step.
    """
    target = checkpoint_folder(run, stage, step)
    partial = target.with_name(target.name + _PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    (partial / _TRAINER).mkdir(parents=True)
    save_policy(run.policy, partial)
    if learner is not None:
        torch.save(learner.state(), partial / _TRAINER / "learner.pt")
    (partial / _TRAINER / "counters.json").write_text(json.dumps(run.counters.as_json(), indent=2) + "\n")
    with _set_aside(target):
        os.replace(partial, target)
    _prune(run, target)
    return target


def latest_checkpoint(run_folder: Path) -> Checkpoint:
    """The newest checkpoint of a run.

    Raises:
        InputError: If the run has none yet.
    """
    complete = [_read(path) for path in _folders(run_folder / "checkpoints")]
    if not complete:
        raise InputError(
            f"{run_folder}: the run was stopped before its first checkpoint; start it anew with --overwrite"
        )
    newest = max(complete, key=lambda checkpoint: (checkpoint.counters.global_step, checkpoint.counters.stage))
    path = newest.folder / _TRAINER / "learner.pt"
    learner = torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None
    return newest._replace(learner=learner)


def _read(folder: Path) -> Checkpoint:
    counters = Counters(**json.loads((folder / _TRAINER / "counters.json").read_text()))
    return Checkpoint(folder, counters, None)


def _prune(run: Run, newest: Path) -> None:
    """Removes old checkpoints; those at the start of a stage stay, as final weights of the stage before."""
    steps = [path for path in _folders(run.folder.checkpoints) if not path.name.endswith("-000000")]
    others = sorted((path for path in steps if path != newest), key=lambda path: _read(path).counters.global_step)
    for path in others[: max(0, len(others) - run.recipe.checkpoints_kept + 1)]:
        with _set_aside(path):
            pass


def _folders(checkpoints: Path) -> list[Path]:
    """Complete checkpoints; what a kill left half-written or half-removed is none."""
    written = [path.parent.parent for path in checkpoints.glob(f"*/{_TRAINER}/counters.json")]
    return [path for path in written if path.suffix != _PARTIAL]


@contextmanager
def _set_aside(folder: Path) -> Iterator[None]:
    """Renames a checkpoint before it is removed, so that a kill half-way leaves no folder that looks whole."""
    aside = folder.with_name(f"{folder.name}.old{_PARTIAL}")
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        os.replace(folder, aside)
    yield
    shutil.rmtree(aside, ignore_errors=True)
