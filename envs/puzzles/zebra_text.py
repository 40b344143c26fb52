"""Zebra texts: the story of a puzzle, and what an answer says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .zebra_clues import RELATIONS, Clue

Rows = Sequence[Sequence[str]]
"""The values of each house, one per attribute, from the first house to the last."""

LONGEST_ANSWER = 5_000
_TOKEN = re.compile(r"[^\W\d_]+|[0-9]+|[\n;]")


class Attribute(NamedTuple):
    """Something in which the people differ.

    Attributes:
        name: What it is called.
        phrase: How a person is called by a value of it.
        values: The values.
    """

    name: str
    phrase: str
    values: tuple[str, ...]


def _attribute(name: str, phrase: str, values: str) -> Attribute:
    return Attribute(name, phrase, tuple(values.split()))


ATTRIBUTES = (
    _attribute("name", "{}", "Ada Boris Carmen Dev Elif Femi Greta Hugo Ines Jonas Kira Luca"),
    _attribute("colour", "the person in the {} house", "red blue green yellow white purple pink brown"),
    _attribute("pet", "the {} owner", "cat dog parrot rabbit turtle goldfish hamster pony"),
    _attribute("drink", "the {} drinker", "tea coffee milk juice water cocoa lemonade cider"),
    _attribute("job", "the {}", "baker doctor pilot teacher painter plumber lawyer farmer"),
    _attribute("instrument", "the {} player", "piano violin flute drum guitar trumpet harp cello"),
)
"""The first is always there. No value is a value of two attributes, or a word that an answer may hold beside them."""

_FILLERS = frozenset(
    "house houses the a an and is are in of on lives live has have owns plays drinks works with who person people "
    "owner drinker player color number no it s".split()
) | {attribute.name for attribute in ATTRIBUTES}


def story(attributes: Sequence[Attribute], clues: Sequence[Clue]) -> str:
    """The puzzle without its question.

    Args:
        attributes: The attributes, each with the values of this puzzle in the order of their items.
        clues: The clues.
    """
    houses = len(attributes[0].values)
    people = [attribute.phrase.format(value) for attribute in attributes for value in attribute.values]
    lines = [
        f"{houses} houses stand in a row, numbered from 1 on the left to {houses} on the right. One person lives in "
        "each, and no two share a value of anything listed here:",
        *(f"- {attribute.name}: {', '.join(sorted(attribute.values))}" for attribute in attributes),
        "",
        "Clues:",
    ]
    for number, clue in enumerate(clues, start=1):
        called = [people[item] for item in clue.items]
        named = {f"h{position}": house + 1 for position, house in enumerate(clue.houses)}
        sentence = RELATIONS[clue.kind].sentence.format(*called, **named)
        lines.append(f"{number}. {sentence[0].upper()}{sentence[1:]}")
    return "\n".join(lines)


def houses_of(rows: Rows) -> dict[str, int]:
    """The house of each value, from 1; values in small letters."""
    return {value.lower(): house for house, row in enumerate(rows, start=1) for value in row}


def read_houses(answer: str, rows: Rows) -> Mapping[str, int] | None:
    """The house that an answer gives to each value; None where it cannot be read or contradicts itself.

    A number opens a house, and what follows belongs to it. Where there is no number, each line, or part between
    semicolons, is a house. Words like "house", "owner" or the name of an attribute play no part; any other word makes
    an answer unreadable, since it may say the opposite.

    Args:
        answer: The text.
        rows: The right values of each house; which values there are is taken from them.
    """
    tokens = _tokens(answer, rows)
    if tokens is None:
        return None
    attribute_of = {value.lower(): position for row in rows for position, value in enumerate(row)}
    numbered = any(token.isdecimal() for token in tokens)
    found: dict[str, int] = {}
    filled: dict[tuple[int, int], str] = {}
    house, fresh = (0, False) if numbered else (1, True)
    for token in tokens:
        if token.isdecimal():
            house = int(token)
        elif token in "\n;":
            if not numbered and not fresh:
                house, fresh = house + 1, True
        elif token in attribute_of:
            fresh = False
            place = (house, attribute_of[token])
            if not 1 <= house <= len(rows) or found.get(token, house) != house or filled.get(place, token) != token:
                return None
            found[token], filled[place] = house, token
    return found


def read_choice(answer: str, rows: Rows, column: int | None) -> str | None:
    """The one house, or the one value of an attribute, that an answer names; None where it names none or several.

    Args:
        answer: The text; other words as in `read_houses`.
        rows: The right values of each house.
        column: Position of the attribute; None for a house.
    """
    tokens = _tokens(answer, rows)
    if tokens is None:
        return None
    choices = set(map(str, range(1, len(rows) + 1)))
    if column is not None:
        choices = {row[column].lower() for row in rows}
    named = choices & set(tokens)
    return named.pop() if len(named) == 1 else None


def _tokens(answer: str, rows: Rows) -> list[str] | None:
    """Words in small letters, numbers of houses and ends of lines; None where there is anything else."""
    if len(answer) > LONGEST_ANSWER:
        return None
    tokens = _TOKEN.findall(answer.lower())
    known = _FILLERS | set(houses_of(rows)) | {"\n", ";"} | set(map(str, range(1, len(rows) + 1)))
    return tokens if known.issuperset(tokens) else None
