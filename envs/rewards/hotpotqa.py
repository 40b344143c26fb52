"""HotpotQA's scores of supporting facts, and the joint scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .text import exact_match, f1_score, normalize_answer

Fact = Sequence[str | int]
"""Title of a paragraph and position of a sentence in it: a tuple, or a list as in the official files."""


class MatchScore(NamedTuple):
    """Exact match, F1, precision and recall, each in [0, 1]."""

    em: float
    f1: float
    precision: float
    recall: float


def supporting_facts_score(prediction: Iterable[Fact], gold: Iterable[Fact]) -> MatchScore:
    """How well the facts that were named are those that the question rests on; both are read as sets.

    Source: HotpotQA, arXiv 1809.09600; hotpotqa/hotpot, `hotpot_evaluate_v1.py` (`update_sp`).

    Args:
        prediction: The facts that were named.
        gold: The supporting facts.
    """
    given, wanted = set(map(tuple, prediction)), set(map(tuple, gold))
    same = len(given & wanted)
    precision = same / len(given) if given else 0.0
    recall = same / len(wanted) if wanted else 0.0
    return MatchScore(float(given == wanted), _f1(precision, recall), precision, recall)


def joint_score(answer: MatchScore, facts: MatchScore) -> MatchScore:
    """The joint score: products of EM, of precisions and of recalls, and the F1 of the latter two.

    Source: HotpotQA, arXiv 1809.09600, section 5.1; `hotpot_evaluate_v1.py`.

    Args:
        answer: Score of the answer (`answer_score`).
        facts: Score of the facts (`supporting_facts_score`).
    """
    precision, recall = answer.precision * facts.precision, answer.recall * facts.recall
    return MatchScore(answer.em * facts.em, _f1(precision, recall), precision, recall)


def answer_score(prediction: str, answer: str) -> MatchScore:
    """The score of an answer by HotpotQA's rules, with the precision and recall that the joint score needs.

    Source: `hotpot_evaluate_v1.py` (`update_answer`).

    Args:
        prediction: The answer that was given.
        answer: The accepted answer.
    """
    f1 = f1_score(prediction, answer, "hotpotqa")
    em = exact_match(prediction, answer)
    if f1 == 0.0:
        return MatchScore(em, 0.0, 0.0, 0.0)
    given, gold = normalize_answer(prediction).split(), normalize_answer(answer).split()
    # 2 same / (given + gold) = f1
    same = round(f1 * (len(given) + len(gold)) / 2)
    return MatchScore(em, f1, same / len(given), same / len(gold))


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
