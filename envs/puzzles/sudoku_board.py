"""A sudoku grid to write on: it tells what breaks a rule, and never what is right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from ...tools.base import ToolResult
from ..task import Task
from .board import BoardTool, State, illegal, seen
from .sudoku_solver import BOXES

_MOVE = re.compile(r"[rR]([0-9]{1,2})[cC]([0-9]{1,2})\s*=\s*([0-9]{1,2}|\.)")


class SudokuBoard(BoardTool):
    """`place(digits)`: writes digits, in order, up to the first that breaks a rule."""

    function = "place"
    argument = "digits"
    description = (
        "Writes digits into empty cells and shows the grid. A digit that stands in the same row, column or box already "
        "is refused; whether the others are right is not told."
    )
    meaning = "A cell by row and column and its digit, such as r2c7=5, or several with spaces; r2c7=. takes one back."

    def start(self, task: Task) -> State:
        """The given digits."""
        clues = [int(clue) for clue in task.metadata["clues"]]
        return {"order": task.metadata["order"], "clues": clues, "cells": list(clues)}

    def play(self, state: State, move: str) -> ToolResult:
        """Writes digits."""
        order, cells = state["order"], state["cells"]
        moves = _MOVE.findall(move)
        if not moves:
            return illegal(f"name a cell and a digit from 1 to {order}, such as r1c2=3.")
        for written, (row, column, digit) in enumerate(moves):
            fault = _fault(state, int(row), int(column), 0 if digit == "." else int(digit))
            if fault:
                if not written:
                    return illegal(f"{fault}.")
                return seen(f"{draw_grid(cells, order)}\nStopped before r{row}c{column}={digit}: {fault}.")
            cells[(int(row) - 1) * order + int(column) - 1] = 0 if digit == "." else int(digit)
        return seen(draw_grid(cells, order))


def _fault(state: State, row: int, column: int, digit: int) -> str:
    order, cells = state["order"], state["cells"]
    if not (1 <= row <= order and 1 <= column <= order and 0 <= digit <= order):
        return f"rows, columns and digits go from 1 to {order}"
    cell = (row - 1) * order + column - 1
    if state["clues"][cell]:
        return "this digit is given and stays"
    for kind, unit in zip(("row", "column", "box"), (unit for unit in units(order) if cell in unit), strict=True):
        if digit and any(cells[other] == digit for other in unit if other != cell):
            return f"there is a {digit} in this {kind} already"
    return ""


def draw_grid(cells: Sequence[int], order: int) -> str:
    """The grid in lines, with rules between the boxes; empty cells (0) are dots."""
    height, breadth = BOXES[order]
    lines = []
    for row in range(order):
        signs = [str(digit or ".") for digit in cells[row * order : (row + 1) * order]]
        parts = [" ".join(signs[start : start + breadth]) for start in range(0, order, breadth)]
        if row and row % height == 0:
            lines.append("-+-".join("-" * len(part) for part in parts))
        lines.append(" | ".join(parts))
    return "\n".join(lines)


@cache
def units(order: int) -> tuple[tuple[int, ...], ...]:
    """The cells of each row, each column and each box, in this order."""
    cells = range(order * order)
    height, breadth = BOXES[order]
    boxes = [(cell // order // height, cell % order // breadth) for cell in cells]
    rows = [tuple(cells[start : start + order]) for start in cells[::order]]
    columns = [tuple(cells[start::order]) for start in cells[:order]]
    return (*rows, *columns, *(tuple(cell for cell in cells if boxes[cell] == box) for box in sorted(set(boxes))))
