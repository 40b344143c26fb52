r"""The grader of PRM800K: normalised texts, then sympy."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .latex import latex_to_text
from .text import as_answers
from .verifier import vanishes

MAX_EXPRESSION_CHARACTERS = 1000
"""Longer answers are compared by `normalize_math` alone."""

_TEXT = re.compile(r"^\\text\{(.+?)\}$")
_INTEGER_FRACTION = re.compile(r"(0|-?[1-9][0-9]*)/(0|-?[1-9][0-9]*)")
_UNITS = [
    re.compile(rf"{unit}(?:es)?s? *(?:\^[0-9]+)?")
    for unit in ("degree cm centimeter meter mile second minute hour day week month year foot feet inch yard".split())
]
_WORDS = (
    ("\\%", "%"),
    ("\\$", "$"),
    ("$", ""),
    ("%", ""),
    (" or ", " , "),
    (" and ", " , "),
    ("million", "*10^6"),
    ("billion", "*10^9"),
    ("trillion", "*10^12"),
)
_SYMBOLS = str.maketrans({"√": "sqrt", "π": "pi", "∞": "inf", "∪": "U", "·": "*", "×": "*"})
_THOUSANDS = re.compile(r"(\d),(\d\d\d)(?=$|\D)")
_FRACTION = re.compile(r"^-?[0-9]+.?/0*[1-9][0-9]*.?$")
_BRACKETS = "()[]"
_HANGS = re.compile(r"\^\{|\^\(|\^[0-9]+\^|\^[0-9][0-9]")
_MAX_LETTERS = 2


def grade_answer(prediction: str, answers: str | Sequence[str]) -> bool:
    r"""Whether an answer equals an accepted one by the rules of PRM800K's grader.

    Equal is what is the same text after the normalisation of the MATH dataset (`normalize_math`), or after the grader's
    own (`normalize_expression`: units, thousands commas, mixed numbers, LaTeX to plain text). Otherwise tuples and
    intervals must have the same brackets and as many elements, and each pair of elements is compared: two fractions by
    their text, so that unreduced ones differ; an integer equals nothing but an integer; else sympy must simplify the
    difference to zero, in a process of its own under a processor limit. Expressions with more than two letters, with
    `^{`, `^(`, towers of powers and exponents of two digits are not given to sympy.

    Source: Lightman et al., arXiv 2305.20050; openai/prm800k, `prm800k/grading/grader.py` and `math_normalize.py`.

    Args:
        prediction: The answer that was given, without `\boxed`.
        answers: Accepted answers.

    Raises:
        InputError: If sympy is needed and math-verify, which brings it, is not installed, or there are no answers.
    """
    return any(_graded(prediction, answer) for answer in as_answers(answers))


def _graded(prediction: str, answer: str) -> bool:
    if normalize_math(answer) == normalize_math(prediction):
        return True
    if max(len(prediction), len(answer)) > MAX_EXPRESSION_CHARACTERS:
        return False
    gold, given = normalize_expression(answer), normalize_expression(prediction)
    if gold == given or not given:
        return gold == given
    golds, givens = _elements(gold), _elements(given)
    if len(golds) != len(givens) or (len(golds) > 1 and (gold[0], gold[-1]) != (given[0], given[-1])):
        return False
    return all(_same_element(*pair) for pair in zip(golds, givens, strict=True))


def _same_element(gold: str, given: str) -> bool:
    if _FRACTION.search(gold) and _FRACTION.search(given):
        return gold == given
    if _is_integer(gold) != _is_integer(given):
        return False
    difference = f"({gold})-({given})"
    letters = {letter for letter in difference.replace("sqrt", "").replace("frac", "") if letter.isalpha()}
    if len(letters) > _MAX_LETTERS or _HANGS.search(difference):
        return False
    return vanishes(difference.replace("^", "**"))


def _elements(text: str) -> list[str]:
    text = _without_thousands(text)
    inside = text[1:-1]
    bracketed = len(text) > 2 and text[0] in _BRACKETS and text[-1] in _BRACKETS
    if bracketed and not any(bracket in inside for bracket in _BRACKETS):
        return [element.strip() for element in inside.split(",")]
    return [text] if text else []


# The grader's own normalisation -----------------------------------------------------------------------------------


def normalize_expression(text: str) -> str:
    r"""The normalisation of PRM800K's grader (`_normalize`).

    An enclosing `\text{}`, dollar and percent signs and units go; "or" and "and" become commas, "million" a power of
    ten; a whole number becomes its digits; LaTeX becomes plain text; a mixed number becomes a sum; spaces and braces
    go; the rest is lower case.
    """
    enclosed = _TEXT.search(text)
    text = enclosed[1] if enclosed else text
    for word, replacement in _WORDS:
        text = text.replace(word, replacement)
    for unit in _UNITS:
        text = unit.sub("", text)
    text = re.sub(r"\^ *\\circ", "", text)
    if text and text[0] == "{" and text[-1] == "}":
        text = text[1:-1]
    text = re.sub(r",\\! *", "", text)
    value = _float(text)
    if value is not None and _is_whole(value):
        text = str(round(value))
    if "\\" in text:
        text = _plain_text(text)
    text = re.sub(r"- *", "-", text)
    text = re.sub(r"([0-9]) +([0-9])", r"\1+\2", text)
    text = text.replace(" ", "").replace("{", "").replace("}", "").lower()
    return str(int(float(text.replace(",", "")))) if _is_integer(text) else text


def _plain_text(text: str) -> str:
    short = text.replace("\\tfrac", "\\frac").replace("\\dfrac", "\\frac")
    plain = latex_to_text(short.replace("\\frac", " \\frac"))
    return text if plain is None else plain.translate(_SYMBOLS).strip()


def _without_thousands(text: str) -> str:
    while True:
        shorter = _THOUSANDS.sub(r"\1\2", text)
        if shorter == text:
            return text
        text = shorter


def _is_integer(text: str) -> bool:
    value = _float(_without_thousands(text))
    return value is not None and _is_whole(value)


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_whole(value: float) -> bool:
    try:
        return abs(value - round(value)) <= 1e-7
    except (ValueError, OverflowError):  # not a number, infinite
        return False


# The MATH dataset's normalisation ---------------------------------------------------------------------------------


def normalize_math(text: str) -> str:
    r"""The normalisation of the MATH dataset's own comparison, as PRM800K's grader applies it.

    Line breaks, `\!`, `\left`, `\right`, degrees, escaped dollar and percent signs, units that start with `\text{ ` and
    spaces go; `\tfrac` and `\dfrac` become `\frac`; a leading point gets a zero; a left-hand side of at most two
    characters goes; arguments of `\frac` and `\sqrt` get braces; 0.5 and a/b become `\frac`. A text that this fails on
    (two units, a `\frac` or `\sqrt` at the very end) stays as it is.

    Source: Hendrycks et al., arXiv 2103.03874, `math_equivalence.py`; openai/prm800k, `math_normalize.py`.
    """
    text = text.strip()
    enclosed = _TEXT.search(text)
    text = enclosed[1].strip() if enclosed else text
    normal = _normal_form(text)
    return text if normal is None else normal


def _normal_form(text: str) -> str | None:
    text = text.replace("\n", "").replace("\\!", "").replace("\\\\", "\\")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac").replace("\\left", "").replace("\\right", "")
    text = text.replace("^{\\circ}", "").replace("^\\circ", "").replace("\\$", "")
    if text.count("\\text{ ") > 1:
        return None
    text = text.partition("\\text{ ")[0].replace("\\%", "").replace(" .", " 0.").replace("{.", "{0.")
    if not text:
        return text
    text = f"0{text}" if text[0] == "." else text
    left, equals, right = text.partition("=")
    if equals and "=" not in right and len(left) <= 2:
        text = right
    roots = text.split("\\sqrt")
    if not all(roots[1:]):
        return None
    braced = [root if root[0] == "{" else f"{{{root[0]}}}{root[1:]}" for root in roots[1:]]
    fractions = _braced_fractions("\\sqrt".join([roots[0], *braced]).replace(" ", ""))
    if fractions is None:
        return None
    text = fractions
    if text == "0.5":
        return "\\frac{1}{2}"
    fraction = _INTEGER_FRACTION.fullmatch(text)
    return f"\\frac{{{fraction[1]}}}{{{fraction[2]}}}" if fraction else text


def _braced_fractions(text: str) -> str | None:
    first, *parts = text.split("\\frac")
    written = [first]
    for part in parts:
        if not part:
            return None
        if part[0] != "{":
            if len(part) < 2:
                return text
            rest = part[1:] if part[1] == "{" else f"{{{part[1]}}}{part[2:]}"
            part = f"{{{part[0]}}}{rest}"
        written.append(f"\\frac{part}")
    return "".join(written)
