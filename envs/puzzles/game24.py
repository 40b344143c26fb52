"""The game of 24: four numbers, three operations, twenty-four."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from ..task import Task
from .countdown import CountdownEnv
from .draws import Draws
from .expressions import find_expression

TARGET, HIGHEST_CARD = 24, 13
_BAND = 0.05  # half the share of all hands from which a hand of a difficulty is drawn
_HELD_OUT = 5  # every fifth hand is a test hand
_SHARES, _CHANCES = (0.0, 0.25, 0.5, 0.75, 1.0), (0.43, 0.22, 0.14, 0.07, 0.07)
"""What the best fixed expression in the sorted numbers reaches, measured over the hands around a share of the order."""


class Game24Env(CountdownEnv):
    """Makes 24 of four numbers from 1 to 13, each used once.

    The rules are those of Tree of Thoughts (Yao et al. 2023, arXiv 2305.10601; princeton-nlp/tree-of-thought-llm,
    `tasks/game24.py`): the last line of an answer counts, without an `Answer: ` before the expression, and up to its
    first `=`, so that `(1 + 2 + 3) * 4 = 24` is right. (The official check hands the expression to sympy, which knows
    more than the game's `+ - * /`; powers and factorials are no moves here.)

    Rows need `numbers`. Generated puzzles are the 1,362 hands that can be solved, ranked by in how many ways: at
    difficulty 0 the hands with the most ways, at 1 those with the fewest. Every fifth hand of that order belongs to the
    test split, the others to the training split.
    """

    family = "game24"

    @classmethod
    def make(cls, seed: int, index: int, difficulty: float) -> Task:
        """A hand of about the difficulty's rank, its cards in random order."""
        draws, hands = Draws(seed, index), _hands_of_split(seed % 2 == 1)  # the test split has the odd seeds
        band = int(2 * _BAND * len(hands))
        hand = hands[round(difficulty * (len(hands) - band)) + draws.below(band)]
        return cls.puzzle("", draws.shuffled(hand), TARGET, find_expression(hand, TARGET).expression)

    @classmethod
    def expression_in(cls, answer: str) -> str:
        """The expression in the last line of an answer."""
        line = answer.strip().rpartition("\n")[2]
        return line.lower().replace("answer: ", "").partition("=")[0].strip()

    @classmethod
    def guess_chance(cls, task: Task) -> float:
        """What the best fixed expression in the sorted numbers reaches over hands of that rank."""
        rank = _ranks().get(tuple(sorted(task.metadata["numbers"])), 0)
        return float(np.interp(rank / len(_ranks()), _SHARES, _CHANCES))

    @classmethod
    def task_from_row(cls, row: Mapping[str, Any], default_id: str) -> Task:
        """A task of a row with `numbers`.

        Raises:
            KeyError: If they are missing.
            InputError: If they are no whole numbers.
        """
        return super().task_from_row({"target": TARGET, **row}, default_id)


@lru_cache(maxsize=1)
def ranked_hands() -> tuple[tuple[int, ...], ...]:
    """The hands of four numbers from 1 to 13 that make 24, those with the most ways to do so first.

    A way is a choice of pairs, orders and operations. All 1,820 hands are tried at once, in floating point: the
    fractions of such small numbers are farther apart than its errors.
    """
    hands = np.array(list(combinations_with_replacement(range(1, HIGHEST_CARD + 1), 4)))
    with np.errstate(all="ignore"):
        ways = _count_ways(list(hands.T.astype(float)))
    order = np.lexsort((np.arange(len(hands)), -ways))
    return tuple(tuple(hands[position].tolist()) for position in order if ways[position])


@lru_cache(maxsize=2)
def _hands_of_split(test: bool) -> tuple[tuple[int, ...], ...]:
    return tuple(hand for rank, hand in enumerate(ranked_hands()) if (rank % _HELD_OUT == 0) == test)


@lru_cache(maxsize=1)
def _ranks() -> Mapping[tuple[int, ...], int]:
    return {hand: rank for rank, hand in enumerate(ranked_hands())}


def _count_ways(columns: list[Any]) -> Any:
    """In how many ways each hand makes 24. A column holds one number of every hand."""
    if len(columns) == 1:
        return (np.abs(columns[0] - TARGET) < 1e-6).astype(int)
    ways = 0
    for first in range(len(columns)):
        for second in range(first + 1, len(columns)):
            rest = [column for place, column in enumerate(columns) if place not in (first, second)]
            a, b = columns[first], columns[second]
            for result in (a + b, a * b, a - b, b - a, a / b, b / a):
                ways = ways + _count_ways([*rest, result])
    return ways
