"""Sudoku generator: one solution each, from many clues to few."""

from __future__ import annotations

from typing import NamedTuple

from .draws import Draws
from .sudoku_solver import Analysis, State, SudokuSolver, sudoku_solver

CLUES = {4: (10, 4), 6: (24, 9), 9: (46, 25)}
"""Clues at difficulty 0 and at difficulty 1, by the grid's order; more where one solution needs more."""
TRIALS_FROM = 0.65
"""The difficulty from which a clue may go although its digit no longer follows from singles."""


class Sudoku(NamedTuple):
    """A puzzle.

    Attributes:
        clues: Digits from 1, cell by cell, 0 where a cell is empty.
        solution: The digits of the only solution.
        analysis: How hard it is.
    """

    clues: tuple[int, ...]
    solution: tuple[int, ...]
    analysis: Analysis


def draw_sudoku(draws: Draws, order: int, difficulty: float) -> Sudoku:
    """Draws a puzzle.

    A full grid is drawn first: random digits in the boxes on the diagonal, which do not touch each other, and then a
    search that takes its choices in random order. Every grid can come up; how often is not quite even, since a choice
    with few ways on is as likely as one with many. Then cells are revealed in random order, as many as the difficulty
    asks for and on until the grid follows from them by singles. At last, clues without which the solution is still the
    only one are taken back, in the order in which they came, down to the number asked for: below `TRIALS_FROM` only
    while the grid follows by singles, above it also where a short search proves that there is no other.

    Args:
        draws: What the puzzle depends on, beside the other arguments.
        order: Rows of the grid: 4, 6 or 9.
        difficulty: In [0, 1].
    """
    solver = sudoku_solver(order)
    full = _full_grid(solver, draws)
    digits = solver.digits(full)
    most, fewest = CLUES[order]
    target = most - round(difficulty * (most - fewest))
    bits = draws.shuffled([solver.bit(cell, digit) for cell, digit in enumerate(digits)])
    state, kept = _reduced(solver, _revealed(solver, bits, target), target, 1 if difficulty >= TRIALS_FROM else 0)
    given = {bit % solver.width for bit in kept}  # a candidate's first bit is that of its cell
    clues = tuple(digit + 1 if cell in given else 0 for cell, digit in enumerate(digits))
    return Sudoku(clues, tuple(digit + 1 for digit in digits), solver.analyse(state, full))


def _full_grid(solver: SudokuSolver, draws: Draws) -> int:
    order, rows, columns = solver.order, solver.box_rows, solver.box_columns
    full = 0
    while not full:  # in the small orders, some boxes leave no way to go on
        bits = []
        for box in range(min(order // rows, order // columns)):
            cells = [(box * rows + i) * order + box * columns + j for i in range(rows) for j in range(columns)]
            bits += [solver.bit(cell, digit) for cell, digit in zip(cells, draws.shuffled(range(order)), strict=True)]
        full = solver.search(solver.place(solver.start, bits), draws)
    return full


def _revealed(solver: SudokuSolver, bits: list[int], target: int) -> list[int]:
    """The first candidates of a list, and of the rest those that do not follow, until all follows by singles."""
    clues = bits[:target]
    state = solver.singles(solver.place(solver.start, clues))
    for bit in bits[target:]:
        if state.decided == solver.all:
            break
        if not solver.holds(state, bit):
            clues.append(bit)
            state = solver.singles(solver.place(state, (bit,)))
    return clues


def _reduced(solver: SudokuSolver, clues: list[int], target: int, branchings: int) -> tuple[State, list[int]]:
    """The state of the clues that stay, and those clues."""
    if len(clues) <= target:
        return solver.place(solver.start, clues), clues
    rest = [solver.start]  # rest[i]: the last i clues alone
    for bit in reversed(clues):
        rest.append(solver.place(rest[-1], (bit,)))
    state, kept = solver.start, list[int]()
    for position, bit in enumerate(clues):
        left = len(clues) - position
        if len(kept) + left <= target:
            kept += clues[position:]
            return _both(state, rest[left]), kept
        if not _follows(solver, _both(state, rest[left - 1]), bit, branchings):
            state = solver.place(state, (bit,))
            kept.append(bit)
    return state, kept


def _both(one: State, other: State) -> State:
    return State(one.candidates & other.candidates, one.decided | other.decided)


def _follows(solver: SudokuSolver, state: State, bit: int, branchings: int) -> bool:
    """Whether a candidate of the solution must hold; False also where a short search cannot tell."""
    state = solver.singles(state)
    if state.decided == solver.all or solver.holds(state, bit):
        return True
    if not branchings:
        return False
    return solver.search(solver.without(state, bit), branchings=branchings) == 0
