"""Rewards of length and repetition: closed forms, and values of the official code."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolgym.envs.rewards import (
    cosine_reward,
    cosine_schedule,
    dense_repetition_penalty,
    kimi_length_rewards,
    l1_reward,
    lcpo_exact_reward,
    lcpo_max_reward,
    repetition_penalty,
    soft_overlong_penalty,
)
from toolgym.tools.errors import InputError

# Budgets --------------------------------------------------------------------------------------------------------


def test_lcpo_exact() -> None:
    assert lcpo_exact_reward(True, 3000, 2000) == lcpo_exact_reward(True, 1000, 2000) == pytest.approx(0.7)
    assert lcpo_exact_reward(False, 3000, 2000) == pytest.approx(-0.3)
    assert lcpo_exact_reward(True, 2000, 2000) == 1


@pytest.mark.parametrize(
    ("length", "paper", "code"),
    [
        (1000, 0.8, 0.65),  # 0.5 + 0.3; (1 + 0.3) / 2
        (2000, 0.5, 0.5),
        (3000, 0.2, 0.35),
        (3666, 0.5 - 0.0003 * 1666, (1 - 0.0003 * 1666) / 2),
        (3667, 0.0, (1 - 0.0003 * 1667) / 2),  # 0.5 / 0.0003 = 1666.7 tokens over
        (6000, 0.0, 0.0),  # 4000 over: -1.2, clipped to -1
        (0, 1.0, 0.8),  # 1.1, clipped; (1 + 0.6) / 2
    ],
)
def test_lcpo_max(length: int, paper: float, code: float) -> None:
    assert lcpo_max_reward(True, length, 2000) == pytest.approx(paper)
    assert lcpo_max_reward(True, length, 2000, variant="code") == pytest.approx(code)
    assert lcpo_max_reward(False, length, 2000) == lcpo_max_reward(False, length, 2000, variant="code") == 0


@pytest.mark.parametrize(
    ("num_tokens", "flags", "right", "wrong"),
    [
        (2000, {}, 1, 0),  # no flag: correctness alone
        (-1, {"linear": True}, 1, 0),
        (2000, {"linear": True}, 0.7, -0.3),
        (-2000, {"linear": True}, 1.35, 0.35),  # (1 - 0.3) / 2, added
        (-2000, {"multiplier": True}, 0.35, 0),
        (-2000, {"linear": True, "multiplier": True}, 0.35, 0),
        (2000, {"linear": True, "multiplier": True}, 0, 0),  # the trap: exact prompts earn nothing
    ],
)
def test_the_script_of_l1(num_tokens: int, flags: dict[str, bool], right: float, wrong: float) -> None:
    assert l1_reward(True, 3000, num_tokens, alpha=0.0003, **flags) == pytest.approx(right)
    assert l1_reward(False, 3000, num_tokens, alpha=0.0003, **flags) == pytest.approx(wrong)


# Groups ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lengths", "correct", "rewards"),
    [
        ([100, 300, 500], [True, True, False], [0.5, 0, -0.5]),
        ([100, 300, 500], [False, False, True], [0, 0, -0.5]),  # a wrong shortest gets 0
        ([100, 400], [False, False], [0, -0.5]),
        ([7, 7], [True, False], [0, 0]),
        ([7], [True], [0]),
        ([], [], []),
    ],
)
def test_kimi(lengths: list[int], correct: list[bool], rewards: list[float]) -> None:
    assert kimi_length_rewards(lengths, correct) == pytest.approx(rewards)


def test_kimi_needs_a_verdict_for_each() -> None:
    with pytest.raises(InputError, match="as many lengths as verdicts, not 2 and 1"):
        kimi_length_rewards([1, 2], [True])


# Cosine ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "length", "right", "wrong"),
    [
        ("open_r1", 0, 1.0, -1.0),
        ("open_r1", 500, 0.75, -0.75),
        ("open_r1", 1000, 0.5, -0.5),
        ("open_r1", 2000, 1.0, -1.0),  # beyond the maximum it rises again, as published
        ("open_rs", 0, 1.0, 0.0),
        ("open_rs", 1792, 0.75, -0.25),
        ("open_rs", 3584, 0.5, -0.5),  # long wrong responses are worse than short ones
        ("demystify", 0, 2.0, -10.0),
        ("demystify", 7168, 1.5, -5.0),
        ("demystify", 14_319, None, None),
        ("demystify", 14_320, -10.0, -10.0),  # 14,320 + 16 = 14,336
        ("demystify", 20_000, -10.0, -10.0),
    ],
)
def test_cosine(form: Any, length: int, right: float | None, wrong: float | None) -> None:
    turn = (1 + math.cos(14_319 / 14_336 * math.pi)) / 2
    schedule = cosine_schedule(form)
    assert cosine_reward(True, length, schedule) == pytest.approx(1 + turn if right is None else right)
    assert cosine_reward(False, length, schedule) == pytest.approx(-10 * turn if wrong is None else wrong)


def test_cosine_by_default_and_with_other_values() -> None:
    assert cosine_reward(True, 500) == pytest.approx(0.75)
    other = cosine_schedule("open_r1", max_length=100, correct_short=3.0, exceeded=-7.0)
    assert cosine_reward(True, 0, other) == 3 and cosine_reward(True, 84, other) == -7
    with pytest.raises(InputError, match="has no max_len; it has correct_short"):
        cosine_schedule(max_len=3)
    with pytest.raises(InputError, match="max_length must be at least 1"):
        cosine_schedule(max_length=0)
    with pytest.raises(InputError, match="form must be"):
        cosine_schedule("linear")  # type: ignore[arg-type]


# Overlong -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "paper", "verl"),
    [(0, 0, 0), (16_384, 0, 0), (18_432, -0.5, -0.5), (20_480, -1, -1), (20_481, -1, -4097 / 4096), (24_576, -1, -2)],
)
def test_soft_overlong(length: int, paper: float, verl: float) -> None:
    assert soft_overlong_penalty(length) == pytest.approx(paper)
    assert soft_overlong_penalty(length, variant="verl") == pytest.approx(verl)
    assert soft_overlong_penalty(length, factor=0.5) == pytest.approx(paper / 2)


def test_bounds_of_soft_overlong() -> None:
    assert soft_overlong_penalty(10, max_length=10, cache=0) == 0
    assert soft_overlong_penalty(11, max_length=10, cache=0) == -1
    for options in ({"cache": -1}, {"cache": 11}, {"cache": 0, "variant": "verl"}):
        with pytest.raises(InputError, match="cache must be from"):
            soft_overlong_penalty(5, max_length=10, **options)  # type: ignore[arg-type]


# Repetition -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ngram_size", "penalty"),
    [
        ("a b c a b c", 3, -0.25),  # abc bca cab abc: 3 of 4 are different
        ("A b C a B c", 3, -0.25),  # without regard to case
        ("a a a a", 3, -0.5),
        ("a a a a", 1, -0.75),
        ("a b c", 3, 0.0),
        ("a b", 3, 0.0),
        ("", 3, 0.0),
        ("a\u00a0b a\tb", 2, -1 / 3),  # ab ba ab
    ],
)
def test_repetition(text: str, ngram_size: int, penalty: float) -> None:
    assert repetition_penalty(text, ngram_size=ngram_size) == pytest.approx(penalty)
    assert repetition_penalty(text, ngram_size=ngram_size, max_penalty=-0.5) == pytest.approx(penalty / 2)


@pytest.mark.parametrize(
    ("tokens", "only_start", "marked"),
    [
        ("abab", False, "0011"),  # ab ba ab: the second ab
        ("aaaa", False, "0111"),  # aa from 1 on and from 2 on
        ("aaaa", True, "0110"),  # that from 2 on starts within the one before
        ("aaaaaa", True, "0110" + "00"),  # each that is passed over bars the next
        ("abcabcxab", True, "000110011"),  # bc from 4 on is passed over, and the last ab is far enough
        ("ab", False, "00"),
        ("", False, ""),
    ],
)
def test_dense_repetition(tokens: str, only_start: bool, marked: str) -> None:
    penalties = dense_repetition_penalty(tokens, ngram_size=2, penalty=-0.05, only_start=only_start)
    assert penalties == [-0.05 * int(mark) for mark in marked]


@given(st.text(alphabet="ab ", max_size=40), st.integers(1, 5))
def test_repetition_is_bounded(text: str, ngram_size: int) -> None:
    assert -1 < repetition_penalty(text, ngram_size=ngram_size) <= 0
    dense = dense_repetition_penalty(text, ngram_size=ngram_size)
    assert len(dense) == len(text) and not any(dense[:1])


def test_penalties_are_no_rewards() -> None:
    for score in (repetition_penalty, dense_repetition_penalty):
        with pytest.raises(InputError, match="at least 1"):
            score("a", ngram_size=0)
    with pytest.raises(InputError, match="not be positive"):
        repetition_penalty("a", max_penalty=0.1)
    with pytest.raises(InputError, match="not be positive"):
        dense_repetition_penalty("a", penalty=0.1)
