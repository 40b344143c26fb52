"""Reasoning-gym's scores, held to what is asked, and safe from what a model can write."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from .puzzles.expressions import exact_value, read_expression
from .reasoning_gym_sets import Entry, Interpreter, Source, open_set

LONGEST_ANSWER = 20_000
"""Characters of an answer that are read, or four times those of the right answer where that is more."""
_SHORTER = MappingProxyType(
    {
        "intermediate_integration": 1_000,
        "polynomial_multiplication": 4_000,
        "propositional_logic": 400,
        "rubiks_cube": 4_000,
        "simple_integration": 1_000,
    }
)
"""Fewer where reading takes more than its length."""

_BOMB = re.compile(r"[0-9.][eE][+-]?[0-9]{4}|[0-9]{1000}")  # numbers that take minutes to write out
_TOWER = re.compile(r"[0-9]\*\*[-+]?[0-9]+\*\*|\*\*[-+]?[0-9]{4}")
_NOT_A_NUMBER = re.compile(r"nan|inf", re.IGNORECASE)
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_DIGITS = re.compile(r"[0-9]+")
_SIGN = re.compile(r"\s*(?:(\*\*|[A-Za-z]+|[0-9]+(?:\.[0-9]+)?|[-+*/(),])|(\S))")
_FUNCTIONS = frozenset(
    "sin cos tan sec csc cot asin acos atan sinh cosh tanh asinh acosh atanh exp log ln sqrt Abs pi E C".split()
)
_INTEGRALS = frozenset({"intermediate_integration", "simple_integration"})
_SYMPY = """
import sympy

def is_integral(answer, name, integrand):
    names = {name: sympy.Symbol(name), "C": sympy.Symbol("C")}
    derivative = sympy.diff(sympy.parse_expr(answer, local_dict=names), names[name])
    return bool(sympy.simplify(derivative - sympy.parse_expr(integrand, local_dict=names)) == 0)
"""
_SYMBOLIC = Interpreter(_SYMPY, cpu_seconds=4.0)

Rule = Callable[[str, Entry], bool]


def credit(made: Source, entry: Entry, answer: str) -> float:
    """What an answer is worth by reasoning-gym's `score_answer`, in [0, 1]; 1 only where it is right.

    Three things are added to it. Where reasoning-gym 0.1.25 gives full marks to answers that are wrong, a rule of
    `STRICTER` has to hold, too. Scores that evaluate an answer as Python (`eval`, sympy's `parse_expr`) get nothing to
    see but an expression of the kind that is asked for, by `READABLE`. And what takes long is cut short. An answer that
    a score stumbles over is wrong, whatever it is.

    Args:
        made: The data set.
        entry: The item.
        answer: The text.

    Raises:
        ToolUnavailable: If the interpreter that some scores need cannot be started.
    """
    gold = entry["answer"] if isinstance(entry["answer"], str) else ""
    if gold and answer.strip() == gold.strip():
        answer = gold  # formats strip what stands in their tags
    elif _refused(made.name, entry, answer, max(_SHORTER.get(made.name, LONGEST_ANSWER), 4 * len(gold))):
        return 0.0
    if made.name in _INTEGRALS:
        facts = entry["metadata"]
        return float(_SYMBOLIC.value(f"is_integral({answer!r}, {facts['variable']!r}, {facts['integrand']!r})") is True)
    try:
        score = float(open_set(made).score_answer(answer, entry))
        if score >= 1 and made.name in STRICTER and not STRICTER[made.name](answer, entry):
            return 0.0
    except Exception:
        return 0.0
    return 0.0 if math.isnan(score) else min(max(score, 0.0), 1.0)


def _refused(name: str, entry: Entry, answer: str, longest: int) -> bool:
    if len(answer) > longest or _BOMB.search(answer):
        return True
    return name in READABLE and not READABLE[name](answer, entry)


def solutions(made: Source, entry: Entry) -> tuple[str, ...]:
    """The right answer of an item, or one that is found in its metadata; empty where there is none."""
    if entry["answer"] is not None:
        return (str(entry["answer"]),)
    found = _SOLUTIONS[made.name](entry["metadata"]) if made.name in _SOLUTIONS else []
    return next(((answer,) for answer in found if credit(made, entry, answer) == 1), ())


def _is_literal(answer: str, entry: Entry) -> bool:
    """Whether `eval` finds no more in a text than a list, a text or a number."""
    try:
        ast.literal_eval(answer)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _is_board(answer: str, entry: Entry) -> bool:
    return answer in entry["metadata"]["valid_answers"] or _is_literal(answer, entry)


def _is_arithmetic(answer: str, entry: Entry) -> bool:
    reading = read_expression(answer.strip())
    return reading is not None and not {"**", "//"} & set(reading.postfix)


def _is_polynomial(answer: str, entry: Entry) -> bool:
    """Whether a text has the item's variables alone, and small powers of nothing else."""
    signs, variables = _signs(answer), entry["metadata"]["variables"]
    if signs is None or any(sign.isalpha() and sign not in variables for sign in signs):
        return False
    neighbours = zip(["", *signs], signs, [*signs[1:], ""], strict=False)
    powers = [(base, exponent) for base, sign, exponent in neighbours if sign == "**"]
    return all(base.isalpha() and exponent.isdecimal() and len(exponent) <= 2 for base, exponent in powers)


def _is_integral(answer: str, entry: Entry) -> bool:
    signs = _signs(answer)
    if signs is None or _TOWER.search("".join(signs)):
        return False
    known = _FUNCTIONS | {entry["metadata"]["variable"]}
    return all(sign in known for sign in signs if sign.isalpha())


def _is_formula(answer: str, entry: Entry) -> bool:
    """Whether a text has the item's variables alone: unknown ones cost a table of twice the rows each."""
    variables = entry["metadata"]["variables"]
    return all(sign in variables or sign in "∧∨¬→↔() " for sign in answer) and any(v in answer for v in variables)


def _signs(answer: str) -> list[str] | None:
    """Names, numbers and operators; None where there is anything else."""
    pairs = _SIGN.findall(answer)
    return None if any(other for _, other in pairs) else [sign for sign, _ in pairs]


READABLE: Mapping[str, Rule] = MappingProxyType(
    {
        "binary_matrix": _is_literal,
        "countdown": _is_arithmetic,
        "intermediate_integration": _is_integral,
        "n_queens": _is_board,
        "polynomial_multiplication": _is_polynomial,
        "propositional_logic": _is_formula,
        "puzzle24": _is_arithmetic,
        "simple_integration": _is_integral,
        "spiral_matrix": _is_literal,
        "string_insertion": _is_literal,
    }
)
"""What an answer must look like before a score evaluates it, in reasoning-gym 0.1.25."""


def _same_word(answer: str, entry: Entry) -> bool:
    return answer.strip().lower() == str(entry["answer"]).lower()


def _same_chance(answer: str, entry: Entry) -> bool:
    given, wanted = (float(Fraction(text.replace(",", ""))) for text in (answer, entry["answer"]))
    return abs(given - wanted) <= 1e-4  # the tolerance of its first rule


def _is_number(answer: str, entry: Entry) -> bool:
    return not _NOT_A_NUMBER.search(answer)


def _one_number(answer: str, entry: Entry) -> bool:
    return len(set(map(float, _NUMBER.findall(answer)))) == 1


def _no_more_numbers(answer: str, entry: Entry) -> bool:
    return len(_DIGITS.findall(answer)) <= len(_DIGITS.findall(entry["answer"]))


def _no_more_words(answer: str, entry: Entry) -> bool:
    return len(answer.split()) == len(entry["answer"].split())


def _makes_24(answer: str, entry: Entry) -> bool:
    reading = read_expression(answer.strip())
    assert reading is not None
    return exact_value(reading) == 24 and sorted(map(int, reading.numbers)) == sorted(entry["metadata"]["numbers"])


def _moves_alone(answer: str, entry: Entry) -> bool:
    return set("".join(answer.split())) <= set("LRUD")


STRICTER: Mapping[str, Rule] = MappingProxyType(
    {
        "coin_flip": _same_chance,  # it gives full marks for a first digit, such as 0
        "complex_arithmetic": _is_number,  # nothing is far from nan
        "fraction_simplification": _no_more_numbers,  # it reads the first fraction of several
        "game_of_life_halting": _same_word,  # every text but the empty one is true
        "gsm_symbolic": _one_number,  # it reads the first number of several
        "letter_jumble": _no_more_words,  # it reads as many words as it wants
        "number_sorting": _is_number,  # lists of NaN are sorted, and within the tolerance
        "puzzle24": _makes_24,  # it takes any four numbers, and rounds down
        "sokoban": _moves_alone,  # it passes over what is no move
        "spell_backward": _same_word,  # letters may follow; the sum of their shares is not always 1
        "time_intervals": _no_more_numbers,  # it reads the first number of several
    }
)
"""What must also hold of an answer with full marks, in reasoning-gym 0.1.25."""


def _inverse(moves: str) -> str:
    """The moves that take others back."""
    turned = (move[:-1] if move.endswith("'") else f"{move}'" for move in reversed(moves.split()))
    return " ".join(turned)


_SOLUTIONS: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = MappingProxyType(
    {
        "graph_color": lambda facts: [json.dumps(facts["possible_answer"])],
        "propositional_logic": lambda facts: [
            facts["example_answer"],
            *facts["premises"],
            " ∧ ".join(facts["premises"]),
        ],
        "rubiks_cube": lambda facts: [facts["example_correct_answer"], _inverse(facts["scramble_moves"])],
    }
)
"""Where an item without a right answer holds one."""
