"""Generated programming problems: a function to write, with its solution and its tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .task import Task

TESTS = 6
"""Assertions of a problem."""
_WORDS = "amber brook cedar delta ember fjord grove heath islet jetty knoll larch mossy north oasis pebble".split()


@dataclass(frozen=True)
class _Family:
    """A kind of problem, with one whole number that varies.

    Attributes:
        name: Of the function.
        argument: Name of its argument.
        statement: What the function does; `{n}` is the number.
        body: Its body, in the same terms.
        solve: The same as a function of argument and number, which the tests' expected values come from.
        draw: Draws an argument.
        numbers: Lowest and highest number.
    """

    name: str
    argument: str
    statement: str
    body: str
    solve: Callable[[Any, int], Any]
    draw: Callable[[np.random.Generator], Any]
    numbers: tuple[int, int]


def _integers(rng: np.random.Generator) -> list[int]:
    return [int(value) for value in rng.integers(-20, 40, size=int(rng.integers(0, 9)))]


def _words(rng: np.random.Generator) -> str:
    return " ".join(_WORDS[int(place)] for place in rng.integers(0, len(_WORDS), size=int(rng.integers(0, 7))))


def _rotated(values: Sequence[Any], n: int) -> list[Any]:
    return [*values[n % len(values) :], *values[: n % len(values)]] if values else []


def _shifted(text: str, n: int) -> str:
    return "".join(chr((ord(one) - 97 + n) % 26 + 97) if "a" <= one <= "z" else one for one in text)


_FAMILIES = (
    _Family(
        "sum_above",
        "values",
        "returns the sum of all numbers in the list `values` that are greater than {n}",
        "    return sum(value for value in values if value > {n})",
        lambda values, n: sum(value for value in values if value > n),
        _integers,
        (-5, 25),
    ),
    _Family(
        "rotate_left",
        "values",
        "returns the list `values` rotated to the left by {n} places (an empty list stays empty)",
        "    if not values:\n        return []\n    n = {n} % len(values)\n    return values[n:] + values[:n]",
        _rotated,
        _integers,
        (1, 12),
    ),
    _Family(
        "count_long_words",
        "text",
        "returns how many words of `text`, which single spaces separate, have at least {n} letters",
        "    return sum(1 for word in text.split() if len(word) >= {n})",
        lambda text, n: sum(len(word) >= n for word in text.split()),
        _words,
        (4, 6),
    ),
    _Family(
        "shift_letters",
        "text",
        "replaces every lower-case letter of `text` by the one {n} places further in the alphabet, going round from z "
        "to a, and leaves all other characters as they are",
        "    shifted = ''\n    for one in text:\n        if 'a' <= one <= 'z':\n"
        "            one = chr((ord(one) - 97 + {n}) % 26 + 97)\n        shifted += one\n    return shifted",
        _shifted,
        _words,
        (1, 25),
    ),
    _Family(
        "every_nth",
        "values",
        "returns a list of every {n}th element of the list `values`, starting with the first",
        "    return values[::{n}]",
        lambda values, n: list(values[::n]),
        _integers,
        (2, 5),
    ),
    _Family(
        "without_multiples",
        "values",
        "returns the list `values` without the numbers that are divisible by {n}, each remaining number once, in the "
        "order of their first appearance",
        "    kept = []\n    for value in values:\n        if value % {n} and value not in kept:\n"
        "            kept.append(value)\n    return kept",
        lambda values, n: list(dict.fromkeys(value for value in values if value % n)),
        _integers,
        (2, 7),
    ),
    _Family(
        "largest_window",
        "values",
        "returns the largest sum of {n} neighbouring numbers in the list `values`, or None if it has fewer than {n}",
        "    if len(values) < {n}:\n        return None\n"
        "    return max(sum(values[i:i + {n}]) for i in range(len(values) - {n} + 1))",
        lambda values, n: max((sum(values[i : i + n]) for i in range(len(values) - n + 1)), default=None),
        _integers,
        (2, 4),
    ),
)


def make_program(seed: int, index: int) -> Task:
    """Problem `index` of a seed: its metadata holds a `solution` and the `tests`."""
    rng = np.random.default_rng([seed, index])
    family = _FAMILIES[int(rng.integers(len(_FAMILIES)))]
    n = int(rng.integers(family.numbers[0], family.numbers[1] + 1))
    solution = f"def {family.name}({family.argument}):\n{family.body.format(n=n)}\n"
    arguments = [family.draw(rng) for _ in range(TESTS)]
    tests = "\n".join(f"assert {family.name}({value!r}) == {family.solve(value, n)!r}" for value in arguments)
    question = f"Write a Python function `{family.name}({family.argument})` that {family.statement.format(n=n)}."
    return Task(f"program-{seed}-{index}", question, (), {"solution": solution, "tests": tests})
