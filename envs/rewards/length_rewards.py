"""Rewards of an episode's length and of its repetitions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ...tools.errors import InputError
from ..episode import Episode, RewardResult
from ..reward import RewardFunction
from . import length
from . import repetition as repetition_text
from .episodes import Judge, LengthUnit, is_correct, length_of, written_by_agent

LOWEST_LCPO = -3.0
"""Floor of `lcpo_exact`, whose published form has none: ten thousand tokens off the budget at its published price."""


def cosine(
    *,
    form: length.CosineForm = "open_r1",
    judge: Judge = "math",
    unit: LengthUnit | None = None,
    max_length: int | None = None,
    correct_short: float | None = None,
    correct_long: float | None = None,
    wrong_short: float | None = None,
    wrong_long: float | None = None,
) -> RewardFunction:
    """A reward that moves with length along a cosine (`cosine_reward`).

    Args:
        form: The published values: `demystify`, `open_r1` or `open_rs`.
        judge: What decides whether an answer is right.
        unit: `tokens` or `characters`; by default tokens for `demystify` and characters for the others, as published.
        max_length: Changes the form's maximum length.
        correct_short: Changes the form's value.
        correct_long: Changes the form's value.
        wrong_short: Changes the form's value.
        wrong_long: Changes the form's value.
    """
    given = {
        "max_length": max_length,
        "correct_short": correct_short,
        "correct_long": correct_long,
        "wrong_short": wrong_short,
        "wrong_long": wrong_long,
    }
    schedule = length.cosine_schedule(form, **{name: value for name, value in given.items() if value is not None})
    wrong = [schedule.wrong_short, schedule.wrong_long]
    wrong += [] if schedule.exceeded is None else [schedule.exceeded]
    values = [*wrong, schedule.correct_short, schedule.correct_long]
    counted: LengthUnit = unit or ("tokens" if form == "demystify" else "characters")
    return RewardFunction(
        "cosine",
        partial(_cosine, schedule=schedule, judge=judge, unit=counted),
        minimum=min(values),
        maximum=max(values),
        wrong_ceiling=max(wrong),
    )


def _cosine(episode: Episode, schedule: length.CosineSchedule, judge: Judge, unit: LengthUnit) -> RewardResult:
    correct, units = is_correct(episode, judge), length_of(episode, unit)
    return _result(length.cosine_reward(correct, units, schedule), correct, units)


def lcpo_exact(
    *,
    budget: int | None = None,
    alpha: float = length.LCPO_ALPHA,
    judge: Judge = "math",
    unit: LengthUnit = "tokens",
    floor: float = LOWEST_LCPO,
) -> RewardFunction:
    """L1's reward for exactly as many tokens as asked for (`lcpo_exact_reward`).

    Args:
        budget: Tokens that the prompt asks for; by default `num_tokens` of the task's metadata.
        alpha: Price of a token.
        judge: What decides whether an answer is right.
        unit: `tokens` or `characters`.
        floor: The lowest reward; the published form has none.
    """
    function = partial(_lcpo_exact, budget=budget, alpha=alpha, judge=judge, unit=unit, floor=floor)
    return RewardFunction("lcpo_exact", function, minimum=floor)


def _lcpo_exact(
    episode: Episode, budget: int | None, alpha: float, judge: Judge, unit: LengthUnit, floor: float
) -> RewardResult:
    correct, units = is_correct(episode, judge), length_of(episode, unit)
    reward = length.lcpo_exact_reward(correct, units, _budget(episode, budget), alpha=alpha)
    return _result(max(floor, reward), correct, units)


def lcpo_max(
    *,
    budget: int | None = None,
    alpha: float = length.LCPO_ALPHA,
    delta: float = length.LCPO_DELTA,
    variant: length.LcpoVariant = "paper",
    judge: Judge = "math",
    unit: LengthUnit = "tokens",
) -> RewardFunction:
    """L1's reward for at most as many tokens as allowed (`lcpo_max_reward`).

    Args:
        budget: Tokens that the prompt allows; by default `num_tokens` of the task's metadata, whose sign is ignored.
        alpha: Price of a token.
        delta: What exactly the budget earns.
        variant: `paper` or `code`.
        judge: What decides whether an answer is right.
        unit: `tokens` or `characters`.
    """
    options = {"alpha": alpha, "delta": delta, "variant": variant}
    return RewardFunction("lcpo_max", partial(_lcpo_max, budget=budget, judge=judge, unit=unit, options=options))


def _lcpo_max(
    episode: Episode, budget: int | None, judge: Judge, unit: LengthUnit, options: dict[str, Any]
) -> RewardResult:
    correct, units = is_correct(episode, judge), length_of(episode, unit)
    return _result(length.lcpo_max_reward(correct, units, _budget(episode, budget), **options), correct, units)


def _budget(episode: Episode, budget: int | None) -> int:
    found = episode.task.metadata.get("num_tokens") if budget is None else budget
    if not isinstance(found, int):
        raise InputError(
            "a length reward needs each task's budget: its metadata's 'num_tokens', or the option budget=1000"
        )
    return abs(found)


def soft_overlong(
    *, max_length: int = 20_480, cache: int = 4096, factor: float = 1.0, unit: LengthUnit = "tokens"
) -> RewardFunction:
    """DAPO's soft punishment of overlong responses (`soft_overlong_penalty`), to be added to another reward.

    Args:
        max_length: The hard maximum.
        cache: Length before it in which the penalty grows.
        factor: What the penalty is multiplied with.
        unit: `tokens` or `characters`.
    """
    length.soft_overlong_penalty(0, max_length=max_length, cache=cache)  # bounds that make no sense fail here
    function = partial(_soft_overlong, max_length=max_length, cache=cache, factor=factor, unit=unit)
    return RewardFunction("soft_overlong", function, minimum=-abs(factor), maximum=max(0.0, -factor))


def _soft_overlong(episode: Episode, max_length: int, cache: int, factor: float, unit: LengthUnit) -> RewardResult:
    units = length_of(episode, unit)
    penalty = length.soft_overlong_penalty(units, max_length=max_length, cache=cache, factor=factor)
    return RewardResult(penalty, {"length": float(units), "overlong": float(penalty < 0)})


def kimi_length(*, judge: Judge = "math", unit: LengthUnit = "tokens") -> RewardFunction:
    """Kimi k1.5's length reward (`kimi_length_rewards`): 0 until the whole group is over, then in [-0.5, 0.5].

    Args:
        judge: What decides whether an answer is right.
        unit: `tokens` or `characters`.
    """
    return RewardFunction(
        "kimi_length", partial(_kimi_alone, judge=judge, unit=unit), minimum=-0.5, maximum=0.5, group=_kimi_group
    )


def _kimi_alone(episode: Episode, judge: Judge, unit: LengthUnit) -> RewardResult:
    return _result(0.0, is_correct(episode, judge), length_of(episode, unit))


def _kimi_group(episodes: Sequence[Episode], results: Sequence[RewardResult]) -> list[RewardResult]:
    lengths = [int(result.terms["length"]) for result in results]
    correct = [result.terms["correct"] > 0 for result in results]
    rewards = length.kimi_length_rewards(lengths, correct)
    return [RewardResult(reward, result.terms) for reward, result in zip(rewards, results, strict=True)]


def repetition(
    *, ngram_size: int = repetition_text.NGRAM_SIZE, max_penalty: float = repetition_text.MAX_PENALTY
) -> RewardFunction:
    """The penalty for repeated n-grams of words in what the agent wrote (`repetition_penalty`).

    Args:
        ngram_size: Words in an n-gram.
        max_penalty: What nothing but repetitions would earn; at most 0.
    """
    repetition_text.repetition_penalty("", ngram_size=ngram_size, max_penalty=max_penalty)
    function = partial(_repetition, ngram_size=ngram_size, max_penalty=max_penalty)
    return RewardFunction("repetition", function, minimum=max_penalty, maximum=0.0)


def _repetition(episode: Episode, ngram_size: int, max_penalty: float) -> RewardResult:
    written = written_by_agent(episode)
    return RewardResult(repetition_text.repetition_penalty(written, ngram_size=ngram_size, max_penalty=max_penalty))


def _result(reward: float, correct: bool, units: int) -> RewardResult:
    return RewardResult(reward, {"correct": float(correct), "length": float(units)})
