"""Episodes on disk: what a run or an evaluation has played, to be scored again."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..envs.episode import Episode
from ..envs.episode_json import episode_from_json, episode_to_json, task_from_json, task_is_whole
from ..envs.task import Task
from ..tools.errors import InputError
from .trajectory import Outcome, Trajectory

FORMAT = 1


@dataclass(frozen=True)
class StoredEpisode:
    """An episode as it was stored, with what it earned then.

    Attributes:
        stage: Stage of the run; `evaluation` for an evaluation.
        step: Step of the stage after which it was stored.
        episode_id: Its id, unique within a step.
        group_id: Episodes with one group id are compared with each other; "" where nothing was compared.
        compared: Whether it counts among its group.
        reward: What it earned.
        score: Verified correctness in [0, 1].
        reward_terms: Named parts of the reward.
        data: The episode as JSON.
    """

    stage: str
    step: int
    episode_id: str
    group_id: str
    compared: bool
    reward: float
    score: float
    reward_terms: Mapping[str, float]
    data: Mapping[str, Any]

    @property
    def task_id(self) -> str:
        """The task."""
        return str(self.data["task"]["id"])

    @property
    def task(self) -> Task | None:
        """The task; None if something of it was not stored."""
        return task_from_json(self.data) if task_is_whole(self.data) else None

    def episode(self, task: Task | None = None) -> Episode:
        """The episode.

        Args:
            task: Takes the place of the stored task, where that is not whole.

        Raises:
            InputError: If something in it was not stored.
        """
        return episode_from_json(self.data, task)


def write_episodes(path: Path, stage: str, step: int, outcomes: Iterable[Outcome]) -> int:
    """Stores episodes, one a line; those that the infrastructure lost are left out.

    Args:
        path: The file, gzipped JSON lines.
        stage: Stage that played them.
        step: Steps done in it.
        outcomes: What a rollout returned.

    Returns:
        How many were stored.
    """
    count = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="ascii") as file:
        for outcome in outcomes:
            if outcome.episode is None or outcome.failed:
                continue
            line = {
                "format": FORMAT,
                "stage": stage,
                "step": step,
                "episode_id": outcome.episode_id,
                "group_id": outcome.group_id,
                "compared": outcome.compared,
                "reward": outcome.reward,
                "score": outcome.score,
                "reward_terms": dict(outcome.reward_terms),
                "episode": episode_to_json(outcome.episode),
            }
            file.write(json.dumps(line) + "\n")
            count += 1
    return count


def read_episodes(paths: Iterable[Path]) -> Iterator[StoredEpisode]:
    """The episodes in files that `write_episodes` wrote, in their order.

    Raises:
        InputError: If a file is damaged; names the line.
    """
    for path in paths:
        number = 0
        try:
            with gzip.open(path, "rt", encoding="ascii") as lines:
                for number, line in enumerate(lines, 1):
                    data = json.loads(line)
                    if data.pop("format") != FORMAT:
                        raise InputError(f"{path}, line {number}: another version of toolgym stored this episode")
                    yield StoredEpisode(data=data.pop("episode"), **data)
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}, line {number}: no stored episode ({type(error).__name__}: {error})") from error


def with_whole_groups(rows: Sequence[Trajectory], count: int) -> list[Outcome]:
    """The episodes of the first rows, and all others of their groups, so that whole groups can be scored again.

    Args:
        rows: All rows of a rollout.
        count: How many rows.
    """
    first = [row.outcome for row in rows[:count]]
    ids, groups = {outcome.episode_id for outcome in first}, {outcome.group_id for outcome in first} - {""}
    outcomes = {row.outcome.episode_id: row.outcome for row in rows}
    return [outcome for outcome in outcomes.values() if outcome.episode_id in ids or outcome.group_id in groups]
