"""Rewards of length: budgets, cosines, groups, overlong responses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ...tools.errors import InputError
from .text import one_of

LcpoVariant = Literal["paper", "code"]
OverlongVariant = Literal["paper", "verl"]
CosineForm = Literal["demystify", "open_r1", "open_rs"]

LCPO_ALPHA, LCPO_DELTA = 0.0003, 0.5
"""Constants of L1 (arXiv 2503.04697)."""

EXCEED_MARGIN = 16
"""Tokens by which a response may not come near the limit in arXiv 2502.03373 (`reward/common.py`)."""


# Budgets ----------------------------------------------------------------------------------------------------------


def lcpo_exact_reward(correct: bool, length: int, budget: int, *, alpha: float = LCPO_ALPHA) -> float:
    """Correctness (1 or 0) less `alpha` for every token off the budget, to either side.

    Source: L1, arXiv 2503.04697, eq. 2 (LCPO-Exact; "Think for N tokens."); cmu-l3/l1, `run_l1_exact.sh`.

    Args:
        correct: Whether the answer is right.
        length: Tokens of the response.
        budget: Tokens that the prompt asked for.
        alpha: Price of a token.
    """
    return correct - alpha * abs(budget - length)


def lcpo_max_reward(
    correct: bool,
    length: int,
    budget: int,
    *,
    alpha: float = LCPO_ALPHA,
    delta: float = LCPO_DELTA,
    variant: LcpoVariant = "paper",
) -> float:
    """Between 0 and 1 if the answer is right, by how far the response stays under its budget; 0 if it is wrong.

    Source: L1, arXiv 2503.04697, eq. 4 (LCPO-Max; "Think for maximum N tokens."): `alpha * (budget - length) + delta`,
    clipped to [0, 1]. The code (cmu-l3/l1, `math_reward.py`) clips `alpha * (budget - length)` to [-1, 1] and maps that
    to [0, 1]: half the slope, `delta` fixed at 0.5.

    Args:
        correct: Whether the answer is right.
        length: Tokens of the response.
        budget: Tokens that the prompt allowed.
        alpha: Price of a token.
        delta: What a response of exactly the budget earns; `paper` alone.
        variant: `paper` or `code`.

    Raises:
        InputError: For an unknown variant.
    """
    one_of("variant", variant, LcpoVariant)
    saved = alpha * (budget - length)
    if variant == "code":
        return correct * (_clip(saved, -1.0, 1.0) + 1) / 2
    return correct * _clip(saved + delta, 0.0, 1.0)


def l1_reward(
    correct: bool, length: int, num_tokens: int, *, linear: bool = False, multiplier: bool = False, alpha: float = 1.0
) -> float:
    """The reward of L1's training script, with its flags and its traps.

    Source: cmu-l3/l1, `math_reward.py` (`math_reward_fn`). Without a flag, or with `num_tokens` -1, correctness alone.
    A positive `num_tokens` asks for exactly as many (score `-alpha * |difference|`), a negative one for at most as many
    (`lcpo_max_reward`, `code`). The score is added to correctness; with `multiplier` it is multiplied, from 0 up, which
    makes every exact prompt earn 0. The script for LCPO-Exact sets `linear` and alpha 0.0003; the one for LCPO-Max sets
    no flag at all.

    Args:
        correct: Whether the answer is right.
        length: Tokens of the response.
        num_tokens: The budget, signed; -1 for none.
        linear: The script's `linear_reward`.
        multiplier: The script's `multiplier_reward`.
        alpha: Price of a token; 1.0 in `rewards_types.py`, 0.01 in the trainer's configuration.
    """
    if num_tokens == -1 or not (linear or multiplier):
        return float(correct)
    if num_tokens < 0:
        score = lcpo_max_reward(True, length, -num_tokens, alpha=alpha, variant="code")
    else:
        score = lcpo_exact_reward(False, length, num_tokens, alpha=alpha)
    return max(0.0, score) * correct if multiplier else score + correct


# Groups -----------------------------------------------------------------------------------------------------------


def kimi_length_rewards(lengths: Sequence[int], correct: Sequence[bool]) -> list[float]:
    """The length rewards of all responses to one prompt: in [-0.5, 0.5].

    From 0.5 for the shortest down to -0.5 for the longest; a wrong response earns no more than 0; all earn 0 where
    they are equally long. Source: Kimi k1.5, arXiv 2501.12599, section 2.3.3 (there added to the reward with a weight,
    after a warm-up without); open-r1's `len_reward`.

    Args:
        lengths: Length of each response.
        correct: Whether each is right.

    Raises:
        InputError: If there are not as many of the one as of the other.
    """
    if len(lengths) != len(correct):
        raise InputError(f"there must be as many lengths as verdicts, not {len(lengths)} and {len(correct)}")
    if len(set(lengths)) < 2:
        return [0.0] * len(lengths)
    shortest, longest = min(lengths), max(lengths)
    shares = [0.5 - (length - shortest) / (longest - shortest) for length in lengths]
    return [share if right else min(0.0, share) for share, right in zip(shares, correct, strict=True)]


# Cosine -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CosineSchedule:
    """The values between which a cosine reward moves as a response grows from nothing to the maximum length.

    Attributes:
        correct_short: Reward of the shortest right response.
        correct_long: Reward of a right response of the maximum length.
        wrong_short: Reward of the shortest wrong response.
        wrong_long: Reward of a wrong response of the maximum length.
        max_length: The maximum length.
        exceeded: Reward of every response that comes within 16 of the maximum length; None for no such rule.
    """

    correct_short: float
    correct_long: float
    wrong_short: float
    wrong_long: float
    max_length: int
    exceeded: float | None = None


COSINE_FORMS: dict[CosineForm, CosineSchedule] = {
    "demystify": CosineSchedule(2.0, 1.0, -10.0, 0.0, 14_336, exceeded=-10.0),
    "open_r1": CosineSchedule(1.0, 0.5, -1.0, -0.5, 1000),
    "open_rs": CosineSchedule(1.0, 0.5, 0.0, -0.5, 3584),
}
"""The published forms: `demystify` as in the scripts of arXiv 2502.03373 (tokens); `open_r1` as the defaults of the
function in open-r1 and open-rs (characters); `open_rs` as the script of open-rs (arXiv 2503.16219) sets it (characters;
3584 in its third experiment, 1000 before), where long wrong responses earn less than short ones."""


def cosine_schedule(form: CosineForm = "open_r1", **values: float | None) -> CosineSchedule:
    """A published form with some of its values changed.

    Args:
        form: `demystify`, `open_r1` or `open_rs`.
        values: Attributes of `CosineSchedule`.

    Raises:
        InputError: For an unknown form or attribute, or a maximum length below 1.
    """
    one_of("form", form, CosineForm)
    unknown = set(values) - set(CosineSchedule.__dataclass_fields__)
    if unknown:
        known = ", ".join(CosineSchedule.__dataclass_fields__)
        raise InputError(f"a cosine schedule has no {', '.join(sorted(unknown))}; it has {known}")
    schedule = replace(COSINE_FORMS[form], **values)  # type: ignore[arg-type]
    if schedule.max_length < 1:
        raise InputError(f"max_length must be at least 1, not {schedule.max_length}")
    return schedule


def cosine_reward(correct: bool, length: int, schedule: CosineSchedule = COSINE_FORMS["open_r1"]) -> float:
    """A reward that moves along half a cosine from its value for short responses to that for long ones.

    Source: "Demystifying Long Chain-of-Thought Reasoning", arXiv 2502.03373, section 4.2; eddycmu/demystify-long-cot,
    `cosine.py`; huggingface/open-r1 and knoveleng/open-rs, `rewards.py`. Where a schedule has no `exceeded`, the cosine
    goes on beyond the maximum length and rises again, as published: a right response of twice the length earns as much
    as an empty one.

    Args:
        correct: Whether the answer is right.
        length: Length of the response, in the schedule's unit.
        schedule: `cosine_schedule(...)`.
    """
    if schedule.exceeded is not None and length + EXCEED_MARGIN >= schedule.max_length:
        return schedule.exceeded
    short, long = schedule.wrong_short, schedule.wrong_long
    if correct:
        short, long = schedule.correct_short, schedule.correct_long
    return long + 0.5 * (short - long) * (1.0 + math.cos(length / schedule.max_length * math.pi))


# Overlong ---------------------------------------------------------------------------------------------------------


def soft_overlong_penalty(
    length: int,
    *,
    max_length: int = 20_480,
    cache: int = 4096,
    factor: float = 1.0,
    variant: OverlongVariant = "paper",
) -> float:
    """0 up to `max_length - cache`, from there down to -1 at the maximum length, and -1 beyond it.

    Source: DAPO, arXiv 2503.14476, eq. 13; open-r1's `soft_overlong_punishment`. It is added to the reward. verl's form
    (`reward_manager/dapo.py`) goes on below -1 beyond the maximum.

    Args:
        length: Tokens of the response.
        max_length: The hard maximum.
        cache: Tokens before it in which the penalty grows.
        factor: What the penalty is multiplied with.
        variant: `paper` or `verl`.

    Raises:
        InputError: For an unknown variant, or a cache that is negative, 0 with `verl`, or longer than the maximum.
    """
    one_of("variant", variant, OverlongVariant)
    if not (variant == "verl") <= cache <= max_length:
        raise InputError(f"cache must be from {int(variant == 'verl')} to max_length ({max_length}), not {cache}")
    over = length - (max_length - cache)
    if variant == "paper" and length > max_length:
        return -factor
    return -factor * over / cache if over > 0 else 0.0


def _clip(value: float, low: float, high: float) -> float:
    return max(low, min(high, value))
