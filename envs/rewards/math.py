"""Equality of mathematical answers (math-verify), and GSM8K's rule."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from .text import as_answers, one_of
from .verifier import verified_equal

Gsm8kMethod = Literal["strict", "flexible"]
Gsm8kVariant = Literal["original", "verl"]

MAX_EXPRESSION_CHARACTERS = 300
"""Longer answers are compared as text alone; none in GSM8K, MATH or AIME comes near it."""

_ORNAMENTS = re.compile(r"\\\$|\$|\\!|\\,|(?<![0-9])\s+|\s+(?![0-9])")
_PERCENT = re.compile(r"\\?%$")
_NUMBER = re.compile(r"[-+]?(?:(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)")
_MAX_NUMBER_CHARACTERS = 100
_MATH_VERIFY_DECIMALS = 6
_GSM8K_FINAL = re.compile(r"#### (-?[0-9.,]+)")
_GSM8K_NUMBER = re.compile(r"-?[0-9.,]+")
_VERL_TAIL = 300


def math_equal(prediction: str, answer: str) -> bool:
    r"""Whether two mathematical answers are equal.

    Numbers that are the same but for thousands commas, dollar and percent signs and trailing zeros are equal (the
    conventions of GSM8K, arXiv 2110.14168). Other numbers are not; but percentages and decimals of six digits, which
    math-verify takes for hundredths and rounds, go where everything else goes: to math-verify (huggingface/
    Math-Verify), which the extra `math` installs, in a process of its own. What takes more than two seconds of
    processor time there, or more than 2 GiB, is not equal. Expressions of more than 300 characters are compared as text
    alone.

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
        if given_number == gold_number:
            return True
        if not ("%" in given + gold or _rounded(given, gold)):
            return False
    if not (0 < len(given) <= MAX_EXPRESSION_CHARACTERS and 0 < len(gold) <= MAX_EXPRESSION_CHARACTERS):
        return False
    return verified_equal(prediction, answer)


def any_equal(prediction: str, answers: str | Sequence[str]) -> bool:
    """Whether an answer equals one of the accepted answers (`math_equal`)."""
    return any(math_equal(prediction, answer) for answer in as_answers(answers))


def gsm8k_reward(
    response: str,
    answers: str | Sequence[str],
    *,
    method: Gsm8kMethod = "strict",
    variant: Gsm8kVariant = "original",
    format_score: float = 0.0,
) -> float:
    """1 if the number after `####` is the answer, letter by letter; `format_score` for another; 0 for none.

    Source: GSM8K, arXiv 2110.14168; openai/grade-school-math, `dataset.py`; verl, `reward_score/gsm8k.py`. Commas are
    taken out of what follows `####`.

    Args:
        response: What the model wrote.
        answers: Accepted answers, or solutions of the data set that end in `#### ANSWER`.
        method: `strict` asks for `####`; `flexible` takes the last number of the text, commas and all.
        variant: `original` reads the first `####` of the whole text (and so do older forks of verl); `verl` the last
            within the last 300 characters.
        format_score: Reward of a wrong number.

    Raises:
        InputError: For an unknown method or variant, or no answers.
    """
    one_of("method", method, Gsm8kMethod)
    one_of("variant", variant, Gsm8kVariant)
    golds = [gsm8k_answer(answer) or answer for answer in as_answers(answers)]
    text = response[-_VERL_TAIL:] if variant == "verl" else response
    if method == "strict":
        given = gsm8k_answer(text, last=variant == "verl")
    else:
        numbers = _GSM8K_NUMBER.findall(text)
        given = next((number for number in reversed(numbers) if number != "."), numbers[0] if numbers else None)
    if given is None:
        return 0.0
    return 1.0 if given in golds else format_score


def gsm8k_answer(solution: str, *, last: bool = False) -> str | None:
    """The number after the first (or last) `####` of a text, without commas; None if there is none."""
    found = _GSM8K_FINAL.findall(solution) if last else _GSM8K_FINAL.search(solution)
    if not found:
        return None
    return str(found[-1] if isinstance(found, list) else found[1]).replace(",", "")


def _plain(text: str) -> str:
    """Without ornaments: dollar signs, thin spaces, a final full stop, whitespace but that between two digits."""
    return _ORNAMENTS.sub("", text).removesuffix(".")


def _rounded(given: str, gold: str) -> bool:
    """Whether two decimal numbers, one of which has more digits than math-verify looks at, may be equal to it."""
    decimals = [len(number.partition(".")[2]) for number in (given, gold)]
    return min(decimals) > 0 and max(decimals) >= _MATH_VERIFY_DECIMALS


def _number(text: str) -> Fraction | None:
    text = _PERCENT.sub("", text)
    if len(text) > _MAX_NUMBER_CHARACTERS or not _NUMBER.fullmatch(text):
        return None
    return Fraction(text.replace(",", ""))
