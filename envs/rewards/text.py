"""Scores of short answers: normalisation, exact match, F1, cover-EM."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal, get_args

from ...tools.errors import InputError

F1Rules = Literal["hotpotqa", "squad", "squad_v2", "r1_searcher", "deep_researcher"]
CoverRules = Literal["substring", "tokens"]
MatchVariant = Literal["code", "strict"]

_DELETE_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SPACE_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation, " "))
_SPACE_MORE_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation + "‘’´`", " "))
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_SHORT = 200
_CLOSED_ANSWERS = ("yes", "no", "noanswer")
_BOOLEANS = {"True": "yes", "False": "no"}


def as_answers(answers: str | Sequence[str]) -> tuple[str, ...]:
    """Accepted answers as a tuple; a single text is one answer.

    Raises:
        InputError: If there is none.
    """
    golds = (answers,) if isinstance(answers, str) else tuple(answers)
    if not golds:
        raise InputError("a reward needs at least one accepted answer, and there is none")
    return golds


def one_of(kind: str, value: object, literal: object) -> None:
    """Checks that an option has one of the values of its `Literal`.

    Raises:
        InputError: If it has not.
    """
    choices = get_args(literal)
    if value not in choices:
        raise InputError(f"{kind} must be {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}, not {value!r}")


def normalize_answer(text: str) -> str:
    """Lower case, without ASCII punctuation, without articles, with single spaces: in this order.

    Source: the evaluation scripts of SQuAD (Rajpurkar et al., arXiv 1606.05250) and HotpotQA (Yang et al., arXiv
    1809.09600); ReSearch, Search-R1, ReAct and ZeroSearch normalise alike.
    """
    return _remembered(text) if len(text) <= _SHORT else _normalize(text)


def _normalize(text: str) -> str:
    bare = text.lower().translate(_DELETE_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


# The answers of a task are compared with again and again; long texts are not worth the memory.
_remembered = lru_cache(maxsize=8192)(_normalize)


def normalize_spaced(text: str) -> str:
    """R1-Searcher's normalisation: as SQuAD's, but punctuation becomes a space.

    The curly single quotes, the acute and the grave accent are punctuation too, and the exact texts `True` and `False`
    stand for yes and no. Source: RUCAIBox/R1-Searcher, `train/reward_server_qwen_zero.py`.
    """
    spaced = _BOOLEANS.get(text, text).lower().translate(_SPACE_MORE_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", spaced).split())


def _normalize_keeping_articles(text: str) -> str:
    return " ".join(text.lower().translate(_SPACE_PUNCTUATION).split())


def exact_match(prediction: str, answers: str | Sequence[str], *, variant: MatchVariant = "code") -> float:
    """1 if the normalised prediction is one of the normalised answers, else 0.

    Source: SQuAD v1.1 and HotpotQA; the EM of ReSearch, Search-R1 (`qa_em.py`) and ReAct (`wrappers.py`).

    Args:
        prediction: The answer that was given.
        answers: Accepted answers.
        variant: `code` is the official comparison, in which an answer of which normalisation leaves nothing ("A",
            "The The", "?") is matched by every prediction of which nothing is left, the empty one included. `strict`
            compares such an answer with its articles ("(a)" is "A"), one of punctuation alone as it stands, and is the
            same otherwise: scores and rewards of episodes are strict, so that nobody is paid for saying nothing.

    Raises:
        InputError: For an unknown variant or no answers.
    """
    if variant not in ("code", "strict"):  # every step of some environments asks
        one_of("variant", variant, MatchVariant)
    given = normalize_answer(prediction)
    for answer in as_answers(answers):
        gold = normalize_answer(answer)
        if given == gold and (gold or variant == "code" or _same(prediction, answer)):
            return 1.0
    return 0.0


def _same(prediction: str, answer: str) -> bool:
    given, gold = (" ".join(text.lower().translate(_DELETE_PUNCTUATION).split()) for text in (prediction, answer))
    return given == gold if gold else prediction.strip() == answer.strip()


def f1_score(prediction: str, answers: str | Sequence[str], rules: F1Rules = "hotpotqa") -> float:
    """Token overlap of prediction and answer as F1; the highest over the accepted answers.

    Tokens are counted as a multiset, and two texts without a token in common score 0, those of which normalisation
    leaves nothing included.

    Args:
        prediction: The answer that was given.
        answers: Accepted answers.
        rules: What differs between the published scripts.
            `hotpotqa` (HotpotQA, ReSearch, ReAct): where either side is `yes`, `no` or `noanswer` and they differ, the
            score is 0.
            `squad` (SQuAD v1.1, ZeroSearch): no such rule.
            `squad_v2`: answers without content are left out, and where none is left the question is unanswerable and
            the empty answer is right; a side without tokens scores 1 against another such side, else 0.
            `r1_searcher`: as `hotpotqa`, with `normalize_spaced`.
            `deep_researcher`: tokens as a set, punctuation to spaces, articles kept.

    Raises:
        InputError: For unknown rules or no answers.
    """
    if rules not in _F1:
        one_of("rules", rules, F1Rules)
    normalize, closed, as_set = _F1[rules]
    given, golds = normalize(prediction), [normalize(answer) for answer in as_answers(answers)]
    if rules == "squad_v2":
        golds = [gold for gold in golds if gold] or [""]
        if not given:
            return float("" in golds)
    if closed:
        golds = [gold for gold in golds if given == gold or not (given in _CLOSED_ANSWERS or gold in _CLOSED_ANSWERS)]
    return max((_overlap(given.split(), gold.split(), as_set) for gold in golds), default=0.0)


_F1: dict[F1Rules, tuple[Callable[[str], str], bool, bool]] = {
    "hotpotqa": (normalize_answer, True, False),
    "squad": (normalize_answer, False, False),
    "squad_v2": (normalize_answer, False, False),
    "r1_searcher": (normalize_spaced, True, False),
    "deep_researcher": (_normalize_keeping_articles, False, True),
}
"""Of each rules: the normalisation, whether yes and no must match whole, whether tokens are a set."""


def _overlap(given: list[str], gold: list[str], as_set: bool) -> float:
    if as_set:
        given, gold = list(set(given)), list(set(gold))
    if given == gold:
        return float(bool(gold))
    if set(given).isdisjoint(gold):
        return 0.0
    same = sum((Counter(given) & Counter(gold)).values())
    precision, recall = same / len(given), same / len(gold)
    return 2 * precision * recall / (precision + recall)


def cover_exact_match(
    prediction: str,
    answers: str | Sequence[str],
    rules: CoverRules = "substring",
    *,
    variant: MatchVariant = "code",
) -> float:
    """1 if the prediction holds an answer, else 0. Predictions that list many candidates pass: a metric, a poor reward.

    Args:
        prediction: The answer that was given.
        answers: Accepted answers.
        rules: `substring`: the normalised answer is a part of the normalised prediction, of words too ("us" in
            "music"); the "EM" of ZeroSearch (arXiv 2505.04588, `qa_em.py`) and the accuracy of Self-RAG (arXiv
            2310.11511). `tokens`: every token of the answer is a token of the prediction, in any order; the cover-EM
            of R1-Searcher (arXiv 2503.05592), with `normalize_spaced`.
        variant: `code` is the official comparison, in which an answer of which normalisation leaves nothing is held by
            every prediction (`tokens`: by every prediction of which nothing is left). `strict`, which episodes are
            judged by, compares such an answer as `exact_match` does, and is the same otherwise.

    Raises:
        InputError: For unknown rules, an unknown variant or no answers.
    """
    one_of("rules", rules, CoverRules)
    one_of("variant", variant, MatchVariant)
    normalize = normalize_answer if rules == "substring" else normalize_spaced
    given = normalize(prediction)
    tokens = set(given.split())
    for answer in as_answers(answers):
        gold = normalize(answer)
        if gold:
            covers = gold in given if rules == "substring" else tokens.issuperset(gold.split())
        elif variant == "code":
            covers = rules == "substring" or not given
        else:
            covers = _same(prediction, answer)
        if covers:
            return 1.0
    return 0.0
