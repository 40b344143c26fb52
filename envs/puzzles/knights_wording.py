"""Knights and knaves in words, as published, and changes of the words.

The names, frames and fixed parts are the data format of Xie et al. 2024 (arXiv 2410.23123; AlphaPav/mem-kk-logic,
`data_prep/lib_kk.py`): a quiz that differed in a word would be another puzzle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .draws import Draws
from .knights_grammar import LEAVES, SEED, Statement

NAMES = (
    "Emma Liam Olivia Noah Ava Ethan Sophia Mason Isabella William Mia James Charlotte Benjamin Amelia Lucas Harper "
    "Henry Evelyn Alexander Abigail Michael Emily Daniel Elizabeth Jacob Sofia Logan Avery Jackson Ella Sebastian "
    "Scarlett Jack Grace Aiden Chloe Owen Victoria Samuel Riley Matthew Aria Joseph Lily Luke Aurora David Zoey Oliver "
    "Penelope"
).split()

UNCOMMON_NAMES = (
    "Zephyr Elowen Caspian Isolde Osiris Vesper Thaddeus Ondine Lysander Xanthe Oberon Calliope Leander Eulalia "
    "Florian Forsythe Nephele Peregrine Ianthe Lazarus Elodie Cillian Ottoline Evander Saffron Caius Zora Cyprian "
    "Amaryllis Theron Perdita Ignatius Zephyrine Balthazar Melisande Zinnia Sylvester Cosima Leocadio Percival Oceane "
    "Evanthe Zenobia Eurydice Quillan Aeronwen Thorsten Xiomara Zephyrus Ysolde"
).split()

KNIGHT_AND_KNAVE = ("a knight", "a knave")
PAIRS = (
    ("a pioneer", "a laggard"),
    ("a saint", "a sinner"),
    ("a hero", "a villain"),
    ("an angel", "a devil"),
    ("an altruist", "an egoist"),
    ("a sage", "a fool"),
)

FRAMES = (
    "{name} said that {content}.",
    "{name} told you that {content}.",
    '{name} said, "{content}."',
    '{name} stated, "{content}".',
    'According to {name}, "{content}".',
    'In {name}\'s words: "{content}".',
    '{name} remarked, "{content}".',
    '"{content}," {name} declared.',
    '{name} was heard saying, "{content}".',
    "{name} expressed that {content}.",
    '"{content}" - {name}.',
    'As {name} put it, "{content}".',
    '{name} asserted: "{content}".',
    '"{content}," {name} mentioned.',
    '{name} commented, "{content}".',
    'In a statement by {name}: "{content}".',
    '{name} noted, "{content}".',
    '"{content}," {name} claimed.',
)

PREAMBLE = (
    "A very special island is inhabited only by {knight}s and {knave}s. {Knight}s always tell the truth, and {knave}s "
    "always lie. "
)
CLOSING = "So who is {a_knight} and who is {a_knave}?"


@dataclass(frozen=True)
class Wording:
    """A puzzle in words; the fields are those of the published rows.

    Attributes:
        quiz: The text of the puzzle.
        names: The persons, in order.
        knight_knave: The words for the two roles, by the keys `knight`, `a_knight`, `Knight`, and those of the knave.
        solution_text: The solution as a sentence.
        solution_text_format: The solution as numbered lines.
    """

    quiz: str
    names: tuple[str, ...]
    knight_knave: Mapping[str, str]
    solution_text: str
    solution_text_format: str


def word_puzzle(
    statements: Sequence[Statement],
    solution: Sequence[bool],
    seed: int = SEED,
    *,
    random_pair: bool = False,
    flip_role: bool = False,
    uncommon_name: bool = False,
    reorder_statement: bool = False,
) -> Wording:
    """A puzzle in words. The draws are those of the published formatter: names, then the pair, then a frame each.

    Args:
        statements: What each person says.
        solution: Whether each person is a knight.
        seed: Seed of the draws; puzzle `i` of the published ones has 1234 + i.
        random_pair: Other words for knight and knave, out of six pairs.
        flip_role: The words exchanged: knaves tell the truth.
        uncommon_name: Rare names.
        reorder_statement: The statements stand in another order than the persons.
    """
    draws, count = Draws(seed), len(statements)
    names = tuple(draws.sample(UNCOMMON_NAMES if uncommon_name else NAMES, count))
    pair = draws.pick(PAIRS) if random_pair else KNIGHT_AND_KNAVE
    words = role_words(*(reversed(pair) if flip_role else pair))
    said = [
        " " + draws.pick(FRAMES).format(name=name, content=claim(statement, names, words))
        for name, statement in zip(names, statements, strict=True)
    ]
    if reorder_statement:
        said = [said[person] for person in _another_order(count, seed + 1)]
    people = ", ".join(names[:-1]) + ", and " + names[-1]
    quiz = "".join(
        [PREAMBLE.format(**words), f"You meet {count} inhabitants: {people}.", *said, " ", CLOSING.format(**words)]
    )
    return Wording(quiz, names, words, *solution_texts(names, solution, (words["a_knight"], words["a_knave"])))


def solution_texts(names: Sequence[str], solution: Sequence[bool], words: Sequence[str]) -> tuple[str, str]:
    """A solution as a sentence and as numbered lines.

    Args:
        names: The persons.
        solution: Whether each person is a knight.
        words: The words for knight and knave, with their articles.
    """
    roles = [f"{name} is {words[0 if knight else 1]}" for name, knight in zip(names, solution, strict=True)]
    lines = "\n".join(f"({position}) {role}" for position, role in enumerate(roles, 1))
    return f"{', '.join(roles[:-1])}, and {roles[-1]}." if len(roles) > 1 else f"{roles[0]}.", lines


def role_words(a_knight: str, a_knave: str) -> dict[str, str]:
    """The words for the two roles in the forms that a text needs.

    Args:
        a_knight: The word for those who tell the truth, with its article.
        a_knave: The word for the others.
    """
    knight, knave = a_knight.split()[1], a_knave.split()[1]
    return {
        "knight": knight,
        "knave": knave,
        "a_knight": a_knight,
        "a_knave": a_knave,
        "Knight": knight.capitalize(),
        "Knave": knave.capitalize(),
    }


def claim(statement: Statement, names: Sequence[str], words: Mapping[str, str]) -> str:
    """A statement in words.

    The published wording ends at one operator over leaves; here parts that are no leaves stand in parentheses.
    """
    kind, parts = statement[0], statement[1:]
    if kind in LEAVES:
        return _leaf(statement, names, words, " is ")
    if kind == "not":
        if parts[0][0] in LEAVES:
            return _leaf(parts[0], names, words, " is not ")
        return f"it is not true that {_part(parts[0], names, words)}"
    told = [_part(part, names, words) for part in parts]
    if kind == "->":
        return f"If {told[0]} then {told[1]}"
    return {"<=>": " if and only if "}.get(kind, f" {kind} ").join(told)


def _part(statement: Statement, names: Sequence[str], words: Mapping[str, str]) -> str:
    text = claim(statement, names, words)
    return text if statement[0] in LEAVES else f"({text[0].lower() + text[1:] if statement[0] == '->' else text})"


def _leaf(statement: Statement, names: Sequence[str], words: Mapping[str, str], verb: str) -> str:
    return names[statement[1]] + verb + words["a_knight" if statement[0] == "telling-truth" else "a_knave"]


def _another_order(count: int, seed: int) -> list[int]:
    """A random order of the positions that is not the first one."""
    rng: Any = np.random.default_rng(seed)
    order = list(range(count))
    while order == sorted(order):
        rng.shuffle(order)
    return order
