"""Scores of short answers: normalisation, exact match, F1, cover exact match."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from ...tools.errors import InputError

F1Rules = Literal["hotpotqa", "squad"]

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_CLOSED_ANSWERS = ("yes", "no", "noanswer")


def as_answers(answers: str | Sequence[str]) -> tuple[str, ...]:
    """Accepted answers as a tuple; a single text is one answer.

    Raises:
        InputError: If there is none.
    """
    golds = (answers,) if isinstance(answers, str) else tuple(answers)
    if not golds:
        raise InputError("a reward needs at least one accepted answer, and there is none")
    return golds


def normalize_answer(text: str) -> str:
    """Lower case, without ASCII punctuation, without articles, with single spaces: in this order.

    Source: the evaluation scripts of SQuAD (Rajpurkar et al., arXiv 1606.05250) and HotpotQA (Yang et al., arXiv
    1809.09600).
    """
    bare = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(prediction: str, answers: str | Sequence[str]) -> float:
    """1 if the normalised prediction is one of the normalised answers, else 0.

    Source: SQuAD v1.1. One departure: an answer of which normalisation leaves nothing ("A", "The", "?") is compared
    as it stands, since every prediction without content would match it otherwise.

    Args:
        prediction: The answer that was given.
        answers: Accepted answers.
    """
    return float(any(_equal(prediction, answer) for answer in as_answers(answers)))


def _equal(prediction: str, answer: str) -> bool:
    gold = normalize_answer(answer)
    if not gold:
        return prediction.strip().lower() == answer.strip().lower()
    return normalize_answer(prediction) == gold


def f1_score(prediction: str, answers: str | Sequence[str], rules: F1Rules = "hotpotqa") -> float:
    """Token overlap (a multiset) of prediction and answer as F1; the highest over the accepted answers.

    Args:
        prediction: The answer that was given.
        answers: Accepted answers.
        rules: `hotpotqa`: where either side is `yes`, `no` or `noanswer` and they differ, the score is 0. `squad`:
            no such rule. An answer without tokens is scored by exact match, which gives SQuAD v2's rule for
            unanswerable questions.

    Raises:
        InputError: For unknown rules or no answers.
    """
    if rules not in ("hotpotqa", "squad"):
        raise InputError(f"rules must be 'hotpotqa' or 'squad', not {rules!r}")
    return max(_f1(prediction, answer, rules) for answer in as_answers(answers))


def _f1(prediction: str, answer: str, rules: F1Rules) -> float:
    given, gold = normalize_answer(prediction), normalize_answer(answer)
    if not gold:
        return float(_equal(prediction, answer))
    if rules == "hotpotqa" and given != gold and (given in _CLOSED_ANSWERS or gold in _CLOSED_ANSWERS):
        return 0.0
    given_tokens, gold_tokens = given.split(), gold.split()
    same = sum((Counter(given_tokens) & Counter(gold_tokens)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(given_tokens), same / len(gold_tokens)
    return 2 * precision * recall / (precision + recall)


def cover_exact_match(prediction: str, answers: str | Sequence[str]) -> float:
    """1 if a normalised answer stands in the normalised prediction as whole words, else 0.

    The "accuracy" of Self-RAG (arXiv 2310.11511) and the "EM" of ZeroSearch (arXiv 2505.04588), but on word
    boundaries. Long predictions that list many candidates pass it: a metric, and a poor reward.

    Args:
        prediction: The answer that was given.
        answers: Accepted answers.
    """
    return float(any(_covers(prediction, answer) for answer in as_answers(answers)))


def _covers(prediction: str, answer: str) -> bool:
    gold = normalize_answer(answer)
    return f" {gold} " in f" {normalize_answer(prediction)} " if gold else _equal(prediction, answer)
