"""A calculator: arithmetic by a walk over the syntax tree, with bounded numbers. Nothing is ever executed."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable

from .base import ToolResult, ToolStatus
from .decorator import tool

Number = int | float

_MAXIMUM_LENGTH = 1_000
_MAXIMUM_BITS = 10_000
_THOUSANDS = re.compile(r"(?<![\w.])\d{1,3}(?:,\d{3})+(?![\d,])")
_LISTS = re.compile(r"(?:min|max|round)\s*\(")  # where `1,200` may also be two arguments

_UNARY: dict[type[ast.unaryop], Callable[[Number], Number]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


@tool(timeout=None, max_output_characters=4_000)
def calculator(expression: str) -> ToolResult:
    """Computes an arithmetic expression: + - * / // % ** and parentheses, min, max, abs, round, sqrt.

    Args:
        expression: The expression, for example "(1,200 + 34) / 2". Numbers may have thousands commas.
    """
    try:
        return ToolResult(ToolStatus.OK, format_number(evaluate(expression)))
    except ValueError as error:
        return ToolResult(ToolStatus.ERROR, f"Error: {error}.")


def evaluate(expression: str) -> Number:
    """The value of an arithmetic expression.

    Args:
        expression: At most 1,000 characters. `^` is not a power: write `**`.

    Returns:
        An int where the operations keep ints, else a float.

    Raises:
        ValueError: If the text is no such expression, divides by zero, or grows beyond 10,000 bits.
    """
    if len(expression) > _MAXIMUM_LENGTH:
        raise ValueError(f"the expression has {len(expression):,} characters; at most {_MAXIMUM_LENGTH:,} are allowed")
    if _LISTS.search(expression) and _THOUSANDS.search(expression):
        raise ValueError("beside min, max and round write a space after each comma, and no thousands commas")
    text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), expression.strip())
    try:
        tree = ast.parse(text, mode="eval")
        return _value(tree.body)
    except (SyntaxError, MemoryError, RecursionError):
        raise ValueError(f"cannot read {expression.strip()[:80]!r} as an arithmetic expression") from None
    except ZeroDivisionError:
        raise ValueError("division by zero") from None
    except OverflowError:
        raise ValueError("the result is too large") from None


def format_number(value: Number) -> str:
    """The number as text: ints in full, floats with up to 12 significant digits and no trailing zeros."""
    if isinstance(value, int):
        return str(value)
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.12g}"


def _value(node: ast.expr) -> Number:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _bounded(node.value)  # type: ignore[arg-type]  # the line above is the check
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_value(node.operand))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return _power(_value(node.left), _value(node.right))
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _bounded(_BINARY[type(node.op)](_value(node.left), _value(node.right)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _bounded(_call(node.func.id, [_value(argument) for argument in node.args]))
    raise ValueError("only numbers, + - * / // % **, parentheses, and min, max, abs, round, sqrt are allowed")


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        if abs(base) > 1 and base.bit_length() * exponent > _MAXIMUM_BITS:
            raise ValueError("the result is too large")
        return int(base**exponent)
    result = base**exponent
    if isinstance(result, complex):
        raise ValueError("a fractional power of a negative number is not real")
    return _bounded(float(result))


def _call(name: str, values: list[Number]) -> Number:
    if name in ("min", "max") and values:
        return min(values) if name == "min" else max(values)
    if name == "abs" and len(values) == 1:
        return abs(values[0])
    if name == "sqrt" and len(values) == 1:
        return _square_root(values[0])
    if name == "round" and len(values) == 1:
        return round(values[0])
    if name == "round" and len(values) == 2 and isinstance(values[1], int) and abs(values[1]) <= 1_000:
        return round(values[0], values[1])
    raise ValueError(f"{name} cannot be called with {len(values)} of these arguments; use min, max, abs, round, sqrt")


def _square_root(value: Number) -> Number:
    if value < 0:
        raise ValueError("the square root of a negative number is not real")
    if isinstance(value, int):
        root = math.isqrt(value)
        return root if root * root == value else math.sqrt(value)
    return math.sqrt(value)


def _bounded(value: Number) -> Number:
    if isinstance(value, int):
        if value.bit_length() > _MAXIMUM_BITS:
            raise ValueError("the result is too large")
    elif not math.isfinite(value):
        raise ValueError("the result is not a finite number")
    return value
