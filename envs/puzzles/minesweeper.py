"""Minesweeper on fields that can be cleared without guessing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import lru_cache
from typing import NamedTuple

from ...tools.base import ToolCall, ToolResult
from ..episode import Episode
from ..limits import Limits
from ..task import Task
from .base import MOST_UNSOLVED, Judgement, PuzzleEnv, level
from .board import BoardTool, State, illegal, seen
from .draws import Draws

_SMALLEST, _LARGEST = 5, 9
_FEWEST_ROUNDS = 2  # of deduction after the first opening: a field that lies open at once is no puzzle
_CELL = re.compile(r"([A-Z])([1-9][0-9]?)")
_LONGEST_READ = 1_000


class Field(NamedTuple):
    """A square field.

    Attributes:
        size: Cells in a row and in a column; cell `row * size + column`.
        mines: The cells with a mine.
    """

    size: int
    mines: frozenset[int]

    def count(self, cell: int) -> int:
        """How many neighbours of a cell have a mine."""
        return sum(other in self.mines for other in neighbours(self.size)[cell])

    def opened(self, cells: Sequence[int], already: frozenset[int] = frozenset()) -> frozenset[int]:
        """What lies open when safe cells are opened: around a cell without mines beside it, its neighbours too."""
        found, waiting = set(already), list(cells)
        while waiting:
            cell = waiting.pop()
            if cell not in found:
                found.add(cell)
                if self.count(cell) == 0:
                    waiting.extend(neighbours(self.size)[cell])
        return frozenset(found)


class MinesweeperBoard(BoardTool):
    """`reveal(cells)`: opens cells and shows the field. A mine ends the game."""

    function = "reveal"
    argument = "cells"
    description = "Opens one or several cells and shows the field. Opening a mine ends the game."
    meaning = "The cells, such as B3, or several: B3 C1."

    def start(self, task: Task) -> State:
        """The field with its first opening."""
        return {
            "size": task.metadata["size"],
            "mines": task.metadata["mines"],
            "open": task.metadata["open"],
            "hit": "",
        }

    def play(self, state: State, move: str) -> ToolResult:
        """Opens cells, in order, up to the first mine."""
        size = state["size"]
        cells = read_cells(move, size)
        if state["hit"]:
            return illegal(f"the game is over: there was a mine in {state['hit']}.")
        if not cells:
            return illegal(f"give cells from A1 to {name_cell(size * size - 1, size)}, such as B3 C1.")
        field, opened = field_of(state), frozenset(state["open"])
        for cell in cells:
            if cell in field.mines:
                state["hit"] = name_cell(cell, size)
                return seen(f"A mine went off in {state['hit']}. The game is over.")
            opened = field.opened([cell], opened)
        state["open"] = sorted(opened)
        closed = size * size - len(opened)
        rest = f"{closed} cells are closed." if closed > len(field.mines) else "All cells without a mine are open."
        return seen(f"{draw_field(field, opened)}\n{rest}")


class MinesweeperEnv(PuzzleEnv):
    """Finds the mines of a field. What is known from the open cells is always enough to go on without a guess.

    The answer names the mines; it counts only if no mine was opened. The board shows numbers and closed cells, never
    the mines. From 5 x 5 cells (difficulty 0) to 9 x 9.
    """

    family = "minesweeper"
    default_format = "hermes"
    default_limits = Limits(max_turns=40)
    board = MinesweeperBoard()
    thought = "Some cells must be safe, or must be mines, by the numbers beside them."

    @classmethod
    def make(cls, seed: int, index: int, difficulty: float) -> Task:
        """A field that its numbers decide."""
        draws, size = Draws(seed, index), level(difficulty, _SMALLEST, _LARGEST)
        mine_count = round(size * size * (0.12 + 0.05 * difficulty))
        while True:
            first = draws.below(size * size)
            spared = {first, *neighbours(size)[first]}
            free = [cell for cell in range(size * size) if cell not in spared]
            field = Field(size, frozenset(draws.sample(free, mine_count)))
            opened = field.opened([first])
            closed = size * size - len(opened)
            if closed >= 3 * mine_count and clearing_rounds(field, opened) >= _FEWEST_ROUNDS:
                return _task(field, opened)

    @classmethod
    def verify(cls, answer: str, task: Task) -> bool:
        """Whether an answer names the mines, each of them and nothing else."""
        cells = read_cells(answer, task.metadata["size"])
        return set(cells) == set(task.metadata["mines"]) and len(cells) == len(task.metadata["mines"])

    @classmethod
    def partial_credit(cls, answer: str, task: Task) -> float:
        """The share of mines among the cells that are named or mined."""
        named, mines = set(read_cells(answer, task.metadata["size"])), set(task.metadata["mines"])
        return 1.0 if cls.verify(answer, task) else min(len(named & mines) / len(named | mines), MOST_UNSOLVED)

    @classmethod
    def judge(cls, episode: Episode) -> Judgement:
        """By the answer, and by the board: half of the credit, and no solution, once a mine was opened."""
        by_answer = super().judge(episode)
        if not cls.board.replay(episode)["hit"]:
            return by_answer
        return Judgement(False, min(by_answer.credit, MOST_UNSOLVED) / 2)

    @classmethod
    def guess_chance(cls, task: Task) -> float:
        """One choice of mines among the cells that are closed at first.

        To open cells at random is no better: every cell without a mine would have to come before every mine.
        """
        size, mines = task.metadata["size"], task.metadata["mines"]
        return float(1 / math.comb(size * size - len(task.metadata["open"]), len(mines)))

    def next_call(self, episode: Episode) -> ToolCall | None:
        """Opens all cells that must be safe by what is open, until nothing else is closed."""
        state = self.board.replay(episode)
        field = field_of(state)
        safe, _ = deduce(field, frozenset(state["open"]))
        if state["hit"] or not safe:
            return None
        return self.board.write(" ".join(name_cell(cell, field.size) for cell in sorted(safe)))


def field_of(state: Mapping[str, object]) -> Field:
    """The field of a board or of a task's metadata."""
    return Field(state["size"], frozenset(state["mines"]))  # type: ignore[arg-type, call-overload]


@lru_cache(maxsize=16)
def neighbours(size: int) -> tuple[tuple[int, ...], ...]:
    """The neighbours of every cell, diagonal ones included."""

    def around(cell: int) -> Iterator[int]:
        row, column = divmod(cell, size)
        for other_row in range(max(0, row - 1), min(size, row + 2)):
            for other_column in range(max(0, column - 1), min(size, column + 2)):
                if (other_row, other_column) != (row, column):
                    yield other_row * size + other_column

    return tuple(tuple(around(cell)) for cell in range(size * size))


class Deduction(NamedTuple):
    """What must be so in every field with the open numbers that was considered.

    Attributes:
        safe: Closed cells without a mine.
        mines: Closed cells with a mine.
    """

    safe: frozenset[int]
    mines: frozenset[int]


def deduce(field: Field, opened: frozenset[int]) -> Deduction:
    """Closed cells that are safe, or mined, by one rule on the open numbers and the number of all mines.

    A number says how many mines lie among its closed neighbours. Of two such sets A and B with a and b mines: if
    b - a is the size of B without A, then B without A is all mines and A without B is safe. (With A empty: a set with
    as many mines as cells. With B empty: a set with none.) What was found is taken out of all sets, until the rule
    finds nothing more.

    Args:
        field: The field; its mines are only counted.
        opened: The open cells.
    """
    closed = sum(1 << cell for cell in range(field.size**2) if cell not in opened)
    facts = {(closed, len(field.mines))}
    for cell in opened:
        around = sum(1 << other for other in neighbours(field.size)[cell]) & closed
        facts.add((around, field.count(cell)))
    safe = mined = 0
    while True:
        new_safe, new_mined = _apply_rule(facts)
        if not new_safe | new_mined:
            return Deduction(_cells(safe), _cells(mined))
        safe |= new_safe
        mined |= new_mined
        found = new_safe | new_mined
        facts = {(cells & ~found, mines - (cells & new_mined).bit_count()) for cells, mines in facts}


def _apply_rule(facts: Set[tuple[int, int]]) -> tuple[int, int]:
    """The safe and the mined cells that follow from facts: sets of cells (bits) with their number of mines."""
    safe = mined = 0
    for cells, mines in facts:
        if mines == cells.bit_count():
            mined |= cells
        elif mines == 0:
            safe |= cells
        else:
            for others, more in facts:
                beyond = others & ~cells
                if more - mines == beyond.bit_count():
                    mined |= beyond
                    safe |= cells & ~others
    return safe, mined


def clearing_rounds(field: Field, opened: frozenset[int]) -> int:
    """How often the safe cells must be deduced and opened to clear a field; 0 if deduction does not get so far."""
    rounds = 0
    while len(opened) + len(field.mines) < field.size**2:
        safe = deduce(field, opened).safe
        if not safe:
            return 0
        opened = field.opened(sorted(safe), opened)
        rounds += 1
    return rounds


def read_cells(text: str, size: int) -> list[int]:
    """The cells that a text names; none if it holds anything else than cells of the field, spaces, commas, semicolons.

    Args:
        text: Any text.
        size: Size of the field.
    """
    cells = []
    if len(text) > _LONGEST_READ or not text.isascii():
        return []
    for word in re.split(r"[\s,;]+", text.upper().strip(" \t\r\n,;")):
        found = _CELL.fullmatch(word)
        if found is None:
            return []
        column, row = ord(found[1]) - ord("A"), int(found[2]) - 1
        if column >= size or row >= size:
            return []
        cells.append(row * size + column)
    return cells


def name_cell(cell: int, size: int) -> str:
    """A cell's name: its column as a letter, its row as a number from 1."""
    row, column = divmod(cell, size)
    return f"{chr(ord('A') + column)}{row + 1}"


def draw_field(field: Field, opened: frozenset[int]) -> str:
    """The field as text: the number of an open cell, `?` for a closed one."""
    size = field.size
    lines = ["  " + " ".join(chr(ord("A") + column) for column in range(size))]
    for row in range(size):
        cells = range(row * size, (row + 1) * size)
        lines.append(f"{row + 1} " + " ".join(str(field.count(cell)) if cell in opened else "?" for cell in cells))
    return "\n".join(lines)


def _task(field: Field, opened: frozenset[int]) -> Task:
    size, mines = field.size, sorted(field.mines)
    question = (
        f"{len(mines)} mines are hidden in a field of {size} x {size} cells. An open cell shows how many of the up to "
        "eight cells around it have a mine; ? is a closed cell. Cells are named by column and row, such as B3.\n"
        f"{draw_field(field, opened)}\n"
        "Open cells without ever opening a mine; no guess is needed. Answer with the cells of all mines."
    )
    metadata = {"size": size, "mines": mines, "open": sorted(opened)}
    return Task("", question, (" ".join(name_cell(cell, size) for cell in mines),), metadata)


def _cells(bits: int) -> frozenset[int]:
    return frozenset(cell for cell in range(bits.bit_length()) if bits >> cell & 1)
