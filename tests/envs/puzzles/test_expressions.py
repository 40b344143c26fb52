from __future__ import annotations

import re
import warnings
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolgym.envs.puzzles.expressions import (
    LONGEST,
    exact_value,
    find_expression,
    python_value,
    read_expression,
    write_expression,
)


def exact(text: str) -> Fraction | None:
    reading = read_expression(text)
    return None if reading is None else exact_value(reading)


def floating(text: str) -> Any:
    reading = read_expression(text)
    return None if reading is None else python_value(reading)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("8 - 3 - 2", 3),
        ("8 / 4 / 2", 1),
        ("6 / (1 - 3 / 4)", 24),  # exact; a tenth of a digit off in floating point
        ("1 / 3 * 3", 1),
        ("-3 + 5", 2),
        ("2 * -3", -6),
        ("--4", 4),
        ("+(7)", 7),
        ("((((5))))", 5),
        ("\t1\f+ 1", 2),
        ("(1\n+\r1)", 2),
        ("0", 0),
        ("1 / 0", None),
        ("1 / (2 - 2)", None),
        ("2 ** 3", None),  # no operator of the game
        ("7 // 2", None),
        ("1.5 + 1", None),
        ("05", None),
        ("1\n+ 1", None),
        ("1 2", None),
        ("2(3)", None),
        ("(2)(3)", None),
        ("()", None),
        ("(1", None),
        ("1)", None),
        (")1(", None),
        ("1 +", None),
        ("* 1", None),
        ("1 * / 2", None),
        ("", None),
        (" ", None),
        ("1 + 1 = 2", None),
        ("1 + x", None),
        ("²", None),
        ("٣", None),
        ("１", None),
        ("1\xa0+ 1", None),
        ("1\x00", None),
        ("__import__", None),
        ("1e3", None),
        ("1_0", None),
        ("9" * LONGEST, Fraction(int("9" * LONGEST))),
        ("9" * (LONGEST + 1), None),
        ("(" * 199 + "1" + ")" * 199, 1),
        ("(" * 200 + "1" + ")" * 200, None),
    ],
)
def test_exact_values(text: str, value: Any) -> None:
    assert exact(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 ** 3", 8),
        ("-2 ** 2", -4),  # a power binds before a sign on its left
        ("2 ** -1", 0.5),
        ("2 ** 3 ** 2", 512),  # from right to left
        ("2 * 3 ** 2", 18),
        ("7 // 2", 3),
        ("-7 // 2", -4),
        ("3.", 3.0),
        (".5 * 4", 2.0),
        ("4 ** (1 / 2)", 2.0),
        ("(0 - 4) ** (1 / 2)", None),  # complex
        ("0 ** -1", None),
        ("00", 0),
        ("05", None),
        ("05.", 5.0),
        ("9 ** 9 ** 9", None),  # too large to compute
        ("2 ** 9999 + 1", None),
        ("1. / 3", 1.0 / 3),
    ],
)
def test_values_as_python_computes_them(text: str, value: Any) -> None:
    assert floating(text) == value
    assert value is None or type(floating(text)) is type(value)


PIECES = st.sampled_from([*"( ) + - * / ** // 1 2 3 7 0 05 00 1.5 3. .5 . \t".split(" "), " ", "\n"])


@given(st.lists(PIECES, max_size=9).map("".join))
@settings(max_examples=500, deadline=None)
def test_reading_agrees_with_python(text: str) -> None:
    text = text.strip()
    expected: Any = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if re.match(r"^[\d+\-*/().\s]+$", text) and text.count("**") < 2:
            try:
                expected = eval(text, {"__builtins__": None}, {})
            except Exception:
                expected = None
    if text.count("**") < 2:
        assert floating(text) == (expected if isinstance(expected, int | float) else None)


def test_a_search_finds_what_there_is() -> None:
    found = find_expression([1, 3, 4, 6], 24)  # 6 / (1 - 3 / 4) alone
    assert found.expression == "6 / (1 - 3 / 4)" and exact("6 / (1 - 3 / 4)") == 24
    assert find_expression([1, 1, 1, 1], 24).expression is None
    assert find_expression([7], 7) == ("7", 0)
    assert find_expression([7], 8) == (None, 0)
    assert find_expression([0, 5], 5).expression in ("0 + 5", "5 + 0", "5 - 0")
    assert find_expression([8, 2], 4) == ("8 / 2", 1) and find_expression([2, 8], 4) == ("8 / 2", 1)
    # All three pairs of three numbers are tried, and of each pair 6 results with the third: 3 and 18 combinations,
    # less those that come again.
    assert 3 < find_expression([97, 89, 83], 1).steps <= 21


@given(st.lists(st.integers(1, 13), min_size=2, max_size=4), st.integers(-30, 60))
@settings(max_examples=60, deadline=None)
def test_what_a_search_finds_is_right(numbers: list[int], target: int) -> None:
    text = find_expression(numbers, target).expression
    if text is not None:
        reading = read_expression(text)
        assert reading is not None and exact_value(reading) == target
        assert sorted(map(int, reading.numbers)) == sorted(numbers)


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (("-", 9, ("-", 4, 2)), "9 - (4 - 2)"),
        (("-", ("-", 9, 4), 2), "9 - 4 - 2"),
        (("/", 8, ("*", 4, 2)), "8 / (4 * 2)"),
        (("*", 8, ("/", 4, 2)), "8 * 4 / 2"),
        (("*", ("+", 1, 2), 3), "(1 + 2) * 3"),
        (("+", 1, ("+", 2, 3)), "1 + 2 + 3"),
    ],
)
def test_only_needed_parentheses_are_written(made: object, text: str) -> None:
    assert write_expression(made) == text
