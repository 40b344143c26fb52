"""Zebra generator: true clues until the houses are settled, and then no more than are needed."""

from __future__ import annotations

from functools import cache
from itertools import pairwise, product
from typing import NamedTuple

from .draws import Draws
from .zebra_clues import RELATIONS, Clue
from .zebra_solver import Analysis, Rule, ZebraSolver, rule

MOST_HOUSES = 6
MOST_ATTRIBUTES = 6
_SIZES = ((2, 2), (3, 2), (3, 3), (4, 3), (4, 4), (5, 4), (5, 5), (6, 5), (6, 6))
_WEIGHTS = {
    "in": (40, 5),
    "same": (40, 20),
    "directly left": (10, 10),
    "directly right": (10, 10),
    "next to": (10, 15),
    "left": (0, 10),
    "right": (0, 10),
    "in one of": (5, 10),
    "one between": (0, 10),
    "between": (0, 15),
    "either": (0, 20),
    "not in": (5, 10),
    "not same": (0, 15),
}
"""How common the kinds of clue are at difficulty 0 and at difficulty 1."""
_THREE_HOUSES = ("in one of", "one between", "between", "either")
_TWO_ATTRIBUTES = ("same", "not same", "either")


class Zebra(NamedTuple):
    """A puzzle.

    Attributes:
        houses: How many houses.
        attributes: How many attributes.
        places: The house of each item, from 0.
        clues: What is told.
        analysis: How hard it is.
    """

    houses: int
    attributes: int
    places: tuple[int, ...]
    clues: tuple[Clue, ...]
    analysis: Analysis


def zebra_size(difficulty: float) -> tuple[int, int]:
    """Houses and attributes at a difficulty: from 2 and 2 to 6 and 6, in equal steps."""
    return _SIZES[min(int(difficulty * len(_SIZES)), len(_SIZES) - 1)]


def draw_zebra(draws: Draws, houses: int, attributes: int, difficulty: float) -> Zebra:
    """Draws a puzzle.

    The values of each attribute are put into the houses in random order. True clues of random kinds follow, each about
    something that the earlier ones leave open, until they settle every house, one clue leading to the next. Clues
    without which they still do are then taken back, in random order. So every puzzle is solved without assumptions:
    it is hard by its size and by how little a clue says.

    Args:
        draws: What the puzzle depends on, beside the other arguments.
        houses: How many houses, at least 2.
        attributes: How many attributes, at least 1.
        difficulty: In [0, 1]; it sets which kinds of clue are common.
    """
    places = [place for _ in range(attributes) for place in draws.shuffled(range(houses))]
    rules = _needed(draws, _settling(draws, houses, places, difficulty), houses, attributes)
    clues = tuple(known.clue for known in draws.shuffled(rules))
    return Zebra(houses, attributes, tuple(places), clues, ZebraSolver(houses, attributes, rules).analyse())


def _settling(draws: Draws, houses: int, places: list[int], difficulty: float) -> list[Rule]:
    """Rules of true clues, as many as it takes until single clues settle every house."""
    attributes = len(places) // houses
    solver = ZebraSolver(houses, attributes)
    domains, rules, told = solver.start[:], [], set()
    kinds = _kinds(houses, attributes, round(difficulty, 1))
    living = [0] * len(places)  # who lives there, by attribute and house
    for item, place in enumerate(places):
        living[item // houses * houses + place] = item
    while unsettled := [item for item, domain in enumerate(domains) if domain & domain - 1]:
        clue = _true_clue(draws, draws.pick(kinds), draws.pick(unsettled), houses, places, living)
        if clue is not None and (meaning := (clue.kind, frozenset(clue.items), clue.houses)) not in told:
            told.add(meaning)
            rules.append(rule(clue, houses))
            solver.add(rules[-1], domains)
    return rules


@cache
def _kinds(houses: int, attributes: int, difficulty: float) -> list[str]:
    """The kinds that there can be, each as often as its weight says."""
    return [
        kind
        for kind, (easy, hard) in _WEIGHTS.items()
        if houses >= (3 if kind in _THREE_HOUSES else 2) and attributes >= (2 if kind in _TWO_ATTRIBUTES else 1)
        for _ in range(round(easy * (1 - difficulty) + hard * difficulty))
    ]


def _true_clue(draws: Draws, kind: str, item: int, houses: int, places: list[int], living: list[int]) -> Clue | None:
    """A clue of a kind about an item and others that are drawn; None where the kind has nothing to say of the item."""
    count, attributes, own = RELATIONS[kind].items, len(places) // houses, item // houses
    position = draws.below(count)
    ways = _true_ways(kind, houses, places[item], position)
    if not ways:
        return None
    way = draws.pick(ways)
    if kind in _TWO_ATTRIBUTES:  # the first item is set against the others
        other = (own + 1 + draws.below(attributes - 1)) % attributes
        columns = [other if (place == 0) != (position == 0) else own for place in range(count)]
    else:
        columns = [own if place == position else draws.below(attributes) for place in range(count)]
    items = tuple(living[column * houses + house] for column, house in zip(columns, way[:count], strict=True))
    return Clue(kind, items, way[count:])


@cache
def _true_ways(kind: str, houses: int, place: int, position: int) -> list[tuple[int, ...]]:
    """The houses of all items of a true clue, and those that it names in rising order, when one item's is given."""
    relation = RELATIONS[kind]
    return [
        way
        for way in product(range(houses), repeat=relation.items + relation.houses)
        if way[position] == place and relation.holds(*way) and _rising(way[relation.items :])
    ]


def _rising(named: tuple[int, ...]) -> bool:
    return all(one < other for one, other in pairwise(named))


def _needed(draws: Draws, rules: list[Rule], houses: int, attributes: int) -> list[Rule]:
    """The rules that stay when those are taken back, one by one, without which the houses are settled all the same."""
    kept: list[Rule] = []
    rest = draws.shuffled(ZebraSolver(houses, attributes, rules).leading())
    while rest:
        candidate = rest.pop()
        solver = ZebraSolver(houses, attributes, kept + rest)
        domains = solver.start[:]
        solver.narrow(domains)
        if solver.decided(domains):
            led = set(map(id, solver.leading()))
            rest = [other for other in rest if id(other) in led]
        else:
            kept.append(candidate)
    return kept
