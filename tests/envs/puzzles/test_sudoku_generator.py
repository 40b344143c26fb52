"""The solver against plain reference code, and what is generated."""

from __future__ import annotations

import random
from collections import Counter
from functools import cache
from statistics import mean

import pytest

from toolgym.envs.puzzles.draws import Draws
from toolgym.envs.puzzles.sudoku_generator import CLUES, draw_sudoku
from toolgym.envs.puzzles.sudoku_solver import BOXES, TECHNIQUES, UNKNOWN, sudoku_solver

# The example of Wikipedia's article on sudoku.
WIKIPEDIA = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"
WIKIPEDIA_SOLUTION = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
# "AI Escargot" (Arto Inkala, 2006), made to be hard.
ESCARGOT = "100007090030020008009600500005300900010080002600004000300000010040000007007000300"


@cache
def units(order):
    height, breadth = BOXES[order]
    rows = [[row * order + column for column in range(order)] for row in range(order)]
    columns = [[row * order + column for row in range(order)] for column in range(order)]
    boxes = [
        [(top + i) * order + left + j for i in range(height) for j in range(breadth)]
        for top in range(0, order, height)
        for left in range(0, order, breadth)
    ]
    return rows + columns + boxes


def reference_count(clues, order, limit=2):
    """Solutions by plain backtracking on the cell with the fewest digits."""
    grid = list(clues)
    peers = [{other for unit in units(order) if cell in unit for other in unit} - {cell} for cell in range(order**2)]

    def count(found):
        choices = {
            cell: set(range(order)) - {grid[peer] for peer in peers[cell]} for cell in range(order**2) if grid[cell] < 0
        }
        if not choices:
            return found + 1
        cell = min(choices, key=lambda cell: len(choices[cell]))
        for digit in choices[cell]:
            grid[cell] = digit
            found = count(found)
            grid[cell] = -1
            if found >= limit:
                break
        return found

    return count(0)


def reference_singles(clues, order):
    """All naked and hidden singles, one at a time, with sets; None for a contradiction."""
    left = [set(range(order)) for _ in range(order**2)]
    for cell, digit in enumerate(clues):
        if digit >= 0:
            left[cell] &= {digit}
    changed = True
    while changed:
        changed = False
        for unit in units(order):
            for cell in unit:
                for other in unit:
                    if len(left[cell]) == 1 and other != cell and left[cell] & left[other]:
                        left[other] -= left[cell]
                        changed = True
            for digit in range(order):
                places = [cell for cell in unit if digit in left[cell]]
                if not places:
                    return None
                if len(places) == 1 and len(left[places[0]]) > 1:
                    left[places[0]] = {digit}
                    changed = True
        if not all(left):
            return None
    return left


def numbers(text):
    return [int(sign) - 1 for sign in text]


def test_the_published_example() -> None:
    solver = sudoku_solver(9)
    assert solver.solutions(numbers(WIKIPEDIA)) == [numbers(WIKIPEDIA_SOLUTION)]


def test_all_grids_of_order_four() -> None:
    """There are 288 of them (OEIS A107739)."""
    found = sudoku_solver(4).solutions([-1] * 16, limit=1000)
    assert len(found) == len(set(map(tuple, found))) == 288
    assert all({grid[cell] for cell in unit} == {0, 1, 2, 3} for grid in found for unit in units(4))


def test_clues_that_contradict_each_other_have_no_solution() -> None:
    assert sudoku_solver(4).solutions([0, 0] + [-1] * 14) == []


@pytest.mark.parametrize("order", [4, 6, 9])
@pytest.mark.parametrize("share", [0.3, 0.5])
def test_singles_are_those_of_the_reference(order, share) -> None:
    solver = sudoku_solver(order)
    rng = random.Random(order)
    contradictions = 0
    for index in range(15):
        full = solver.digits(solver.search(solver.start, Draws(1, index)))
        clues = [digit if rng.random() < share else -1 for digit in full]
        if index % 2:  # a wrong digit that contradicts no clue at once
            for cell in [cell for cell, digit in enumerate(clues) if digit < 0]:
                taken = {clues[other] for unit in units(order) if cell in unit for other in unit}
                wrong = set(range(order)) - taken - {full[cell]}
                if wrong:
                    clues[cell] = min(wrong)
                    break
        state = solver.start
        for cell, digit in enumerate(clues):
            if digit >= 0:
                state = solver.place(state, [solver.bit(cell, digit)])
        state, expected = solver.singles(state), reference_singles(clues, order)
        if expected is None:
            contradictions += 1
            assert not state.candidates
        else:
            assert possible(solver, state.candidates) == expected
            assert state.decided.bit_count() == 4 * sum(len(digits) == 1 for digits in expected)
    assert contradictions or share == 0.3


def possible(solver, candidates):
    digits = range(solver.order)
    return [{digit for digit in digits if candidates >> solver.bit(cell, digit) & 1} for cell in range(solver.cells)]


def reference_locked(left, order):
    """Where all places of a digit in a unit lie in another unit, too, the other has it nowhere else."""
    narrowed = [set(digits) for digits in left]
    for unit in map(set, units(order)):
        for other in map(set, units(order)):
            for digit in range(order):
                places = {cell for cell in unit if digit in left[cell]}
                if other != unit and places and places <= other:
                    for cell in other - unit:
                        narrowed[cell].discard(digit)
    return narrowed


@pytest.mark.parametrize("order", [4, 6, 9])
def test_locked_candidates_are_those_of_the_reference(order) -> None:
    solver = sudoku_solver(order)
    narrowed = 0
    for index in range(40):
        puzzle = draw_sudoku(Draws(6, index), order, 1.0)
        # Half of the clues, so that there is more to find than in a whole puzzle.
        bits = [solver.bit(cell, digit - 1) for cell, digit in enumerate(puzzle.clues) if digit]
        state = solver.singles(solver.place(solver.start, bits[: -len(bits) // 3]))
        found = possible(solver, solver.locked_candidates(state))
        # A digit that is decided is locked in its cell, which the solver need not look at: singles saw to it.
        assert found == reference_locked(possible(solver, state.candidates), order)
        narrowed += found != possible(solver, state.candidates)
    assert narrowed


def test_search_says_when_it_gives_up() -> None:
    solver = sudoku_solver(9)
    assert solver.search(solver.start, branchings=3) == UNKNOWN


@pytest.mark.parametrize(
    ("clues", "technique"),
    [
        (WIKIPEDIA_SOLUTION.replace("1", "0", 1), "box single"),
        (ESCARGOT, "nested trial"),
    ],
)
def test_techniques(clues, technique) -> None:
    solver = sudoku_solver(9)
    (solution,) = solver.solutions(numbers(clues))
    given = [solver.bit(cell, digit) for cell, digit in enumerate(numbers(clues)) if digit >= 0]
    full = solver.place(solver.start, [solver.bit(cell, digit) for cell, digit in enumerate(solution)])
    analysis = solver.analyse(solver.place(solver.start, given), full.candidates)
    assert TECHNIQUES[analysis.technique] == technique
    assert (analysis.trials > 0) == ("trial" in technique)


@pytest.mark.parametrize("order", [4, 6, 9])
@pytest.mark.parametrize("difficulty", [0.0, 0.5, 0.8, 1.0])
def test_every_puzzle_has_one_solution(order, difficulty) -> None:
    most, fewest = CLUES[order]
    for index in range(6):
        puzzle = draw_sudoku(Draws(5, index), order, difficulty)
        clues = [digit - 1 for digit in puzzle.clues]
        assert all(clue in (0, digit) for clue, digit in zip(puzzle.clues, puzzle.solution, strict=True))
        assert all({puzzle.solution[cell] for cell in unit} == set(range(1, order + 1)) for unit in units(order))
        assert reference_count(clues, order) == 1
        assert sum(map(bool, puzzle.clues)) >= most - round(difficulty * (most - fewest))


def test_easy_puzzles_have_exactly_as_many_clues_as_asked_for() -> None:
    assert {sum(map(bool, draw_sudoku(Draws(0, index), 9, 0.0).clues)) for index in range(20)} == {46}


def test_difficulty_rises() -> None:
    drawn = {
        difficulty: [draw_sudoku(Draws(2, index), 9, difficulty) for index in range(40)]
        for difficulty in (0.0, 0.4, 0.7, 0.85, 1.0)
    }
    clues = [mean(sum(map(bool, puzzle.clues)) for puzzle in puzzles) for puzzles in drawn.values()]
    techniques = [mean(puzzle.analysis.technique for puzzle in puzzles) for puzzles in drawn.values()]
    assert clues == sorted(clues, reverse=True) and clues[0] - clues[-1] > 18
    assert techniques == sorted(techniques) and techniques[0] < 0.1 and techniques[-1] > 1.5
    assert not any(puzzle.analysis.trials for puzzle in drawn[0.4])
    assert sum(puzzle.analysis.trials > 0 for puzzle in drawn[1.0]) >= 5


def test_grids_differ_in_more_than_the_names_of_their_digits() -> None:
    def renamed(solution):
        names = {}
        return tuple(names.setdefault(digit, len(names)) for digit in solution)

    grids = {renamed(draw_sudoku(Draws(9, index), 9, 0.0).solution) for index in range(100)}
    assert len(grids) == 100


def test_all_small_grids_come_up_about_equally_often() -> None:
    drawn = Counter(draw_sudoku(Draws(0, index), 4, 0.0).solution for index in range(2880))
    assert len(drawn) == 288
    assert max(drawn.values()) < 30  # ten each, and six standard deviations
