"""Scores of mathematical answers: numbers compared directly, other expressions through math-verify."""

from __future__ import annotations

import itertools
import logging
import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from ...tools.errors import InputError
from ..formats.tags import last_boxed
from .text import as_answers

MAX_EXPRESSION_CHARACTERS = 300
"""Longer answers are compared as text alone; none in GSM8K, MATH or AIME comes near it."""

_ORNAMENTS = re.compile(r"\\\$|\$|\\%|%|\\!|\\,|\s")
_NUMBER = re.compile(r"[-+]?(?:(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)")
_MAX_NUMBER_CHARACTERS = 100
_COMMAND = re.compile(r"\\[A-Za-z]+")
_EXPONENT = re.compile(r"\^[{(]*[-+]?([0-9]+)")
_UNBOUNDED = re.compile(r"!|\*\*|\\(?:int|sum|prod|lim)|\\[dt]?binom\{[0-9]{4}")
_EXPANDED = re.compile(r"[)}]\^[{(]*(?:[3-9][0-9]|[0-9]{3})")
_MAX_EXPONENT = 100_000
_MAX_DEPTH = 20


def math_equal(prediction: str, answer: str) -> bool:
    r"""Whether two mathematical answers are equal.

    Numbers are compared exactly, thousands commas, dollar and percent signs and trailing zeros aside (the conventions
    of GSM8K, arXiv 2110.14168). Everything else goes to math-verify (huggingface/Math-Verify), which the extra `math`
    installs; its own time limits are off, because they use signals and so fail outside of the main thread. Instead,
    expressions that are long or explode when evaluated are compared as text alone. An expression that is slow in
    another way can still hold its thread: run graders of untrusted models under a process limit.

    Args:
        prediction: The answer that was given, without `\boxed`.
        answer: The accepted answer.

    Raises:
        InputError: If math-verify is needed and not installed.
    """
    given, gold = _plain(prediction), _plain(answer)
    if given == gold:
        return bool(given)
    given_number, gold_number = _number(given), _number(gold)
    if given_number is not None and gold_number is not None:
        return given_number == gold_number
    if not (_tractable(given) and _tractable(gold)):
        return False
    return _verified(prediction, answer)


def any_equal(prediction: str, answers: str | Sequence[str]) -> bool:
    """Whether an answer equals one of the accepted answers (`math_equal`)."""
    return any(math_equal(prediction, answer) for answer in as_answers(answers))


def retool_reward(response: str, answers: str | Sequence[str]) -> float:
    r"""+1 if the last `\boxed{}` of a response equals an accepted answer, else -1; nothing for form or for calls.

    Source: ReTool, arXiv 2504.11536, section 2.3.

    Args:
        response: All that follows the prompt, interpreter output included.
        answers: Accepted answers.

    Raises:
        InputError: If math-verify is needed and not installed, or there are no answers.
    """
    boxed = last_boxed(response)
    return 1.0 if boxed is not None and any_equal(boxed, answers) else -1.0


def _plain(text: str) -> str:
    """Without ornaments: whitespace, dollar and percent signs, thin spaces, a final full stop."""
    return _ORNAMENTS.sub("", text).removesuffix(".")


def _number(text: str) -> Fraction | None:
    if len(text) > _MAX_NUMBER_CHARACTERS or not _NUMBER.fullmatch(text):
        return None
    return Fraction(text.replace(",", ""))


def _tractable(text: str) -> bool:
    """Whether an expression can be parsed and evaluated in little time, as far as its text shows."""
    if not 0 < len(text) <= MAX_EXPRESSION_CHARACTERS or text.count("{") != text.count("}"):
        return False
    depths = itertools.accumulate((bracket in "([{") - (bracket in ")]}") for bracket in text)
    return max(depths) <= _MAX_DEPTH and not _explosive(text)


def _explosive(text: str) -> bool:
    """Whether evaluating may take for ever: factorials, sums, powers of sums, and numbers with towers of exponents."""
    if _UNBOUNDED.search(text):
        return True
    letters = _COMMAND.sub("", text)
    if _EXPANDED.search(text) and re.search("[A-Za-z]", letters):
        return True
    if math.prod(max(1, int(exponent)) for exponent in _EXPONENT.findall(text)) > _MAX_EXPONENT:
        return True
    return any("^" in exponent and not re.search("[A-Za-z]", exponent) for exponent in _exponents(letters))


def _exponents(text: str) -> Iterator[str]:
    """What follows each `^`: the group in braces or parentheses, or the two characters after it."""
    for caret in re.finditer(r"\^", text):
        depth, start = 0, caret.end()
        for position in range(start, len(text)):
            depth += (text[position] in "{(") - (text[position] in "})")
            if depth <= 0:
                yield text[start : position + 2]
                break


def _verified(prediction: str, answer: str) -> bool:
    math_verify = _math_verify()
    try:
        gold = math_verify.parse(f"\\boxed{{{answer}}}", parsing_timeout=None)
        given = math_verify.parse(f"\\boxed{{{prediction}}}", parsing_timeout=None)
        return bool(math_verify.verify(gold, given, timeout_seconds=None))
    except Exception:  # whatever a model's expression does to the parser, it is not equal
        return False


def _math_verify() -> Any:
    try:
        import math_verify
    except ImportError as error:
        raise InputError("comparing mathematical expressions needs math-verify: pip install 'toolgym[math]'") from error
    for module in ("math_verify.parser", "math_verify.grader"):  # they warn, once a process, that the limits are off
        logging.getLogger(module).setLevel(logging.ERROR)
    return math_verify
