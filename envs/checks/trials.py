"""Plays the canaries and says what each of them won."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from ..env import ScriptedPolicy, ToolEnv
from ..task import Task
from .base import CheckSkipped, Subject
from .canaries import Canary, Stage
from .laws import ceiling_of
from .play import last_moment

CHANCE = 0.001
"""A score above the guess rate is held for luck unless guessing gives as much in fewer than one in a thousand sets."""
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Trial:
    """What a canary won in an environment.

    Attributes:
        canary: Its name.
        ok: Whether it won nothing that it should not; True where it could not be tried.
        reason: What it won, or why it could not be tried; empty otherwise.
        episodes: Tasks that it was played on; 0 where it could not be tried.
        score: Mean score.
        chance: Probability that guessing scores as much or more on that many tasks.
        reward: Mean reward.
        wrong_reward: Highest reward of an episode whose score is below 1; None if there is none.
        calls: Mean number of tool calls.
        gain: Share of what honest play is worth that the cheat got: see `gain_of`.
    """

    canary: str
    ok: bool
    reason: str = ""
    episodes: int = 0
    score: float = 0.0
    chance: float = 1.0
    reward: float = 0.0
    wrong_reward: float | None = None
    calls: float = 0.0
    gain: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def try_canary(subject: Subject, canary: Canary) -> Trial:
    """Plays a canary on the tasks of a subject; of its variants, the one with the highest score counts."""
    known = subject.tasks
    if canary.times > 1:
        count, size = canary.times * len(known), len(subject.env.tasks)
        # A set that is not much larger is played whole, so that the score is the set's own.
        known = tuple(islice(subject.env.tasks, size if size <= 2 * count else count))
    trials = []
    with subject.fresh() as env:
        stage = Stage(env, known)
        for script in canary.scripts:
            try:
                trials.append(_play(env, canary.name, script(stage), known[: canary.most], subject.seed))
            except CheckSkipped as reason:
                trials.append(Trial(canary.name, True, str(reason)))
    return max(trials, key=lambda trial: (not trial.ok, trial.score, trial.episodes))


def _play(env: ToolEnv, name: str, policy: ScriptedPolicy, tasks: Sequence[Task], seed: int) -> Trial:
    scores, rewards, wrong, above, calls = [], [], [], [], 0
    for task in tasks:
        last = last_moment(env, policy, seed=seed, options={"task_id": task.id})
        scores.append(float(last.info["score"]))
        rewards.append(float(last.reward))
        calls += env.episode.call_count
        if scores[-1] < 1:
            wrong.append(rewards[-1])
            above.append(max(0.0, rewards[-1] - ceiling_of(env, last.info)))
    count, reward = len(tasks), env.reward_function
    score, chance = sum(scores) / count, chance_of(sum(scores), count, env.guess_rate)
    lucky = score <= env.guess_rate + _TOLERANCE or chance >= CHANCE
    reasons = []
    if not lucky:
        reasons.append(f"scores {score:.3f}, the guess rate is {env.guess_rate:.2g}")
    if max(above, default=0.0) > _TOLERANCE:
        reasons.append(f"earns {max(wrong):.3g} for a wrong answer, the ceiling is {reward.wrong_ceiling:.3g}")
    gain = gain_of(env, 0.0 if lucky else score, sum(above) / count)
    most = max(wrong, default=None)
    mean = sum(rewards) / count
    return Trial(name, not reasons, "; ".join(reasons), count, score, chance, mean, most, calls / count, gain)


def gain_of(env: ToolEnv, score: float, above: float) -> float:
    """The share of what honest play is worth that a cheat got, from 0 to 1.

    The larger of two shares: of the way from the guess rate to a score of 1, and of the way from the ceiling of wrong
    episodes to the highest reward, the latter as a mean over the episodes. 0 is no better than guessing, 1 as good as
    solving. Where guessing is always right, or the ceiling is the highest reward, there is nothing to gain.

    Args:
        env: The environment, with its guess rate and the range of its reward.
        score: Mean score; 0 where luck explains it.
        above: Mean over all episodes of what those whose score is below 1 earned above their ceiling.
    """
    guess, reward = env.guess_rate, env.reward_function
    by_score = (score - guess) / (1 - guess) if guess < 1 else 0.0
    room = reward.maximum - reward.wrong_ceiling
    by_reward = above / room if room > 0 else 0.0
    return min(1.0, max(0.0, by_score, by_reward))


def chance_of(total: float, episodes: int, guess_rate: float) -> float:
    """Probability that `episodes` guesses, each right with `guess_rate`, sum up to `total` or more (binomial)."""
    least = math.ceil(total - _TOLERANCE)
    if least <= 0:
        return 1.0
    if not 0 < guess_rate < 1:
        return float(guess_rate >= 1)
    terms = (
        math.comb(episodes, right) * guess_rate**right * (1 - guess_rate) ** (episodes - right)
        for right in range(least, episodes + 1)
    )
    return min(1.0, math.fsum(terms))
