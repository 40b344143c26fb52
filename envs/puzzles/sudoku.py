"""Sudoku: 4x4, 6x6 and 9x9 grids with one solution each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import isqrt
from typing import Any

from ...tools.adapters import ToolLike
from ...tools.base import ToolCall
from ...tools.errors import InputError
from ..episode import Episode
from ..formats.base import ActionFormat, PromptStyle
from ..limits import LimitsChoice
from ..reward import RewardSpec
from ..sources import TaskSource
from ..task import Task
from .base import MOST_UNSOLVED, Difficulty, PuzzleEnv, Split
from .draws import Draws
from .sudoku_board import SudokuBoard, draw_grid, units
from .sudoku_generator import Sudoku, draw_sudoku
from .sudoku_solver import BOXES, TECHNIQUES, sudoku_solver

_LONGEST_ANSWER = 2_000
_DECORATION = str.maketrans("", "", " \t\r\n|+-=/,;:[](){}`'\"")
_EMPTY = str.maketrans("._?*", "0000")
_LIKELIEST = {4: 2 / 288, 6: 2 / 28_200_960, 9: 2 / 6_670_903_752_021_072_936_960}
"""Twice one among all grids (Felgenhauer and Jarvis 2005; OEIS A107739): they are not drawn quite evenly."""


class SudokuEnv(PuzzleEnv):
    """Fills a sudoku grid.

    The difficulty sets how many cells are given and what their solver has to do, as `draw_sudoku` says. The answer is
    the whole grid; the partial credit is the share of the empty cells that are right, and nothing where a given cell
    was changed or the grid cannot be read.

    Args:
        tasks: None for generated puzzles; otherwise rows with `clues` (the cells from left to right and top to bottom,
            `.` or 0 where one is empty), whose solution is worked out, or rows in the form of a generated task; or a
            `TaskSet`.
        order: Rows of a generated grid: 4, 6 or 9.
        board: Whether to offer `place(digits)`, a grid to write on that tells what breaks a rule.
        difficulty: As in `PuzzleEnv`.
        size: As in `PuzzleEnv`.
        task_seed: As in `PuzzleEnv`.
        split: As in `PuzzleEnv`.
        tools: As in `PuzzleEnv`.
        action_format: As in `PuzzleEnv`; with a board, `hermes` by default.
        reward: As in `PuzzleEnv`.
        prompt: As in `PuzzleEnv`.
        limits: As in `PuzzleEnv`.
        render_mode: As in `PuzzleEnv`.

    Raises:
        InputError: If an option is out of range, or a row's grid has no solution or several.
    """

    family = "sudoku"
    thought = "Each empty cell has one digit that fits its row, its column and its box."

    def __init__(
        self,
        tasks: TaskSource | None = None,
        *,
        order: int = 9,
        board: bool = False,
        difficulty: Difficulty = 0.5,
        size: int | None = None,
        task_seed: int = 0,
        split: Split = "train",
        tools: Sequence[ToolLike] | None = None,
        action_format: str | ActionFormat | None = None,
        reward: RewardSpec = "puzzle",
        prompt: PromptStyle = "full",
        limits: LimitsChoice = None,
        render_mode: str | None = None,
    ) -> None:
        sudoku_solver(order)  # refuses an order that there is not
        if tasks is None:
            make = partial(self.make_order, order=order)
            tasks = self.generate(difficulty, size, task_seed, split, make=make, variant=f"-{order}x{order}")
        if board:
            self.board = SudokuBoard()
        super().__init__(
            tasks,
            split=split,
            tools=tools,
            action_format=action_format or ("hermes" if board else None),
            reward=reward,
            prompt=prompt,
            limits=limits,
            render_mode=render_mode,
        )

    @classmethod
    def make(cls, seed: int, index: int, difficulty: float) -> Task:
        """A 9x9 puzzle. Arguments as in `PuzzleEnv.make`."""
        return cls.make_order(seed, index, difficulty, order=9)

    @classmethod
    def make_order(cls, seed: int, index: int, difficulty: float, *, order: int) -> Task:
        """A puzzle with a grid of an order; the other arguments as in `PuzzleEnv.make`."""
        return _task("", draw_sudoku(Draws(seed, index), order, difficulty))

    @classmethod
    def verify(cls, answer: str, task: Task) -> bool:
        """Whether the grid keeps the given cells and holds every digit once in each row, column and box."""
        order, clues = int(task.metadata["order"]), task.metadata["clues"]
        grid = read_grid(answer, order)
        if grid is None or any(clue not in ("0", str(digit)) for clue, digit in zip(clues, grid, strict=True)):
            return False
        digits = set(range(1, order + 1))
        return all({grid[cell] for cell in unit} == digits for unit in units(order))

    @classmethod
    def partial_credit(cls, answer: str, task: Task) -> float:
        """The share of the empty cells that are right; 0 where a given cell was changed."""
        if cls.verify(answer, task):
            return 1.0
        grid = read_grid(answer, task.metadata["order"])
        if grid is None:
            return 0.0
        right = [str(digit) == wanted for digit, wanted in zip(grid, task.answers[0].replace(" ", ""), strict=True)]
        empty = [clue == "0" for clue in task.metadata["clues"]]
        if not all(fits or blank for fits, blank in zip(right, empty, strict=True)):
            return 0.0
        filled = sum(fits for fits, blank in zip(right, empty, strict=True) if blank)
        credit: float = filled / sum(empty)
        return min(credit, MOST_UNSOLVED)

    @classmethod
    def guess_chance(cls, task: Task) -> float:
        """The chance of one grid among all that fill the empty cells, or of one that is always the same."""
        order = task.metadata["order"]
        return max(float(order ** -task.metadata["clues"].count("0")), _LIKELIEST[order])

    def next_call(self, episode: Episode) -> ToolCall | None:
        """Writes all missing digits onto the board, if there is one."""
        if self.board is None or episode.call_count:
            return None
        order, solution = episode.task.metadata["order"], episode.task.answers[0].replace(" ", "")
        missing = [cell for cell, clue in enumerate(episode.task.metadata["clues"]) if clue == "0"]
        return self.board.write(" ".join(f"r{c // order + 1}c{c % order + 1}={solution[c]}" for c in missing))

    @classmethod
    def task_from_row(cls, row: Mapping[str, Any], default_id: str) -> Task:
        """A task of a row with `clues`, or in the form of a generated task.

        Raises:
            KeyError: If a field is missing.
            InputError: If the clues are no grid, or do not have one solution alone.
        """
        if "question" in row:
            return super().task_from_row(row, default_id)
        task_id = str(row.get("id", default_id))
        return _task(task_id, _solved(str(row["clues"]), task_id))


def read_grid(answer: str, order: int) -> list[int] | None:
    """The digits of a grid, cell by cell, or None where the text is no such grid.

    Spaces, line breaks, bars and brackets play no part; a dot, a question mark, `_`, `*` and 0 are empty cells (0).
    There must be exactly as many cells as the grid has, and nothing else.
    """
    if len(answer) > _LONGEST_ANSWER:
        return None
    cells = answer.translate(_DECORATION).translate(_EMPTY)
    allowed = "0123456789"[: order + 1]
    if len(cells) != order * order or any(cell not in allowed for cell in cells):
        return None
    return [int(cell) for cell in cells]


def _solved(text: str, task_id: str) -> Sudoku:
    """The puzzle of a row."""
    for order in BOXES:
        grid = read_grid(text, order)
        if grid is not None:
            solver = sudoku_solver(order)
            found = solver.solutions([digit - 1 for digit in grid])
            if len(found) != 1:
                count = "no solution" if not found else "several solutions"
                raise InputError(f"sudoku {task_id!r}: its clues have {count}; give clues with one")
            given = [solver.bit(cell, digit - 1) for cell, digit in enumerate(grid) if digit]
            full = solver.place(solver.start, [solver.bit(cell, digit) for cell, digit in enumerate(found[0])])
            analysis = solver.analyse(solver.place(solver.start, given), full.candidates)
            return Sudoku(tuple(grid), tuple(digit + 1 for digit in found[0]), analysis)
    raise InputError(f"sudoku {task_id!r}: {text!r:.100} is no grid of 16, 36 or 81 cells, 0 or a dot for empty")


def _task(task_id: str, puzzle: Sudoku) -> Task:
    order = isqrt(len(puzzle.clues))
    metadata = {
        "order": order,
        "clues": "".join(map(str, puzzle.clues)),
        "technique": TECHNIQUES[puzzle.analysis.technique],
        "trials": puzzle.analysis.trials,
    }
    solution = "".join(map(str, puzzle.solution))
    rows = [solution[start : start + order] for start in range(0, len(solution), order)]
    return Task(task_id, _question(puzzle.clues, order), (" ".join(rows),), metadata)


def _question(clues: tuple[int, ...], order: int) -> str:
    height, breadth = BOXES[order]
    return (
        f"Fill in this {order}x{order} sudoku: every row, every column and every box of {height} rows and {breadth} "
        f"columns must hold each digit from 1 to {order} once. Empty cells are dots; the digits that are there must "
        f"stay.\n\n{draw_grid(clues, order)}\n\nAnswer with the {order} rows of the filled grid, from top to bottom, "
        f"as {order} digits each, with nothing else."
    )
