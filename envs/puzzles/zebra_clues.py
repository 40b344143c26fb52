"""Zebra clues: relations between houses, as tables and as sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from itertools import product
from typing import NamedTuple


class Relation(NamedTuple):
    """What a kind of clue says.

    Attributes:
        holds: Whether it is true of the houses of its items, counted from 0.
        items: How many items it speaks of; the houses that a clue names come after them.
        houses: How many houses it names.
        sentence: Its wording. `{0}` is the first item, `{h0}` the first house.
        within_attribute: Whether two of its items may have the same attribute.
    """

    holds: Callable[..., bool]
    items: int
    houses: int
    sentence: str
    within_attribute: bool = True


RELATIONS: Mapping[str, Relation] = {
    "in": Relation(lambda a, h: a == h, 1, 1, "{0} lives in house {h0}."),
    "same": Relation(lambda a, b: a == b, 2, 0, "{0} is {1}.", within_attribute=False),
    "directly left": Relation(lambda a, b: a + 1 == b, 2, 0, "{0} lives directly to the left of {1}."),
    "directly right": Relation(lambda a, b: a == b + 1, 2, 0, "{0} lives directly to the right of {1}."),
    "next to": Relation(lambda a, b: abs(a - b) == 1, 2, 0, "{0} lives next door to {1}."),
    "left": Relation(lambda a, b: a < b, 2, 0, "{0} lives somewhere to the left of {1}."),
    "right": Relation(lambda a, b: a > b, 2, 0, "{0} lives somewhere to the right of {1}."),
    "in one of": Relation(lambda a, h, k: a in (h, k), 1, 2, "{0} lives in house {h0} or in house {h1}."),
    "one between": Relation(lambda a, b: abs(a - b) == 2, 2, 0, "There is exactly one house between {0} and {1}."),
    "between": Relation(lambda a, b, c: b < a < c or c < a < b, 3, 0, "{0} lives somewhere between {1} and {2}."),
    "either": Relation(lambda a, b, c: b != c and a in (b, c), 3, 0, "{0} is either {1} or {2}."),
    "not in": Relation(lambda a, h: a != h, 1, 1, "{0} does not live in house {h0}."),
    "not same": Relation(lambda a, b: a != b, 2, 0, "{0} is not {1}.", within_attribute=False),
}
"""The kinds of clue. "Between" leaves room for further houses, on both sides of the first item."""


class Clue(NamedTuple):
    """A true sentence about the houses.

    Attributes:
        kind: A key of `RELATIONS`.
        items: The items it speaks of: value `v` of attribute `a` is `a * houses + v`.
        houses: The houses it names, from 0.
    """

    kind: str
    items: tuple[int, ...]
    houses: tuple[int, ...] = ()


@cache
def allowed_houses(kind: str, houses: int, named: tuple[int, ...]) -> int:
    """The houses that a clue of one item allows it, one bit each."""
    return sum(1 << house for house in range(houses) if RELATIONS[kind].holds(house, *named))


@cache
def pair_tables(kind: str, houses: int) -> tuple[list[int], list[int]]:
    """For a clue of two items: the houses that one may have, by those that are possible for the other.

    Returns:
        The table of the first item, indexed by the second's set of houses (one bit each), and the reverse.
    """
    true = RELATIONS[kind].holds
    one = [sum(1 << a for a in range(houses) if true(a, b)) for b in range(houses)]
    other = [sum(1 << b for b in range(houses) if true(a, b)) for a in range(houses)]
    return _unions(one), _unions(other)


@cache
def triple_tables(kind: str, houses: int) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """The same for a clue of three items: each by the sets of the other two, in their order."""
    true = RELATIONS[kind].holds
    first, second, third = ([[0] * houses for _ in range(houses)] for _ in range(3))
    for a, b, c in product(range(houses), repeat=3):
        if true(a, b, c):
            first[b][c] |= 1 << a
            second[a][c] |= 1 << b
            third[a][b] |= 1 << c
    return _unions_of_rows(first), _unions_of_rows(second), _unions_of_rows(third)


def _unions(of_house: list[int]) -> list[int]:
    """What is possible for a set of houses: the union of what is possible for each."""
    table = [0]
    for possible in of_house:
        table += [without | possible for without in table]
    return table


def _unions_of_rows(of_houses: list[list[int]]) -> list[list[int]]:
    table = [[0] * (1 << len(of_houses))]
    for row in map(_unions, of_houses):
        table += [[a | b for a, b in zip(without, row, strict=True)] for without in table]
    return table
