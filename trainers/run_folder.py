"""What a run leaves on disk, and how it is read back."""

from __future__ import annotations

import gzip
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import tomli_w

from ..agents.encoding import Codec
from ..agents.stored_episodes import StoredEpisode, read_episodes, write_episodes
from ..agents.trajectory import Outcome, Trajectory
from ..tools.errors import InputError
from .recipe import Recipe, load_recipe

PACKAGES = ("toolgym", "torch", "transformers", "vllm", "gymnasium", "numpy", "bm25s", "tokenizers")


class RunFolder:
    """A run's folder: recipe, versions, metrics, trajectories, episodes, checkpoints, evaluations.

    Args:
        path: The folder.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def exists(self) -> bool:
        """Whether a run is there."""
        return (self.path / "recipe.toml").is_file()

    @classmethod
    def create(cls, path: str | Path, recipe: Recipe) -> RunFolder:
        """Makes a new run's folder.

        Raises:
            InputError: If a run is there already.
        """
        run = cls(path)
        if run.exists:
            raise InputError(
                f"{run.path}: a run is there already; continue it with --resume {run.path}, "
                "give another --name, or replace it with --overwrite"
            )
        for folder in (run.trajectories, run.episodes, run.checkpoints, run.evaluations):
            folder.mkdir(parents=True, exist_ok=True)
        run.write_text("recipe.toml", tomli_w.dumps(_without_none(recipe.model_dump(mode="json"))))
        run.write_text("versions.json", json.dumps(versions(), indent=2) + "\n")
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """An existing run.

        Raises:
            InputError: If there is none.
        """
        run = cls(path)
        if not run.exists:
            raise InputError(f"{path}: no run is there (no recipe.toml); runs lie under runs/NAME")
        return run

    @property
    def trajectories(self) -> Path:
        """Stored trajectories: `STAGE-STEP.jsonl.gz`, one row a line."""
        return self.path / "trajectories"

    @property
    def episodes(self) -> Path:
        """Stored episodes: `STAGE-STEP.jsonl.gz`, one a line (`toolgym replay` scores them again)."""
        return self.path / "episodes"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints: `STAGE-STEP/`, a Hugging Face folder each, with `trainer/` beside the model's files."""
        return self.path / "checkpoints"

    @property
    def evaluations(self) -> Path:
        """Evaluations: `STAGE-STEP.json`."""
        return self.path / "eval"

    def recipe(self) -> Recipe:
        """The resolved recipe of the run."""
        return load_recipe(str(self.path / "recipe.toml"))

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of `metrics.jsonl`: `stage`, `step` (from 1 within the stage) and the step's numbers."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]

    def read_evaluations(self) -> list[dict[str, Any]]:
        """All evaluations, in the order in which they were made."""
        results = [json.loads(path.read_text()) for path in self.evaluations.glob("*.json")]
        return sorted(results, key=lambda result: int(result["global_step"]))

    def read_trajectories(self) -> Iterator[dict[str, Any]]:
        """All stored rows (see `trajectory_record`), in the order of the stages and their steps."""
        for path in self._in_order(self.trajectories):
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                for line in lines:
                    yield json.loads(line)

    def read_episodes(self) -> Iterator[StoredEpisode]:
        """All stored episodes, in the order of the stages and their steps; none where a run has stored none."""
        return read_episodes(self._in_order(self.episodes))

    def _in_order(self, folder: Path) -> list[Path]:
        """The files of a folder, in the order of the stages and their steps."""
        order = {stage.name: position for position, stage in enumerate(self.recipe().stage)}

        def place(path: Path) -> tuple[int, str, int]:
            stage, _, step = path.name.removesuffix(".jsonl.gz").rpartition("-")
            return order.get(stage, len(order)), stage, int(step)

        return sorted(folder.glob("*.jsonl.gz"), key=place)

    # Writing ---------------------------------------------------------------------------------------------------

    def write_text(self, name: str, text: str) -> None:
        """Writes a file so that a crash leaves the old one or the new one."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, target)

    def append_metrics(self, stage: str, step: int, metrics: Mapping[str, Any]) -> None:
        """Adds a line to `metrics.jsonl`."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"stage": stage, "step": step, **metrics}) + "\n")

    def write_evaluation(self, stage: str, step: int, result: Mapping[str, Any]) -> None:
        """Stores an evaluation."""
        self.write_text(f"eval/{stage}-{step:06d}.json", json.dumps({"stage": stage, "step": step, **result}) + "\n")

    def write_trajectories(self, stage: str, step: int, rows: Iterable[Trajectory], codec: Codec) -> None:
        """Stores rows, with the text of every token beside its id."""
        path = self.trajectories / f"{stage}-{step:06d}.jsonl.gz"
        with gzip.open(path, "wt", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps({"stage": stage, "step": step, **trajectory_record(row, codec)}) + "\n")

    def write_episodes(self, stage: str, step: int, outcomes: Iterable[Outcome]) -> None:
        """Stores episodes."""
        write_episodes(self.episodes / f"{stage}-{step:06d}.jsonl.gz", stage, step, outcomes)

    def truncate_after(self, steps: Mapping[str, int], running: set[str]) -> None:
        """Forgets what was logged after a checkpoint.

        Args:
            steps: The last step that the checkpoint knows, by stage.
            running: Stages that exist at all at the checkpoint; lines of others are dropped.
        """
        kept = [line for line in self.metrics() if line["stage"] in running and line["step"] <= steps[line["stage"]]]
        self.write_text("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in kept))
        for folder in (self.trajectories, self.episodes, self.evaluations):
            for path in folder.glob("*"):
                stage, _, rest = path.name.rpartition("-")
                if stage not in running or int(rest.split(".")[0]) > steps[stage]:
                    path.unlink()
        for path in self.path.glob("**/*.partial"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def trajectory_record(row: Trajectory, codec: Codec) -> dict[str, Any]:
    """A row as JSON: its outcome, and segments with ids, token texts, logprobs and roles."""
    outcome = row.outcome
    return {
        "episode_id": outcome.episode_id,
        "task_id": outcome.task_id,
        "group_id": outcome.group_id,
        "row": row.row,
        "reward": outcome.reward,
        "score": outcome.score,
        "reward_terms": dict(outcome.reward_terms),
        "stop_reason": outcome.stop_reason.value,
        "answer": outcome.answer,
        "turns": outcome.turns,
        "advantage": row.advantage,
        "trainable": row.trainable,
        "segments": [
            {
                "role": segment.role.value,
                "turn": segment.turn,
                "token_ids": list(segment.token_ids),
                "texts": [codec.decode([token_id]) for token_id in segment.token_ids],
                "logprobs": None if segment.logprobs is None else list(segment.logprobs),
                "policy_version": segment.policy_version,
            }
            for segment in row.segments
        ],
    }


def versions() -> dict[str, Any]:
    """Versions of what a result depends on, and the hardware."""
    found: dict[str, Any] = {"python": sys.version.split()[0], "platform": platform.platform()}
    found["processor"] = platform.processor() or platform.machine()
    found["cores"] = os.cpu_count()
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _without_none(value: Any) -> Any:
    """TOML has no null: unset keys are left out."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
