"""Sudoku solver that finds all singles of a grid at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from ...tools.errors import InputError
from .draws import Draws

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}
"""Rows and columns of a box, by the grid's order."""

TECHNIQUES = ("box single", "line single", "naked single", "locked candidates", "trial", "nested trial")
"""What a grid asks of its solver, from easy to hard, in the order of Sudoku Explainer's ratings.

A single is a digit with one place left in a box or in a line, or (naked) a cell with one digit left. Locked candidates
are the places of a digit in a box that share a line, or the reverse. What none of these solves counts as trials: a
trial assumes a wrong digit until singles lead to a contradiction; a nested trial needs a second assumption within.
"""

UNKNOWN = -1
"""What a search returns when it has branched as often as it may."""
_UNBOUNDED = 1 << 30


class State(NamedTuple):
    """What is still possible.

    Attributes:
        candidates: One number, four bits for each digit that a cell may hold; 0 for a contradiction.
        decided: The constraints that are met, one bit each.
    """

    candidates: int
    decided: int


class Analysis(NamedTuple):
    """How a grid with one solution is solved.

    Attributes:
        technique: Position in `TECHNIQUES` of the hardest one that is needed.
        trials: Wrong digits that were assumed on the way, those that led nowhere included.
    """

    technique: int
    trials: int


class SudokuSolver:
    """Solves grids of one order as an exact cover, bit-parallel.

    A digit in a cell meets four constraints: the cell is filled, and its row, column and box have the digit. Each
    constraint can be met by as many candidates as the order; the candidate in slot `s` of constraint `k` is bit
    `s * width + k` of one long number, so that every candidate stands in it four times. Placing a digit is one AND.
    Halving the number along its slots counts, for all constraints together, whether 0, 1 or more candidates are left:
    every naked and hidden single of the grid, and every contradiction, in some twenty operations.

    Args:
        order: 4, 6 or 9.

    Raises:
        InputError: For another order.
    """

    def __init__(self, order: int) -> None:
        if order not in BOXES:
            raise InputError(f"a sudoku grid has 4, 6 or 9 rows, not {order!r}")
        self.order = order
        self.box_rows, self.box_columns = BOXES[order]
        self.cells = order * order
        self.width = width = 4 * self.cells
        self.all = (1 << width) - 1
        candidates = [self._slots(cell, digit) for cell in range(self.cells) for digit in range(order)]
        self._first = [slots[0] for slots in candidates]
        members: list[list[int]] = [[] for _ in range(width)]
        for index, slots in enumerate(candidates):
            for bit in slots:
                members[bit % width].append(index)
        self._slots_of, self._members = candidates, members
        self._bits_of = [sum(1 << bit for bit in slots) for slots in candidates]
        full = (1 << width * order) - 1
        size = width * order
        self._keep, self._covers, self._others, self._bits = [0] * size, [0] * size, [0] * size, [0] * size
        for index, slots in enumerate(candidates):
            rivals = {rival for bit in slots for rival in members[bit % width]} - {index}
            keep = full & ~sum(self._bits_of[rival] for rival in rivals)
            covers = sum(1 << bit % width for bit in slots)
            for bit in slots:
                self._keep[bit], self._covers[bit] = keep, covers
                self._others[bit], self._bits[bit] = self.all & ~covers, self._bits_of[index]
        self._column = [sum(1 << slot * width + k for slot in range(order)) for k in range(width)]
        self._top = 1 << (order - 1).bit_length() - 1
        self._folds = tuple(width * (self._top >> step) for step in range(1, self._top.bit_length()))
        one = (1 << self.cells) - 1
        boxes, lines = one << 3 * self.cells, one << self.cells | one << 2 * self.cells
        self._families = (boxes, boxes | lines, self.all)
        self.start = State(full, 0)
        self._groupings = self._line_box_meetings(boxes, one << self.cells, one << 2 * self.cells)

    def box(self, cell: int) -> int:
        """The box of a cell."""
        row, column = divmod(cell, self.order)
        return row // self.box_rows * (self.order // self.box_columns) + column // self.box_columns

    def bit(self, cell: int, digit: int) -> int:
        """The name of a candidate: the first of its bits. Digits count from 0."""
        return self._first[cell * self.order + digit]

    def place(self, state: State, bits: Iterable[int]) -> State:
        """The state after candidates are chosen."""
        candidates, decided = state
        for bit in bits:
            candidates &= self._keep[bit]
            decided |= self._covers[bit]
        return State(candidates, decided)

    def singles(self, state: State, families: int | None = None) -> State:
        """Places singles until there are none.

        Args:
            state: What is possible.
            families: The constraints to look at; all by default.
        """
        candidates, decided = state
        keep, covers, others, column = self._keep, self._covers, self._others, self._column
        whole, top, folds = self.all, self.width * self._top, self._folds
        wanted = whole if families is None else families
        while True:
            high = candidates >> top
            some, several = candidates | high, candidates & high
            for shift in folds:
                high = some >> shift
                several |= several >> shift | some & high
                some |= high
            if some & whole != whole:
                return State(0, decided)
            new = ((some ^ several) & whole ^ decided) & wanted
            if not new:
                return State(candidates, decided)
            while new:
                bit = (candidates & column[new.bit_length() - 1]).bit_length() - 1
                if bit < 0:  # two singles claim the same place
                    return State(0, decided)
                candidates &= keep[bit]
                new &= others[bit]
                decided |= covers[bit]

    def open_constraints(self, candidates: int) -> int:
        """The constraints with two candidates left; where there is none, those with more."""
        high = candidates >> self.width * self._top
        some, several, many = candidates | high, candidates & high, 0
        for shift in self._folds:
            high, twice = some >> shift, several >> shift
            many |= many >> shift | some & twice | several & high
            several |= twice | some & high
            some |= high
        return several & ~many & self.all or several & self.all

    def options(self, candidates: int, constraint: int) -> list[int]:
        """The candidates of a constraint."""
        left, found = candidates & self._column[constraint], []
        while left:
            bit = left.bit_length() - 1
            left ^= 1 << bit
            found.append(bit)
        return found

    def search(self, state: State, draws: Draws | None = None, branchings: int = _UNBOUNDED) -> int:
        """A solution, by singles and branching where there are fewest choices.

        Args:
            state: What is possible.
            draws: Puts choices in a random order; without, the order is fixed.
            branchings: How often to branch, at most.

        Returns:
            The candidates of the solution; 0 if there is none, `UNKNOWN` if the branchings were used up.
        """
        return self._search(state, draws, [branchings])

    def _search(self, state: State, draws: Draws | None, left: list[int]) -> int:
        state = self.singles(state)
        if not state.candidates or state.decided == self.all:
            return state.candidates
        left[0] -= 1
        if left[0] < 0:
            return UNKNOWN
        options = self.options(state.candidates, self.open_constraints(state.candidates).bit_length() - 1)
        if draws is not None:
            options = draws.shuffled(options)
        for bit in options:
            found = self._search(self.place(state, (bit,)), draws, left)
            if found:
                return found
        return 0

    def without(self, state: State, bit: int) -> State:
        """The state in which a candidate is ruled out."""
        return State(state.candidates & ~self._bits[bit], state.decided)

    def holds(self, state: State, bit: int) -> bool:
        """Whether a candidate is decided upon; it must be possible."""
        return state.decided & self._covers[bit] == self._covers[bit]

    def digits(self, candidates: int) -> list[int]:
        """The digits of a solution, cell by cell, from 0."""
        found, cells = [0] * self.cells, (1 << self.cells) - 1
        for digit in range(1, self.order):
            left = candidates >> digit * self.width & cells
            while left:
                cell = left.bit_length() - 1
                found[cell] = digit
                left ^= 1 << cell
        return found

    def solutions(self, clues: Sequence[int], limit: int = 2) -> list[list[int]]:
        """Solutions of a grid, digits from 0, up to a number of them.

        Args:
            clues: One digit from 0 for each cell, -1 where it is empty.
            limit: The most to look for.
        """
        given = [self.bit(cell, digit) for cell, digit in enumerate(clues) if digit >= 0]
        state, found = self.start, list[list[int]]()
        for bit in given:
            if not state.candidates & self._bits[bit]:
                return []
            state = self.place(state, (bit,))
        waiting = [state]
        while waiting and len(found) < limit:
            state = self.singles(waiting.pop())
            if state.decided == self.all and state.candidates:
                found.append(self.digits(state.candidates))
            elif state.candidates:
                constraint = self.open_constraints(state.candidates).bit_length() - 1
                waiting += [self.place(state, (bit,)) for bit in self.options(state.candidates, constraint)]
        return found

    def analyse(self, state: State, solution: int) -> Analysis:
        """How hard a grid is.

        Args:
            state: The state after its clues are placed.
            solution: The candidates of its only solution.
        """
        for technique, family in enumerate(self._families):
            state = self.singles(state, family)
            if state.decided == self.all:
                return Analysis(technique, 0)
        trials = 0
        while state.decided != self.all:
            narrowed = self.locked_candidates(state)
            if narrowed != state.candidates:
                technique = max(technique, 3)
                state = self.singles(State(narrowed, state.decided))
                continue
            wrong = self._wrong_options(state.candidates, solution)
            for tried, bit in enumerate(wrong, start=1):
                if not self.singles(self.place(state, (bit,))).candidates:
                    technique, trials = max(technique, 4), trials + tried
                    state = self.singles(self.without(state, bit))
                    break
            else:
                technique, trials = 5, trials + len(wrong) + 1
                state = self.singles(self.without(state, wrong[0]))
        return Analysis(technique, trials)

    def _wrong_options(self, candidates: int, solution: int) -> list[int]:
        """Wrong candidates where there are fewest choices, each once."""
        constraints, seen, found = self.open_constraints(candidates), 0, []
        while constraints:
            constraint = constraints.bit_length() - 1
            constraints ^= 1 << constraint
            for bit in self.options(candidates & ~solution, constraint):
                if not seen >> bit & 1:
                    seen |= self._bits[bit]
                    found.append(bit)
        return found

    def locked_candidates(self, state: State) -> int:
        """The candidates that one round of locked candidates leaves."""
        narrowed = candidates = state.candidates
        words = [candidates >> slot * self.width & self.all for slot in range(self.order)]
        for family, groups, eliminations in self._groupings:
            some = several = 0
            present = []
            for group in groups:
                inside = 0
                for slot in group:
                    inside |= words[slot]
                present.append(inside)
                several |= some & inside
                some |= inside
            single = (some ^ several) & family & ~state.decided
            while single:
                constraint = single.bit_length() - 1
                single ^= 1 << constraint
                group_index = next(i for i, inside in enumerate(present) if inside >> constraint & 1)
                narrowed &= eliminations[constraint, group_index]
        return narrowed

    def _line_box_meetings(
        self, boxes: int, rows: int, columns: int
    ) -> list[tuple[int, list[list[int]], dict[tuple[int, int], int]]]:
        """For boxes (cut by rows, by columns) and lines (cut by boxes): how the slots meet, and what that rules out."""
        slots, height, breadth = range(self.order), self.box_rows, self.box_columns
        cuts = [
            (boxes, [slot // breadth for slot in slots]),
            (boxes, [slot % breadth for slot in slots]),
            (rows, [slot // breadth for slot in slots]),
            (columns, [slot // height for slot in slots]),
        ]
        found = []
        for family, group_of in cuts:
            groups = [[slot for slot in slots if group_of[slot] == group] for group in range(max(group_of) + 1)]
            eliminations = {}
            for constraint in (k for k in range(self.width) if family >> k & 1):
                for index, group in enumerate(groups):
                    inside = [self._members[constraint][slot] for slot in group]
                    eliminations[constraint, index] = self._beside(inside, constraint)
            found.append((family, groups, eliminations))
        return found

    def _beside(self, inside: list[int], constraint: int) -> int:
        """All candidates but those that meet another constraint that the inner ones have in common."""
        shared = set.intersection(*({bit % self.width for bit in self._slots_of[one]} for one in inside))
        outside = {rival for k in shared - {constraint} for rival in self._members[k]} - set(inside)
        return self.start.candidates & ~sum(self._bits_of[rival] for rival in outside)

    def _slots(self, cell: int, digit: int) -> list[int]:
        """The four bits of a candidate: that of its cell, row, column and box."""
        row, column = divmod(cell, self.order)
        inside = row % self.box_rows * self.box_columns + column % self.box_columns
        constraints = (cell, row * self.order + digit, column * self.order + digit, self.box(cell) * self.order + digit)
        slots = (digit, column, row, inside)
        return [
            slot * self.width + family * self.cells + constraint
            for family, (constraint, slot) in enumerate(zip(constraints, slots, strict=True))
        ]


@cache
def sudoku_solver(order: int) -> SudokuSolver:
    """The solver of an order, made once."""
    return SudokuSolver(order)
