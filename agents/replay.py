"""Stored episodes scored again: what another reward would have said of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..envs.env import ToolEnv
from ..envs.task import Task, TaskSet
from .group_rewards import group_results
from .intervals import Interval, bootstrap_interval
from .loading import EnvironmentSetup
from .stored_episodes import StoredEpisode

TOLERANCE = 1e-9
"""Rewards nearer to each other than this are the same: sums may be added up in another order."""


@dataclass(frozen=True)
class RescoredEpisode:
    """A stored episode and what it earns now.

    Attributes:
        stage: Stage of the run.
        step: Step after which it was stored.
        episode_id: Its id.
        task_id: The task.
        answer: The final answer, if any.
        stop_reason: Why it ended.
        old_reward: What it earned.
        reward: What it earns.
        old_score: Its score then.
        score: Its score.
        old_terms: The parts of the reward then.
        terms: The parts of the reward.
    """

    stage: str
    step: int
    episode_id: str
    task_id: str
    answer: str | None
    stop_reason: str
    old_reward: float
    reward: float
    old_score: float
    score: float
    old_terms: Mapping[str, float]
    terms: Mapping[str, float]

    @property
    def changed(self) -> bool:
        """Whether reward or score is another one."""
        return not (_same(self.old_reward, self.reward) and _same(self.old_score, self.score))

    @property
    def changed_terms(self) -> dict[str, tuple[float | None, float | None]]:
        """Parts of the reward that differ, then and now; None where there is no such part."""
        names = dict.fromkeys([*self.old_terms, *self.terms])
        pairs = {name: (self.old_terms.get(name), self.terms.get(name)) for name in names}
        return {
            name: (old, new) for name, (old, new) in pairs.items() if old is None or new is None or not _same(old, new)
        }

    def as_json(self) -> dict[str, Any]:
        """The episode as JSON."""
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            "old_terms": dict(self.old_terms),
            "terms": dict(self.terms),
            "changed": self.changed,
            "changed_terms": {name: list(pair) for name, pair in self.changed_terms.items()},
        }


@dataclass(frozen=True)
class PairedDifference:
    """A mean before and after over the same episodes; the mean of a task's episodes counts once.

    Attributes:
        old: Mean then.
        new: Mean now.
        difference: Mean of the differences.
        interval: 95 % interval of that, by a bootstrap over the tasks.
    """

    old: float
    new: float
    difference: float
    interval: Interval

    @classmethod
    def of(cls, tasks: Sequence[str], old: Sequence[float], new: Sequence[float]) -> PairedDifference:
        """The difference over episodes of some tasks."""
        pairs: dict[str, list[tuple[float, float]]] = {}
        for task, before, after in zip(tasks, old, new, strict=True):
            pairs.setdefault(task, []).append((before, after))
        befores = [_mean([pair[0] for pair in group]) for group in pairs.values()]
        afters = [_mean([pair[1] for pair in group]) for group in pairs.values()]
        differences = [_mean([after - before for before, after in group]) for group in pairs.values()]
        return cls(_mean(befores), _mean(afters), _mean(differences), bootstrap_interval(differences))

    def as_json(self) -> dict[str, Any]:
        """The difference as JSON."""
        ends = [self.interval.low, self.interval.high]
        return {"old": self.old, "new": self.new, "difference": self.difference, "interval": ends}


@dataclass(frozen=True)
class Replay:
    """Stored episodes, scored again.

    Attributes:
        reward_name: The reward that scored them.
        episodes: All of them, in the order in which they were stored.
    """

    reward_name: str
    episodes: list[RescoredEpisode]

    @cached_property
    def changed(self) -> list[RescoredEpisode]:
        """Those whose reward or score is another one."""
        return [episode for episode in self.episodes if episode.changed]

    @cached_property
    def reward(self) -> PairedDifference:
        """The mean reward then and now."""
        return self._difference("reward")

    @cached_property
    def score(self) -> PairedDifference:
        """The mean score then and now."""
        return self._difference("score")

    def _difference(self, name: str) -> PairedDifference:
        return PairedDifference.of(
            [episode.task_id for episode in self.episodes],
            [getattr(episode, f"old_{name}") for episode in self.episodes],
            [getattr(episode, name) for episode in self.episodes],
        )

    def as_json(self, shown: Sequence[RescoredEpisode] | None = None) -> dict[str, Any]:
        """Everything as one JSON object.

        Args:
            shown: The episodes to list; all by default.
        """
        return {
            "reward_function": self.reward_name,
            "episodes": len(self.episodes),
            "tasks": len({episode.task_id for episode in self.episodes}),
            "changed": len(self.changed),
            "changed_rewards": sum(not _same(one.old_reward, one.reward) for one in self.episodes),
            "changed_scores": sum(not _same(one.old_score, one.score) for one in self.episodes),
            "reward": self.reward.as_json(),
            "score": self.score.as_json(),
            "records": [episode.as_json() for episode in (self.episodes if shown is None else shown)],
        }


def rescore(
    stored: Sequence[StoredEpisode], setup: Callable[[str], EnvironmentSetup], reward: str | None = None
) -> Replay:
    """Scores stored episodes; a reward that sees whole groups sees those that were compared with each other.

    Args:
        stored: The episodes, at least one.
        setup: How the environment of a stage was made.
        reward: What to score with; None for the environment's own.

    Raises:
        InputError: If an episode cannot be read back, there is no such reward, or the environment cannot be made.
    """
    rescored: dict[int, RescoredEpisode] = {}
    name = ""
    for stage in dict.fromkeys(episode.stage for episode in stored):
        places = [place for place, episode in enumerate(stored) if episode.stage == stage]
        played = [stored[place] for place in places]
        tasks = {episode.task_id: episode.task for episode in played}
        kept = [task for task in tasks.values() if task is not None]
        whole = len(kept) == len(tasks)
        env = setup(stage).scorer(TaskSet(kept, f"tasks of {stage}") if whole else None, reward)
        name = env.reward_function.name
        others = {task_id: env.tasks.by_id(task_id) for task_id, task in tasks.items() if task is None}
        rescored |= zip(places, _score(played, env, others), strict=True)
        env.close()
    return Replay(name, [rescored[place] for place in range(len(stored))])


def _score(stored: Sequence[StoredEpisode], env: ToolEnv, tasks: Mapping[str, Task]) -> list[RescoredEpisode]:
    episodes = [one.episode(tasks.get(one.task_id)) for one in stored]
    assessed = [env.assess(episode) for episode in episodes]
    results = [result for result, _ in assessed]
    members = [place for place, one in enumerate(stored) if one.compared and one.group_id]
    judged = group_results(
        env.reward_function,
        [(stored[place].step, stored[place].group_id) for place in members],
        [episodes[place] for place in members],
        [results[place] for place in members],
    )
    for place, result in zip(members, judged, strict=True):
        results[place] = result
    return [
        RescoredEpisode(
            one.stage,
            one.step,
            one.episode_id,
            one.task_id,
            episode.answer,
            episode.stop_reason.value if episode.stop_reason is not None else "",
            one.reward,
            float(result.reward),
            one.score,
            score,
            dict(one.reward_terms),
            {name: float(value) for name, value in result.terms.items()},
        )
        for one, episode, result, (_, score) in zip(stored, episodes, results, assessed, strict=True)
    ]


def _same(old: float, new: float) -> bool:
    return old == new or abs(old - new) <= TOLERANCE or (math.isnan(old) and math.isnan(new))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
