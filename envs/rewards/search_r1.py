"""The rewards of Search-R1: exact match, form and retrieval."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from .scanning import blocks, last_block
from .text import as_answers, cover_exact_match, exact_match, normalize_answer, one_of

Variant = Literal["em", "cover", "format"]

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
    variant: Variant = "em",
    structure_format_score: float = STRUCTURE_FORMAT_SCORE,
    final_format_score: float = FINAL_FORMAT_SCORE,
    retrieval_score: float = RETRIEVAL_SCORE,
) -> float:
    """The reward of a whole response.

    Source: Search-R1, arXiv 2503.09516, `qa_em.py` (`em`, and `cover` by its `compute_score_subem`), and its follow-up
    arXiv 2505.15117, `qa_em_format.py` (`format`). The last answer block counts.

    With `format`: a right answer earns 1, less `structure_format_score` if the form is wrong; a wrong answer in the
    right form earns `structure_format_score`, and `retrieval_score` on top where a gold answer stands in what was
    retrieved; a wrong answer in the wrong form earns `final_format_score`; no answer earns 0.

    Departures: the official functions read the prompt too. They ask for two answer blocks, the first being the
    prompt's example, and with the repository's own prompt, which holds two, they score the example's "Beijing" where
    the response gives no answer; this one reads the response alone and asks for one.

    Args:
        response: All that follows the prompt, retrieved information included, without the end-of-turn token.
        answers: Accepted answers.
        variant: `em`, `cover` (cover-EM, substring) or `format`.
        structure_format_score: See above.
        final_format_score: See above.
        retrieval_score: See above.

    Raises:
        InputError: For an unknown variant or no answers.
    """
    one_of("variant", variant, Variant)
    golds = as_answers(answers)
    given = last_block(response, "answer")
    if given is None:
        return 0.0
    if variant == "cover":
        return cover_exact_match(given, golds)
    right = exact_match(given, golds)
    if variant == "em":
        return right
    formed, retrieved = search_r1_format(response), answer_retrieved(response, golds)
    return graded(right > 0, formed, retrieved, (structure_format_score, final_format_score, retrieval_score))


def graded(right: bool, formed: bool, retrieved: bool, scores: tuple[float, float, float]) -> float:
    """The reward of a response with an answer.

    Args:
        right: Whether the answer is right.
        formed: Whether the response has the form.
        retrieved: Whether an accepted answer stands in what was retrieved.
        scores: For the form of a response, for a wrong answer in the wrong form, and for retrieval.
    """
    structure, final, retrieval = scores
    if right:
        return 1.0 if formed else 1.0 - structure
    if not formed:
        return final
    return structure + (retrieval if retrieved else 0.0)


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
    golds = [normalize_answer(answer) for answer in as_answers(answers)]
    found = [normalize_answer(block) for block in blocks(response, "information")]
    return any(gold in block for gold in golds for block in found)
