r"""The reward of DAPO: an answer or a box, normalised as in Minerva."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from .scanning import last_box
from .text import as_answers, one_of

DapoRules = Literal["answer_or_box", "answer", "box"]

RIGHT, WRONG = 1.0, -1.0
"""DAPO, arXiv 2503.14476, section 2.4."""

_TAIL, _BOX_TAIL = 300, 100
_ANSWER = re.compile(r"answer\s*:\s*([^\n]+)", re.IGNORECASE)
_REPLACED = (
    ("an ", ""),
    ("a ", ""),
    (".$", "$"),
    ("\\$", ""),
    ("\\ ", ""),
    (" ", ""),
    ("mbox", "text"),
    (",\\text{and}", ","),
    ("\\text{and}", ","),
    ("\\text{m}", "\\text{}"),
)
_REMOVED = (
    *"square ways integers dollars mph inches hours km units \\ldots sue points feet minutes digits cents".split(),
    *"degrees cm gm pounds meters meals edges students childrentickets multiples".split(),
    *("\\text{s}", "\\text{.}", "\\text{\ns}", "\\text{}^2", "\\text{}^3", "\\text{\n}", "\\text{}"),
    *("\\mathrm{th}", "^\\circ", "^{\\circ}", "\\;", ",\\!", "{,}", '"', "\\dots"),
)
_REWRITTEN = (
    (re.compile(r".*?\$(.*?)\$.*"), r"$\1$"),
    (re.compile(r"\\text\{(.*?)\}"), r"\1"),
    (re.compile(r"\\textbf\{(.*?)\}"), r"\1"),
    (re.compile(r"\\overline\{(.*?)\}"), r"\1"),
    (re.compile(r"\\boxed\{(.*)\}"), r"\1"),
    (re.compile(r"frac([^{])(.)"), r"frac{\1}{\2}"),
    (re.compile(r"sqrt([^{])"), r"sqrt{\1}"),
)


def dapo_reward(response: str, answers: str | Sequence[str], *, rules: DapoRules = "answer_or_box") -> float:
    r"""+1 for the right answer, -1 for any other. Add `soft_overlong_penalty` for the whole reward of DAPO.

    Source: DAPO, arXiv 2503.14476; verl, `reward_score/math_dapo.py`. Only the last 300 characters are read.

    Args:
        response: What the model wrote.
        answers: Accepted answers.
        rules: `answer`: what follows the last `Answer:` up to the line's end, normalised as in Minerva
            (`normalize_minerva`); all that DAPO's own runs read. `box`: the last `\boxed{}` within the last 100
            characters, letter by letter (verl's `strict_box_verify`). `answer_or_box`: the box where there is no
            `Answer:`, as in verl today.

    Raises:
        InputError: For unknown rules or no answers.
    """
    one_of("rules", rules, DapoRules)
    golds = as_answers(answers)
    found = [] if rules == "box" else _ANSWER.findall(response[-_TAIL:])
    if found:
        given = normalize_minerva(found[-1])
        return RIGHT if any(given == normalize_minerva(gold) for gold in golds) else WRONG
    return RIGHT if rules != "answer" and last_box(response[-_BOX_TAIL:]) in golds else WRONG


def normalize_minerva(answer: str) -> str:
    r"""The normalisation of a final answer of Minerva (arXiv 2206.14858, appendix D), as verl has it.

    What stands after the last `=` counts. Articles, spaces, units and decorations go; the first text between dollar
    signs replaces its line; `\text{}`, `\textbf{}`, `\overline{}` and `\boxed{}` lose their braces; the arguments of
    `\frac` and `\sqrt` get some; a number loses its commas.
    """
    answer = answer.rpartition("=")[2]
    for old, new in _REPLACED:
        answer = answer.replace(old, new)
    for expression in _REMOVED:
        answer = answer.replace(expression, "")
    for pattern, replacement in _REWRITTEN:
        answer = pattern.sub(replacement, answer)
    answer = answer.replace("$", "")
    digits = answer.replace(",", "")
    return (digits if digits.isdigit() else answer).strip()
