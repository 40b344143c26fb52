"""Knights and knaves: the published grammar, sampler and solver.

The grammar and the order of random draws are those of Xie et al. 2024 (arXiv 2410.23123; AlphaPav/mem-kk-logic,
`data_prep/lib_kk.py`), so that puzzle `i` of a seed is theirs.

A statement is a tuple: `("telling-truth", i)`, `("lying", i)`, `("not", s)`, `("and", s, ...)`, `("or", s, ...)`,
`("->", s, t)` or `("<=>", s, t)`; `i` is a person's position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

from ...tools.errors import InputError
from .draws import Draws

Statement = tuple[Any, ...]
Statements = tuple[Statement, ...]
Change = Literal["statement", "leaf"]
"""What a perturbed puzzle has another one of: one person's whole statement, or one leaf of it."""

SEED = 1234
"""Seed of the published puzzles."""
DEPTH, WIDTH = 2, 2
"""The published statements are a leaf, or one operator over at most two leaves."""
ATTEMPTS = 1000
"""How often a puzzle, or a perturbation of one, is tried before it is given up."""
FEWEST, MOST = 2, 16
LEAVES = ("telling-truth", "lying")
_OPERATORS = ("not", "and", "or", "->", "<=>")
_DEEPEST = 50


@dataclass(frozen=True)
class Puzzle:
    """A puzzle with exactly one solution.

    Attributes:
        statements: What each person says.
        solution: Whether each person is a knight.
    """

    statements: Statements
    solution: tuple[bool, ...]


class Sampler:
    """Draws distinct puzzles in the published order.

    Args:
        n_people: How many people a puzzle has, from 2 to 16.
        *seed: Seed of the draws; the published puzzles have 1234.
        depth: Levels of a statement, 2 as published. (With leaves alone, exchanging all roles fits as well.)
        width: The most parts of an `and` or an `or`.

    Raises:
        InputError: If the number of people, the depth or the width is out of range.
    """

    def __init__(self, n_people: int, *seed: int, depth: int = DEPTH, width: int = WIDTH) -> None:
        if not FEWEST <= n_people <= MOST:
            raise InputError(
                f"n_people must be from {FEWEST} to {MOST}, not {n_people}: the solver tries all 2**n_people choices"
            )
        if not (2 <= depth <= 5 and 2 <= width <= 2 * n_people - 1):
            raise InputError(
                f"depth must be from 2 to 5 and width from 2 to 2 * n_people - 1 (so many different leaves a person "
                f"has), not {depth} and {width}"
            )
        self.n_people, self.depth, self.width = n_people, depth, width
        self._draws = Draws(*(seed or (SEED,)))
        self._seen: set[Statements] = set()

    def next(self) -> Puzzle | None:
        """The next puzzle, or None if `ATTEMPTS` draws gave no new one with a single solution."""
        for _ in range(ATTEMPTS):
            statements = tuple([self._statement(person, self.depth) for person in range(self.n_people)])
            if statements in self._seen:
                continue
            solution = only_solution(statements)
            if solution is not None:
                self._seen.add(statements)
                return Puzzle(statements, solution)
        return None

    def draw(self, count: int) -> list[Puzzle]:
        """The puzzles of the next `count` rounds. As in the published sampler, a round that fails gives none."""
        return [puzzle for _ in range(count) if (puzzle := self.next()) is not None]

    def perturb(self, puzzle: Puzzle, change: Change, count: int = 1) -> list[Puzzle]:
        """Puzzles that differ from one in one place, have one solution, and another one than it had.

        The draws go on where the puzzles' stopped: for the published perturbations all puzzles are drawn first, then
        each of them is perturbed by `statement`, in order, then each by `leaf`.

        Args:
            puzzle: A puzzle of as many people.
            change: `statement` draws one person's statement anew, `leaf` one leaf of it.
            count: How many different ones to look for.

        Returns:
            At most `count` puzzles; fewer, or none, where `ATTEMPTS` changes did not give so many.

        Raises:
            InputError: If the change is unknown or the puzzle has another number of people.
        """
        if change not in get_args(Change) or len(puzzle.statements) != self.n_people:
            raise InputError(
                f"perturb() changes a 'statement' or a 'leaf' of a puzzle of {self.n_people} people, "
                f"not {change!r} of one of {len(puzzle.statements)}"
            )
        found: list[Puzzle] = []
        for _ in range(ATTEMPTS):
            person = self._draws.below(self.n_people)
            statements = list(puzzle.statements)
            if change == "statement":
                statements[person] = self._statement(person, self.depth)
            else:
                statements[person] = self._with_other_leaf(statements[person], person)
            changed = tuple(statements)
            solution = only_solution(changed)
            candidate = Puzzle(changed, solution or ())
            if changed == puzzle.statements or solution in (None, puzzle.solution) or candidate in found:
                continue
            found.append(candidate)
            if len(found) == count:
                break
        return found

    def _statement(self, person: int, depth: int) -> Statement:
        dice = self._draws.below(6)
        if depth == 1 or dice == 0:
            return self._leaf(person)
        operator = _OPERATORS[dice - 1]
        if operator == "not":
            return ("not", self._statement(person, depth - 1))
        width = 2 + self._draws.below(self.width - 1) if operator in ("and", "or") else 2
        parts: list[Statement] = []
        while len(parts) < width:
            part = self._statement(person, depth - 1)
            if part not in parts:
                parts.append(part)
        return (operator, *parts)

    def _leaf(self, person: int) -> Statement:
        while True:
            kind = LEAVES[self._draws.below(2)]
            about = self._draws.below(self.n_people)
            if kind != "lying" or about != person:  # nobody can say of oneself to be lying
                return (kind, about)

    def _with_other_leaf(self, statement: Statement, person: int) -> Statement:
        if statement[0] in LEAVES:
            return self._statement(person, 1)
        place = 1 + self._draws.below(len(statement) - 1)
        return (*statement[:place], self._with_other_leaf(statement[place], person), *statement[place + 1 :])


@lru_cache(maxsize=MOST)
def knight_tables(count: int) -> tuple[tuple[int, ...], int]:
    """For each of `count` people, the choices of roles in which that person is a knight; and all choices.

    A set of choices is a whole number: bit `k` stands for choice `k` of `itertools.product((True, False),
    repeat=count)`.
    """
    full = (1 << (1 << count)) - 1
    tables = []
    for person in range(count):
        block = 1 << (count - 1 - person)  # choices in a row with the same role of that person
        pattern = (1 << block) - 1
        tables.append(sum(pattern << start for start in range(0, 1 << count, 2 * block)))
    return tuple(tables), full


def truth_table(statement: Statement, knights: Sequence[int], full: int) -> int:
    """The choices of roles in which a statement is true.

    Args:
        statement: A statement of the grammar.
        knights: The choices in which each person is a knight.
        full: All choices.
    """
    kind = statement[0]
    if kind == "telling-truth":
        return knights[statement[1]]
    if kind == "lying":
        return full ^ knights[statement[1]]
    first = truth_table(statement[1], knights, full)
    if kind == "not":
        return full ^ first
    for part in statement[2:]:
        other = truth_table(part, knights, full)
        if kind == "and":
            first &= other
        elif kind == "or":
            first |= other
        elif kind == "->":
            first = (full ^ first) | other
        else:
            first = full ^ first ^ other
    return first


def possible_choices(statements: Statements) -> int:
    """The choices of roles under which the knights' statements, and only theirs, are true, as a set of bits."""
    knights, full = knight_tables(len(statements))
    possible = full
    for statement, knight in zip(statements, knights, strict=True):
        possible &= full ^ knight ^ truth_table(statement, knights, full)
    return possible


def only_solution(statements: Statements) -> tuple[bool, ...] | None:
    """The one choice of roles that the statements leave, or None if they leave none or several."""
    possible = possible_choices(statements)
    if possible == 0 or possible & (possible - 1):
        return None
    return _roles(possible.bit_length() - 1, len(statements))


def solve(statements: Sequence[Statement]) -> list[tuple[bool, ...]]:
    """All choices of roles that the statements leave, knights before knaves.

    Raises:
        InputError: If something is no statement about so many people, or there are more than 16.
    """
    count = len(statements)
    if count > MOST:
        raise InputError(f"puzzles have at most {MOST} people, not {count}: the solver tries all 2**n_people choices")
    possible = possible_choices(tuple(_checked(statement, count) for statement in statements))
    solutions = []
    while possible:
        solutions.append(_roles((possible & -possible).bit_length() - 1, count))
        possible &= possible - 1
    return solutions


def _roles(choice: int, count: int) -> tuple[bool, ...]:
    return tuple(not choice >> (count - 1 - person) & 1 for person in range(count))


def _checked(statement: Any, count: int, depth: int = 0) -> Statement:
    match statement:
        case ("telling-truth" | "lying", int(person)) if 0 <= person < count:
            return (statement[0], person)
        case ("not", _) | ("and" | "or", _, _, *_) | ("->" | "<=>", _, _) if depth < _DEEPEST:
            return (statement[0], *(_checked(part, count, depth + 1) for part in statement[1:]))
    raise InputError(f"{statement!r:.80} is no statement about {count} people")
