"""Arithmetic expressions: read safely, valued exactly, searched for."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple, TypeVar

LONGEST, DEEPEST = 2_000, 200
"""Characters of an expression, and parentheses inside each other, that are read."""
_MOST_BITS = 10_000
_TOKEN = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+|\*\*|//|[-+*/()]|[ \t\f]+|[\r\n]")
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "//": 2, "sign": 3, "**": 4}

Value = TypeVar("Value")


class Reading(NamedTuple):
    """An expression as it was read.

    Attributes:
        postfix: Its numbers and operators in postfix order; a sign is `u+` or `u-`.
        numbers: Its numbers as they were written, in order.
    """

    postfix: tuple[str, ...]
    numbers: tuple[str, ...]


def read_expression(text: str) -> Reading | None:
    """Reads an expression of numbers, `+ - * / // **`, signs and parentheses, by Python's precedence.

    Args:
        text: Any text.

    Returns:
        The reading, or None if the text is anything else, longer than `LONGEST` or nested deeper than `DEEPEST`.
    """
    if len(text) > LONGEST:
        return None
    postfix: list[str] = []
    waiting: list[str] = []
    numbers: list[str] = []
    position, depth, complete = 0, 0, False
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return None
        position, token = match.end(), match[0]
        if token.isspace():
            if token in "\r\n" and depth == 0:
                return None  # a line ends an expression outside of parentheses
        elif token == "(" if not complete else token == ")":
            depth += 1 if token == "(" else -1
            if not 0 <= depth < DEEPEST:
                return None
            if token == "(":
                waiting.append(token)
            else:
                _release(postfix, waiting, 0)
                waiting.pop()
        elif not complete and token in ("+", "-"):
            waiting.append(f"u{token}")
        elif not complete and token not in _PRECEDENCE and token not in "()":
            postfix.append(token)
            numbers.append(token)
            complete = True
        elif complete and token in _PRECEDENCE:
            _release(postfix, waiting, _PRECEDENCE[token] + (token == "**"))
            waiting.append(token)
            complete = False
        else:
            return None
    if depth or not complete:
        return None
    _release(postfix, waiting, 0)
    return Reading(tuple(postfix), tuple(numbers))


def exact_value(reading: Reading) -> Fraction | None:
    """The value of an expression of whole numbers under `+ - * /`; None for other ones and division by zero."""
    operators = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
    return _value(reading, operators, lambda text: Fraction(int(text)) if _is_whole(text) else None)


def python_value(reading: Reading) -> int | float | None:
    """The value that Python's `eval` gives an expression, floats and their rounding included; None where it raises.

    Numbers of more than 10,000 bits are not computed, and count as failed.
    """
    operators: dict[str, Callable[[int | float, int | float], int | float | None]] = {
        "+": operator.add,
        "-": operator.sub,
        "*": operator.mul,
        "/": operator.truediv,
        "//": operator.floordiv,
        "**": _power,
    }
    return _value(reading, operators, _python_number)


class Found(NamedTuple):
    """What a search for an expression gave.

    Attributes:
        expression: An expression of all numbers with the target as its value; None if there is none.
        steps: How many pairs of numbers were combined to find it: the solver's effort.
    """

    expression: str | None
    steps: int


Rational = tuple[int, int]
"""Numerator and denominator, in lowest terms, the latter positive."""
_Step = tuple[int, int, str]


def find_expression(numbers: Sequence[int], target: int) -> Found:
    """Looks for an expression that uses every number once and has a value: depth first, all pairs, exact fractions.

    Args:
        numbers: The numbers.
        target: The value.
    """
    search = _Search((target, 1))
    steps = search.combine([(number, 1) for number in numbers])
    if steps is None:
        return Found(None, search.count)
    made: list[object] = list(numbers)
    for first, second, sign in steps:
        right, left = made.pop(second), made.pop(first)
        made.append((sign[-1], right, left) if len(sign) > 1 else (sign, left, right))
    return Found(write_expression(made[0]), search.count)


class _Search:
    def __init__(self, target: Rational) -> None:
        self.target = target
        self.count = 0
        self._failed: set[tuple[Rational, ...]] = set()

    def combine(self, values: list[Rational]) -> list[_Step] | None:
        """The steps that make the target of all values: two positions (the result goes to the end) and an operator."""
        if len(values) == 1:
            return [] if values[0] == self.target else None
        state = tuple(sorted(values))
        if state in self._failed:
            return None
        for second in range(1, len(values)):
            for first in range(second):
                self.count += 1
                rest = values[:first] + values[first + 1 : second] + values[second + 1 :]
                for value, sign in _results(values[first], values[second]).items():
                    if rest or value == self.target:
                        steps = self.combine([*rest, value])
                        if steps is not None:
                            return [(first, second, sign), *steps]
        self._failed.add(state)
        return None


def write_expression(made: object, above: int = 0) -> str:
    """An expression from `(operator, left, right)` and numbers, with the parentheses that it needs.

    Args:
        made: How it is made.
        above: Precedence that it must have to stand without parentheses.
    """
    if not isinstance(made, tuple):
        return str(made)
    sign, left, right = made
    own = _PRECEDENCE[sign]
    # To the right of - and / an operator of the same kind needs parentheses.
    text = f"{write_expression(left, own)} {sign} {write_expression(right, own + (sign in '-/'))}"
    return f"({text})" if own < above else text


def _results(first: Rational, second: Rational) -> dict[Rational, str]:
    """What two numbers can make, each value once, and how; `r-` and `r/` with the second number first."""
    (a, b), (c, d) = first, second
    ad, cb, bd = a * d, c * b, b * d
    results = {
        _lowest(ad + cb, bd): "+",
        _lowest(a * c, bd): "*",
        _lowest(ad - cb, bd): "-",
        _lowest(cb - ad, bd): "r-",
    }
    if c:
        results.setdefault(_lowest(ad, cb), "/")
    if a:
        results.setdefault(_lowest(cb, ad), "r/")
    return results


def _lowest(top: int, bottom: int) -> Rational:
    if bottom == 1:
        return top, 1
    shared = math.gcd(top, bottom) if bottom > 0 else -math.gcd(top, bottom)
    return top // shared, bottom // shared


def _release(postfix: list[str], waiting: list[str], least: int) -> None:
    """Moves waiting operators that bind at least so strongly, back to an open parenthesis, to the postfix order."""
    while waiting and waiting[-1] != "(":
        kind = "sign" if waiting[-1][0] == "u" else waiting[-1]
        if _PRECEDENCE[kind] < least:
            break
        postfix.append(waiting.pop())


def _value(
    reading: Reading,
    operators: dict[str, Callable[[Value, Value], Value | None]],
    number: Callable[[str], Value | None],
) -> Value | None:
    stack: list[Value] = []
    for token in reading.postfix:
        value: Value | None
        try:
            if token in ("u+", "u-"):
                value = stack.pop() if token == "u+" else -stack.pop()  # type: ignore[operator]
            elif token in _PRECEDENCE:
                right, left = stack.pop(), stack.pop()
                value = operators[token](left, right) if token in operators else None
            else:
                value = number(token)
        except (ZeroDivisionError, OverflowError):
            return None
        if value is None or not _is_small(value):
            return None
        stack.append(value)
    return stack[0]


def _is_small(value: object) -> bool:
    if isinstance(value, Fraction):
        return value.numerator.bit_length() + value.denominator.bit_length() <= _MOST_BITS
    return not isinstance(value, int) or value.bit_length() <= _MOST_BITS


def _is_whole(text: str) -> bool:
    return text.isdecimal() and (text[0] != "0" or len(text) == 1)


def _python_number(text: str) -> int | float | None:
    if "." in text:
        return float(text)
    return int(text) if text[0] != "0" or not text.strip("0") else None


def _power(base: int | float, exponent: int | float) -> int | float | None:
    whole = isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1
    if whole and int(base).bit_length() * abs(exponent) > _MOST_BITS:
        return None
    value = base**exponent
    return None if isinstance(value, complex) else value
