"""Evaluation: an agent on a set of tasks, and how far its score can be trusted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from ..envs.env import ToolEnv
from ..envs.task import Task
from ..tools.errors import InputError
from .encoding import Codec
from .engines.base import InferenceEngine, SamplingParams
from .group_rewards import apply_group_reward
from .intervals import Interval, mean_interval
from .rollout import EpisodeRequest, Schedule, rollout
from .rollout_statistics import RolloutStatistics
from .trajectory import Outcome, Trajectory


@dataclass(frozen=True)
class EpisodeRecord:
    """One evaluated episode.

    Attributes:
        task_id: The task.
        sample: Which sample of the task, from 0.
        score: Verified correctness in [0, 1].
        reward: What a trainer would optimise.
        reward_terms: Named parts of the reward.
        stop_reason: Why the episode ended.
        question: What was asked.
        answer: What the agent answered, if anything.
        gold: Accepted answers.
        turns: Actions taken.
        calls: Tool calls by status.
        faults: Format faults by name.
        action_tokens: Tokens that the agent wrote.
        observation_tokens: Tokens that the environment wrote after the prompt.
        seconds: Wall time.
        error: What happened to an episode that the infrastructure lost.
        note: What the environment knows of why the agent may have missed it.
    """

    task_id: str
    sample: int
    score: float
    reward: float
    reward_terms: Mapping[str, float]
    stop_reason: str
    question: str
    answer: str | None
    gold: tuple[str, ...]
    turns: int
    calls: Mapping[str, int]
    faults: Mapping[str, int]
    action_tokens: int
    observation_tokens: int
    seconds: float
    error: str = ""
    note: str = ""

    @property
    def failed(self) -> bool:
        """Whether the infrastructure lost it: it says nothing about the agent."""
        return self.stop_reason == "failed"

    @property
    def reason(self) -> str:
        """In a few words, why the score is below 1."""
        if self.failed:
            return f"the infrastructure failed: {self.error}"
        if self.answer is None:
            return f"no answer: {self.stop_reason}" + (f" ({', '.join(self.faults)})" if self.faults else "")
        short = "wrong answer" if self.score == 0 else f"partly right ({self.score:.2f})"
        return self.note or short

    def as_json(self) -> dict[str, Any]:
        """The record as JSON."""
        return {**asdict(self), "gold": list(self.gold)}


@dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation found. Episodes that the infrastructure lost are counted, and in no mean.

    Attributes:
        records: Every episode, in the order of the tasks.
        statistics: What the rollout cost.
        samples: Episodes per task.
        seed: Seed of the sampling and of the bootstrap.
        trajectories: The rows of the first episodes, as many as were asked for.
        outcomes: How every episode ended, with its record, if that was asked for.
    """

    records: list[EpisodeRecord]
    statistics: RolloutStatistics
    samples: int = 1
    seed: int = 0
    trajectories: list[Trajectory] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @cached_property
    def valid(self) -> list[EpisodeRecord]:
        """Episodes that say something about the agent."""
        return [record for record in self.records if not record.failed]

    @property
    def failed(self) -> int:
        """Episodes lost to the infrastructure."""
        return len(self.records) - len(self.valid)

    @cached_property
    def _by_task(self) -> dict[str, list[EpisodeRecord]]:
        groups: dict[str, list[EpisodeRecord]] = {}
        for record in self.valid:
            groups.setdefault(record.task_id, []).append(record)
        return groups

    @property
    def tasks(self) -> int:
        """Tasks with at least one valid episode."""
        return len(self._by_task)

    @property
    def score(self) -> float:
        """Mean over tasks of the mean score of a task's samples."""
        return _mean([_mean([record.score for record in group]) for group in self._by_task.values()])

    @cached_property
    def interval(self) -> Interval:
        """95 % interval of the score."""
        return mean_interval([[record.score for record in group] for group in self._by_task.values()], self.seed)

    @property
    def reward(self) -> float:
        """Mean over tasks of the mean reward of a task's samples."""
        return _mean([_mean([record.reward for record in group]) for group in self._by_task.values()])

    @cached_property
    def reward_interval(self) -> Interval:
        """95 % interval of the reward."""
        return mean_interval([[record.reward for record in group] for group in self._by_task.values()], self.seed)

    @property
    def best_score(self) -> float:
        """Mean over tasks of the best score among a task's samples (pass@samples for 0/1 scores)."""
        return _mean([max(record.score for record in group) for group in self._by_task.values()])

    @property
    def by_stop_reason(self) -> dict[str, int]:
        """Episodes by stop reason, the failed ones included."""
        return dict(Counter(record.stop_reason for record in self.records).most_common())

    @property
    def calls(self) -> dict[str, int]:
        """Tool calls by status."""
        return _total(record.calls for record in self.valid)

    @property
    def faults(self) -> dict[str, int]:
        """Format faults by name."""
        return _total(record.faults for record in self.valid)

    @property
    def reward_terms(self) -> dict[str, float]:
        """Mean of each reward term over the episodes that have it."""
        names = dict.fromkeys(name for record in self.valid for name in record.reward_terms)
        return {
            name: _mean([record.reward_terms[name] for record in self.valid if name in record.reward_terms])
            for name in names
        }

    @property
    def missed(self) -> list[EpisodeRecord]:
        """Episodes with a score below 1, the failed ones included."""
        return [record for record in self.records if record.failed or record.score < 1]

    def metrics(self) -> dict[str, float]:
        """The headline numbers, for logs and observers."""
        return {
            "score": self.score,
            "score_low": self.interval.low,
            "score_high": self.interval.high,
            "reward": self.reward,
            "tasks": self.tasks,
            "episodes": len(self.records),
            "failed_episodes": self.failed,
            "turns_mean": _mean([record.turns for record in self.valid]),
            "calls_mean": _mean([sum(record.calls.values()) for record in self.valid]),
            "action_tokens_mean": _mean([record.action_tokens for record in self.valid]),
            "seconds": self.statistics.seconds,
            "tokens_per_second": self.statistics.tokens_per_second,
            "hidden_tool_share": self.statistics.hidden_tool_share,
        }

    def as_json(self) -> dict[str, Any]:
        """Everything as one JSON object; NaN (no valid episode) becomes null."""
        numbers = {name: None if math.isnan(value) else value for name, value in self.metrics().items()}
        return {
            **numbers,
            "score_interval": self.interval.method,
            "samples": self.samples,
            "seed": self.seed,
            **({"best_score": self.best_score} if self.samples > 1 else {}),
            "reward_terms": self.reward_terms,
            "stop_reasons": self.by_stop_reason,
            "calls": self.calls,
            "tools": {name: tool.as_json() for name, tool in self.statistics.tools.items()},
            "abandoned_calls": self.statistics.abandoned_calls,
            "faults": self.faults,
            "records": [record.as_json() for record in self.records],
        }


def evaluate(
    engine: InferenceEngine,
    codec: Codec,
    env: ToolEnv,
    *,
    task_ids: Sequence[str] | None = None,
    limit: int | None = None,
    samples: int = 1,
    sampling: SamplingParams | None = None,
    seed: int = 0,
    concurrency: int = 64,
    workers: int = 8,
    schedule: Schedule = "fast",
    on_episode: Callable[[Outcome], None] | None = None,
    keep_trajectories: int = 0,
    keep_episodes: bool = False,
    explain: Callable[[Task], str] | None = None,
) -> EvaluationResult:
    """Plays tasks and scores them.

    Args:
        engine: Samples actions, or plays a scripted policy.
        codec: Turns text into ids and back.
        env: Environment whose tasks are played.
        task_ids: Which tasks; all of the environment's by default.
        limit: Only the first tasks of those.
        samples: Episodes per task.
        sampling: How to sample; greedy by default, which makes several samples of one task the same.
        seed: Keys the random streams and the bootstrap.
        concurrency: Most episodes in progress at once.
        workers: Threads that step environments.
        schedule: As for `rollout`.
        on_episode: Called with the outcome of every finished episode.
        keep_trajectories: Rows to keep in the result, from the first episode on.
        keep_episodes: Keep the outcomes with the episodes' records.
        explain: Says of a task why an agent may have missed it (the environment's `oracle_gap`, for its oracle).

    Raises:
        InputError: If a count is out of range or a task id is unknown.
    """
    for name, value in (("samples", samples), ("concurrency", concurrency), ("workers", workers)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, not {value}")
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1, not {limit}")
    if task_ids is None and limit is None and env.tasks.endless:
        raise InputError(f"the tasks of {env.tasks.name} never run out; say how many to play with limit")
    tasks = env.tasks if limit is None else env.tasks.head(limit)
    ids = [task.id for task in tasks] if task_ids is None else [env.tasks.by_id(one).id for one in task_ids]
    requests = [
        EpisodeRequest(task_id, f"{task_id}#{sample}", task_id) for task_id in ids[:limit] for sample in range(samples)
    ]
    played = rollout(
        engine,
        codec,
        env,
        requests,
        sampling or SamplingParams(temperature=0.0),
        seed=seed,
        concurrency=concurrency,
        workers=workers,
        schedule=schedule,
        on_episode=on_episode,
    )
    outcomes = {row.outcome.episode_id: row.outcome for row in played.trajectories}
    apply_group_reward(env.reward_function, outcomes.values())
    records = [_record(outcomes[request.episode_id], index % samples, env) for index, request in enumerate(requests)]
    if explain is not None:
        records = [
            replace(record, note=explain(env.tasks.by_id(record.task_id))) if record.score < 1 else record
            for record in records
        ]
    rows, kept = played.trajectories[:keep_trajectories], list(outcomes.values()) if keep_episodes else []
    return EvaluationResult(records, played.statistics, samples, seed, rows, kept)


def _record(outcome: Outcome, sample: int, env: ToolEnv) -> EpisodeRecord:
    task = env.tasks.by_id(outcome.task_id)
    return EpisodeRecord(
        task_id=task.id,
        sample=sample,
        score=outcome.score,
        reward=outcome.reward,
        reward_terms=dict(outcome.reward_terms),
        stop_reason=outcome.stop_reason.value,
        question=task.question,
        answer=outcome.answer,
        gold=task.answers,
        turns=outcome.turns,
        calls=dict(outcome.call_statuses),
        faults=dict(outcome.faults),
        action_tokens=outcome.action_tokens,
        observation_tokens=outcome.observation_tokens,
        seconds=outcome.seconds,
        error=outcome.error,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total.most_common())
