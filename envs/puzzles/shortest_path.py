"""Shortest way through a town that shows itself street by street."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise

from ...tools.base import ToolCall, ToolResult
from ..episode import Episode
from ..limits import Limits
from ..task import Task
from .base import MOST_UNSOLVED, PuzzleEnv, level
from .board import BoardTool, State, illegal, seen
from .draws import Draws

Streets = Mapping[str, Sequence[str]]
"""Where the one-way streets of each place lead."""

_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"
_STREETS = 2  # from each place, or one more
_LONGEST_READ = 2_000


class StreetsBoard(BoardTool):
    """`look(places)`: where the streets of places lead."""

    function = "look"
    argument = "places"
    description = "Tells where the one-way streets that start at a place lead. Several places may be given."
    meaning = "The name of a place, or several names with spaces between them."

    def start(self, task: Task) -> State:
        """The streets."""
        return {"streets": task.metadata["streets"]}

    def play(self, state: State, move: str) -> ToolResult:
        """Looks at places."""
        places, streets = read_places(move), state["streets"]
        unknown = [place for place in places if place not in streets]
        if unknown or not places:
            return illegal(f"there is no place {unknown[0]!r:.40}." if unknown else "give the name of a place.")
        return seen("\n".join(f"{place}: {', '.join(streets[place])}" for place in dict.fromkeys(places)))


class ShortestPathEnv(PuzzleEnv):
    """Finds a shortest way between two places whose streets must be looked up.

    The answer lists the places of the way, both ends included; any shortest way is right. Names of places mean
    nothing, ends are at least three streets apart, and streets are one-way, so that a way can only be found by looking.
    From 8 places (difficulty 0) to 48.
    """

    family = "path"
    default_format = "hermes"
    default_limits = Limits(max_turns=40)
    board = StreetsBoard()
    thought = "I look at the places that I have reached and have not looked at."

    @classmethod
    def make(cls, seed: int, index: int, difficulty: float) -> Task:
        """A random town, and two places of it as far apart as any from that start."""
        draws, count = Draws(seed, index), level(difficulty, 4, 24) * 2
        least = 3 + int(difficulty * 3)
        while True:
            names = _names(draws, count)
            streets = {
                name: sorted(draws.sample([other for other in names if other != name], _STREETS + draws.below(2)))
                for name in names
            }
            start = names[0]
            away = distances(streets, start)
            far = [name for name in names if away.get(name, 0) >= least]
            if far:
                return _task(streets, start, draws.pick(far), names)

    @classmethod
    def verify(cls, answer: str, task: Task) -> bool:
        """Whether an answer is a way from start to end along the streets, and none is shorter."""
        places, streets = read_places(answer), task.metadata["streets"]
        if len(places) != task.metadata["length"] + 1 or [places[0], places[-1]] != task.metadata["ends"]:
            return False
        return all(after in streets.get(before, ()) for before, after in pairwise(places))

    @classmethod
    def partial_credit(cls, answer: str, task: Task) -> float:
        """The share of a shortest way that an answer follows from the start, as far as it follows streets nearer."""
        if cls.verify(answer, task):
            return 1.0
        streets, (start, end), length = task.metadata["streets"], task.metadata["ends"], task.metadata["length"]
        places = read_places(answer)
        if not places or places[0] != start:
            return 0.0
        steps = 0
        for before, after in pairwise(places):
            on_way = distances(streets, after).get(end, length) == length - steps - 1
            if after not in streets.get(before, ()) or not on_way:
                break
            steps += 1
        return float(min(steps / length, MOST_UNSOLVED))

    @classmethod
    def guess_chance(cls, task: Task) -> float:
        """None: the names on the way are not known before they are looked up."""
        return 0.0

    def next_call(self, episode: Episode) -> ToolCall | None:
        """Looks at all places just reached, until the end is among them."""
        (start, end), streets = episode.task.metadata["ends"], episode.task.metadata["streets"]
        looked = {
            place
            for turn in episode.turns
            for call, result in zip(turn.parsed.calls, turn.results, strict=False)
            if call.name == self.board.function and result.ok
            for place in read_places(call.arguments[self.board.argument])
        }
        reached = {start}.union(*(streets[place] for place in looked))
        unseen = sorted(reached - looked)
        return None if end in reached or not unseen else self.board.write(" ".join(unseen))


def distances(streets: Streets, start: str) -> dict[str, int]:
    """Fewest streets from a place to each place that can be reached."""
    away, waiting = {start: 0}, deque([start])
    while waiting:
        place = waiting.popleft()
        for other in streets.get(place, ()):
            if other not in away:
                away[other] = away[place] + 1
                waiting.append(other)
    return away


def shortest_way(streets: Streets, start: str, end: str) -> list[str]:
    """The places of a shortest way, the first of them in alphabetical order at each step."""
    away = {place: distances(streets, place).get(end) for place in streets}
    way = [start]
    while way[-1] != end:
        left = away[way[-1]]
        assert left is not None
        way.append(next(place for place in streets[way[-1]] if away[place] == left - 1))
    return way


def read_places(text: str) -> list[str]:
    """The names in a text, which may have spaces, commas, hyphens, `>` or `->` between them, in small letters."""
    if len(text) > _LONGEST_READ or not text.isascii():
        return []
    return [word for word in re.split(r"[\s,;>-]+", text.lower()) if word]


def _names(draws: Draws, count: int) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        names["".join(draws.pick(letters) for letters in (_CONSONANTS, _VOWELS) * 2)] = None
    return list(names)


def _task(streets: Streets, start: str, end: str, names: Sequence[str]) -> Task:
    way = shortest_way(streets, start, end)
    question = (
        f"A town has {len(names)} places with one-way streets between them. Find a shortest way from {start} to {end}, "
        "and answer with the places on it in order, both ends included, with spaces between them."
    )
    metadata = {"streets": streets, "ends": [start, end], "length": len(way) - 1}
    return Task("", question, (" ".join(way),), metadata)
