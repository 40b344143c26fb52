"""The rewards of Search-R1: exact match, and exact match with bonuses for form and retrieval."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from ...tools.errors import InputError
from ..formats.tags import contents
from .text import as_answers, exact_match, normalize_answer

STRUCTURE_FORMAT_SCORE = 0.2
FINAL_FORMAT_SCORE = 0.1
RETRIEVAL_SCORE = 0.0
"""Defaults of version 0.3 (arXiv 2505.15117); runs with a retrieval bonus use 0.1."""

_TAG = re.compile(r"(</?(?:think|search|information|answer)>)")
_NEXT = {
    ("start", "<think>"): "in think",
    ("in think", "</think>"): "thought",
    ("thought", "<search>"): "in search",
    ("in search", "</search>"): "searched",
    ("searched", "<information>"): "in information",
    ("in information", "</information>"): "informed",
    ("informed", "<think>"): "in think",
    ("thought", "<answer>"): "in answer",
    ("in answer", "</answer>"): "end",
}


def search_r1_reward(
    response: str,
    answers: str | Sequence[str],
    *,
    variant: Literal["em", "format"] = "em",
    structure_format_score: float = STRUCTURE_FORMAT_SCORE,
    final_format_score: float = FINAL_FORMAT_SCORE,
    retrieval_score: float = RETRIEVAL_SCORE,
) -> float:
    """The reward of a whole response.

    Source: Search-R1, arXiv 2503.09516, `qa_em.py` (`em`), and its follow-up arXiv 2505.15117, `qa_em_format.py`
    (`format`). The official functions read the prompt too, whose example is the first `<answer>`, and so ask for two;
    this one reads the response alone and asks for one. The last answer block counts.

    With `format`: a right answer earns 1, less `structure_format_score` if the form is wrong; a wrong answer in the
    right form earns `structure_format_score`, and `retrieval_score` on top where a gold answer stands in what was
    retrieved; a wrong answer in the wrong form earns `final_format_score`; no answer earns 0.

    Args:
        response: All that follows the prompt, retrieved information included, without the end-of-turn token.
        answers: Accepted answers.
        variant: `em` or `format`.
        structure_format_score: See above.
        final_format_score: See above.
        retrieval_score: See above.

    Raises:
        InputError: For an unknown variant or no answers.
    """
    if variant not in ("em", "format"):
        raise InputError(f"variant must be 'em' or 'format', not {variant!r}")
    given = contents(response, "answer")
    if not given:
        return 0.0
    right = exact_match(given[-1], answers)
    if variant == "em":
        return right
    formed = search_r1_format(response)
    if right:
        return 1.0 if formed else 1.0 - structure_format_score
    if not formed:
        return final_format_score
    return structure_format_score + (retrieval_score if answer_retrieved(response, answers) else 0.0)


def search_r1_format(response: str) -> bool:
    """Whether a response has Search-R1's form.

    It is a thought, any number of search, information and thought, and an answer, with nothing but whitespace between
    the blocks and nothing after the last; inside a block there is no tag.
    """
    state = "start"
    for index, part in enumerate(_TAG.split(response)):
        if index % 2:
            state = _NEXT.get((state, part), "wrong")
        elif part.strip() and not state.startswith("in "):
            return False
    return state == "end"


def answer_retrieved(response: str, answers: str | Sequence[str]) -> bool:
    """Whether a normalised answer is part of the normalised text of an information block."""
    golds = [gold for gold in map(normalize_answer, as_answers(answers)) if gold]
    blocks = [normalize_answer(block) for block in contents(response, "information")]
    return any(gold in block for gold in golds for block in blocks)
