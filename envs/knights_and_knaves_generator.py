"""Knights-and-knaves puzzles: the published grammar, a brute-force solver, and a text form.

The grammar and the order of random draws are those of Xie et al. 2024 (arXiv 2410.23123), so that the statements of
puzzle `i` are theirs for the same seed. The wording is our own.

A statement is a tuple: `("telling-truth", i)`, `("lying", i)`, `("not", s)`, `("and", s, t)`, `("or", s, t)`,
`("->", s, t)` or `("<=>", s, t)`; `i` is a person's position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ..tools.errors import InputError

Statement = tuple[Any, ...]
SEED = 1234
"""Seed of the published puzzles."""
DEPTH = 2
WIDTH = 2
ATTEMPTS = 1000
LEAVES = ("telling-truth", "lying")
OPERATORS = ("not", "and", "or", "->", "<=>")

NAMES = (
    "Adam Anna Bella Brian Carla Cedric Clara Colin Daisy Dennis Edith Edwin Elsa Felix Flora Frank Gloria Gordon "
    "Greta Harold Helen Hugo Irene Ivan Jasper Julia Karen Keith Laura Leon Linda Marcus Martha Miles Nadia Neil Nora "
    "Oscar Paula Peter Quentin Ralph Rosa Rupert Sandra Simon Stella Thomas Ursula Victor Wanda"
).split()

FRAMES = (
    '{name} says, "{claim}".',
    '{name} said: "{claim}".',
    '"{claim}", says {name}.',
    '"{claim}", {name} assured you.',
    "{name} says that {claim}.",
    "{name} assures you that {claim}.",
    "{name} insists that {claim}.",
    '{name} insists: "{claim}".',
    '{name} tells you, "{claim}".',
    '"{claim}" is what {name} tells you.',
    "{name} lets you know that {claim}.",
    '{name} whispers, "{claim}".',
    '{name} calls out, "{claim}".',
    "{name} maintains that {claim}.",
    'You hear {name} say, "{claim}".',
    "You hear {name} say that {claim}.",
    '{name} answers, "{claim}".',
    'The answer of {name} is: "{claim}".',
)

PREAMBLE = (
    "On an island everyone is either a knight or a knave. Whatever a knight says is true, and whatever a knave says is "
    "false."
)
CLOSING = "Who is a knight and who is a knave?"


@dataclass(frozen=True)
class Puzzle:
    """A puzzle with exactly one solution.

    Attributes:
        index: Position in the sampler's sequence.
        statements: What each person says.
        solution: Whether each person is a knight.
    """

    index: int
    statements: tuple[Statement, ...]
    solution: tuple[bool, ...]


class Sampler:
    """Draws distinct puzzles in a fixed order.

    Args:
        n_people: How many people a puzzle has, from 2 to 12.
        seed: Seed; the published puzzles have 1234.

    Raises:
        InputError: If the number of people is out of range.
    """

    def __init__(self, n_people: int, seed: int = SEED) -> None:
        if not 2 <= n_people <= 12:
            raise InputError(f"n_people must be from 2 to 12, not {n_people}: the solver tries every combination")
        self.n_people = n_people
        self._rng = np.random.default_rng(seed)
        self._seen: set[tuple[Statement, ...]] = set()

    def draw(self, count: int) -> list[Puzzle]:
        """The next `count` puzzles.

        Raises:
            InputError: If no further distinct puzzle with one solution is found.
        """
        return [self._next() for _ in range(count)]

    def _next(self) -> Puzzle:
        for _ in range(ATTEMPTS):
            statements = tuple(self._statement(person, DEPTH) for person in range(self.n_people))
            if statements in self._seen:
                continue
            solutions = solve(statements)
            if len(solutions) == 1:
                self._seen.add(statements)
                return Puzzle(len(self._seen) - 1, statements, solutions[0])
        raise InputError(
            f"no further puzzle of {self.n_people} people was found after {len(self._seen)}; "
            "ask for fewer, or for more people"
        )

    def _statement(self, person: int, depth: int) -> Statement:
        dice = int(self._rng.integers(0, 6))
        if depth == 1 or dice == 0:
            return self._leaf(person)
        operator = OPERATORS[dice - 1]
        if operator == "not":
            return ("not", self._statement(person, depth - 1))
        width = int(self._rng.integers(2, WIDTH + 1)) if operator in ("and", "or") else 2
        parts: list[Statement] = []
        while len(parts) < width:
            part = self._statement(person, depth - 1)
            if part not in parts:
                parts.append(part)
        return (operator, *parts)

    def _leaf(self, person: int) -> Statement:
        while True:
            kind = str(self._rng.choice(LEAVES))
            about = int(self._rng.integers(0, self.n_people))
            if kind != "lying" or about != person:  # nobody can say of oneself to be lying
                return (kind, about)


def holds(statement: Statement, roles: Sequence[bool]) -> bool:
    """Whether a statement is true, given who is a knight.

    Raises:
        InputError: If it is no statement of the grammar.
    """
    match statement:
        case ("telling-truth", int(person)) if 0 <= person < len(roles):
            return roles[person]
        case ("lying", int(person)) if 0 <= person < len(roles):
            return not roles[person]
        case ("not", part):
            return not holds(part, roles)
        case ("and", *parts):
            return all(holds(part, roles) for part in parts)
        case ("or", *parts):
            return any(holds(part, roles) for part in parts)
        case ("->", left, right):
            return not holds(left, roles) or holds(right, roles)
        case ("<=>", left, right):
            return holds(left, roles) == holds(right, roles)
    raise InputError(f"{statement!r} is no statement about {len(roles)} people")


def solve(statements: Sequence[Statement]) -> list[tuple[bool, ...]]:
    """All assignments of roles under which the knights' statements, and only theirs, are true."""
    count = len(statements)
    return [
        roles
        for roles in product((True, False), repeat=count)
        if all(holds(statement, roles) == role for statement, role in zip(statements, roles, strict=True))
    ]


def render_claim(statement: Statement, names: Sequence[str]) -> str:
    """A statement in words."""
    match statement:
        case ("telling-truth", int(person)):
            return f"{names[person]} is a knight"
        case ("lying", int(person)):
            return f"{names[person]} is a knave"
        case ("not", ("telling-truth", int(person))):
            return f"{names[person]} is not a knight"
        case ("not", ("lying", int(person))):
            return f"{names[person]} is not a knave"
        case ("and" | "or" as operator, *parts):
            return f" {operator} ".join(render_claim(part, names) for part in parts)
        case ("->", left, right):
            return f"if {render_claim(left, names)} then {render_claim(right, names)}"
        case ("<=>", left, right):
            return f"{render_claim(left, names)} if and only if {render_claim(right, names)}"
    raise InputError(f"{statement!r} has no wording; the grammar has one operator above the leaves")


def render_puzzle(puzzle: Puzzle, seed: int = SEED) -> tuple[str, tuple[str, ...]]:
    """The puzzle in words, and the names it uses; they depend on `seed` and the puzzle's index."""
    rng = np.random.default_rng(seed + puzzle.index)
    count = len(puzzle.statements)
    names = tuple(NAMES[int(position)] for position in rng.choice(len(NAMES), count, replace=False))
    sentences = []
    for name, statement in zip(names, puzzle.statements, strict=True):
        frame = FRAMES[int(rng.integers(0, len(FRAMES)))]
        sentence = frame.format(name=name, claim=render_claim(statement, names))
        sentences.append(sentence.replace('"if ', '"If ', 1))
    people = ", ".join(names[:-1]) + ("," if count > 2 else "") + f" and {names[-1]}"
    return f"{PREAMBLE} You meet {count} people there: {people}. {' '.join(sentences)} {CLOSING}", names


def solution_text(names: Sequence[str], roles: Sequence[bool]) -> str:
    """The solution as numbered lines: `(1) Zoe is a knight`."""
    pairs = zip(names, roles, strict=True)
    return "\n".join(f"({i}) {name} is a {'knight' if role else 'knave'}" for i, (name, role) in enumerate(pairs, 1))
