"""The training loop: stage by stage, step by step."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard.writer import SummaryWriter

from ..agents.stored_episodes import with_whole_groups
from ..tools.errors import InputError
from .checkpoint import latest_checkpoint, save_checkpoint
from .cold_start import ColdStartStage, demonstrator
from .grpo import GrpoStage
from .policy import load_policy, make_policy
from .progress import Observer, Silent
from .recipe import ColdStart, Evaluate, Grpo, Recipe, StageBase
from .run import Run, make_environment, open_cassette
from .run_folder import RunFolder


@dataclass(frozen=True)
class RunSummary:
    """What a run came to.

    Attributes:
        folder: Where it lies.
        evaluations: All evaluations, in order.
        seconds: Wall time, over all sessions of the run.
        peak_memory_bytes: Most resident memory of this process.
    """

    folder: Path
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    peak_memory_bytes: int = 0


def train(recipe: Recipe, folder: Path, *, resume: bool = False, observer: Observer | None = None) -> RunSummary:
    """Runs a recipe.

    Args:
        recipe: What to do. With `resume`, the recipe that the run was started with.
        folder: The run's folder; a new one, unless `resume`.
        resume: Continue from the run's last checkpoint. What was logged after it is forgotten.
        observer: Who watches.

    Returns:
        Where the run lies and how it scored.

    Raises:
        InputError: For a folder that holds a run already (or none, with `resume`), or a model, file or option that
            does not exist.
    """
    started = time.perf_counter()
    run, learner_state = _begin(recipe, folder, resume, observer or Silent())
    before = run.counters.seconds
    board = SummaryWriter(str(run.folder.path / "tensorboard"), purge_step=run.counters.global_step + 1)
    try:
        for position, settings in enumerate(recipe.stage):
            if position < run.counters.stage:
                continue
            run.counters.stage = position
            first_step = run.counters.stage_steps.setdefault(settings.name, 0)
            run.observer.stage_started(settings.name, settings.steps, first_step)
            if isinstance(settings, Evaluate):
                _evaluate(run, settings, 0, board)
                continue
            if first_step == 0:
                if position == 0 and recipe.model != "scratch":
                    _evaluate(run, settings, 0, board)
                save_checkpoint(run, settings.name, 0, learner=None)
            stage = _make_stage(run, settings)
            if learner_state is not None:
                stage.learner.load_state(learner_state)
                learner_state = None

            for step in range(first_step, settings.steps):
                metrics = stage.step(step)
                done = step + 1
                run.counters.stage_steps[settings.name] = done
                run.counters.global_step += 1
                run.counters.seconds = before + time.perf_counter() - started
                _log(run, settings.name, done, metrics, board)
                new_rows = step == 0 or isinstance(stage, GrpoStage)  # demonstrations stay the same
                if new_rows and (step % recipe.trajectories_every == 0 or done == settings.steps):
                    rows, count = stage.trajectories, recipe.trajectories_stored
                    run.folder.write_trajectories(settings.name, done, rows[:count], run.codec)
                    run.folder.write_episodes(settings.name, done, with_whole_groups(rows, count))
                if _due(done, settings.evaluate_every, settings.steps):
                    _evaluate(run, settings, done, board)
                if _due(done, recipe.checkpoint_every, settings.steps):
                    save_checkpoint(run, settings.name, done, stage.learner)
    finally:
        board.close()
        run.close()
    return RunSummary(run.folder.path, run.folder.read_evaluations(), run.counters.seconds, peak_memory_bytes())


def _begin(recipe: Recipe, folder: Path, resume: bool, observer: Observer) -> tuple[Run, dict[str, Any] | None]:
    """Sets up a run, new or from its last checkpoint; returns it with the learner's state."""
    device = choose_device(recipe.device)
    if recipe.engine == "vllm" and find_spec("vllm") is None:
        raise InputError("engine=vllm needs vLLM: run `make vllm-cpu` (CPU), or install toolgym[train,vllm] (CUDA)")
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    if not resume:
        # Everything that a person may have got wrong is found before the folder is made.
        for stage in recipe.stage:
            make_environment(recipe, {**stage.environment_options, **recipe.evaluation.options})
            env = make_environment(recipe, stage.environment_options)
            if isinstance(stage, ColdStart):
                demonstrator(env, stage, seed=0)
        cassette = open_cassette(recipe)
        policy = make_policy(recipe, make_environment(recipe, recipe.stage[0].environment_options, cassette))
        return Run(recipe, RunFolder.create(folder, recipe), policy, device, observer, cassette=cassette), None
    run_folder = RunFolder.open(folder)
    checkpoint = latest_checkpoint(run_folder.path)
    counters = checkpoint.counters
    run_folder.truncate_after(counters.stage_steps, set(counters.stage_steps))
    observer.message(f"resuming from {checkpoint.folder.name}, {counters.seconds:.0f} s into the run")
    policy = load_policy(checkpoint.folder, recipe.chat)
    cassette = open_cassette(recipe)
    return Run(recipe, run_folder, policy, device, observer, counters, cassette), checkpoint.learner


def _make_stage(run: Run, settings: ColdStart | Grpo) -> ColdStartStage | GrpoStage:
    return ColdStartStage(run, settings) if isinstance(settings, ColdStart) else GrpoStage(run, settings)


def _due(done: int, every: int, steps: int) -> bool:
    return done == steps or (every > 0 and done % every == 0)


def _log(run: Run, stage: str, step: int, metrics: Mapping[str, float], board: SummaryWriter) -> None:
    run.folder.append_metrics(stage, step, {"global_step": run.counters.global_step, **metrics})
    for name, value in metrics.items():
        board.add_scalar(f"{stage}/{name}", value, run.counters.global_step)
    run.observer.stepped(stage, step, metrics)


def _evaluate(run: Run, settings: StageBase, step: int, board: SummaryWriter) -> None:
    started = time.perf_counter()
    result = run.evaluate(settings)
    seconds = time.perf_counter() - started
    run.folder.write_evaluation(
        settings.name, step, {"global_step": run.counters.global_step, "seconds": seconds, **result.as_json()}
    )
    metrics = {**result.metrics(), "seconds": seconds}
    board.add_scalar("evaluation/score", metrics["score"], run.counters.global_step)
    run.observer.evaluated(settings.name, step, metrics)


def choose_device(device: str) -> str:
    """The device that `auto` means here, or the one asked for.

    Raises:
        InputError: If CUDA is asked for and there is none.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device=cuda was asked for, but torch sees no CUDA device; use device=cpu or a CUDA build")
    return device


def peak_memory_bytes() -> int:
    """Most resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024
