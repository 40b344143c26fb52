"""Scores of short answers, derived by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolgym.envs.rewards import cover_exact_match, exact_match, f1_score, normalize_answer
from toolgym.tools.errors import InputError


def test_normalisation_lowers_then_deletes_punctuation_then_articles_then_spaces() -> None:
    assert normalize_answer("The U.S.A.'s  a-bomb, An (test)_x") == "usas abomb testx"
    assert normalize_answer(" A.n apple\tand\nthe pear ") == "apple and pear"
    assert normalize_answer("The") == ""
    assert normalize_answer("Théâtre “x”") == "théâtre “x”"


@pytest.mark.parametrize(
    ("prediction", "answers", "score"),
    [
        ("The Paris", ["Paris"], 1),
        ("paris!", ["London", "Paris"], 1),
        ("Paris, France", ["Paris"], 0),
        ("", ["Paris"], 0),
        ("Paris", "Paris", 1),
        # Normalisation leaves nothing of these answers: they are compared as they stand.
        ("", ["A"], 0),
        ("the", ["A"], 0),
        (" a ", ["A"], 1),
        ("", ["?"], 0),
        ("", [""], 1),
    ],
)
def test_exact_match(prediction: str, answers: list[str], score: float) -> None:
    assert exact_match(prediction, answers) == score


@pytest.mark.parametrize(
    ("prediction", "answer", "hotpotqa", "squad"),
    [
        ("yes", "no", 0, 0),
        ("Yes.", "yes", 1, 1),
        ("yes it is", "yes", 0, 0.5),  # precision 1/3, recall 1
        ("yes", "yes it is", 0, 0.5),
        ("mathematician Alan Turing", "Alan Turing", 0.8, 0.8),  # precision 2/3, recall 1
        ("a b b c", "b b d", 2 * (2 / 3) * (2 / 3) / (4 / 3), 2 * (2 / 3) * (2 / 3) / (4 / 3)),  # b twice; no article
        ("Bob", "Alan", 0, 0),
        ("", "Alan", 0, 0),
        ("", "A", 0, 0),
        ("A", "A", 1, 1),
        ("", "", 1, 1),
        ("noanswer", "there is noanswer", 0, 0.5),
    ],
)
def test_f1(prediction: str, answer: str, hotpotqa: float, squad: float) -> None:
    assert f1_score(prediction, [answer]) == pytest.approx(hotpotqa)
    assert f1_score(prediction, [answer], rules="squad") == pytest.approx(squad)


def test_the_best_answer_counts() -> None:
    assert f1_score("Alan Turing", ["Bob", "Alan", "Turing Alan"]) == 1
    assert f1_score("yes", ["no", "yes"]) == 1


@pytest.mark.parametrize(
    ("prediction", "answer", "score"),
    [
        ("It is the Paris of today", "Paris", 1),
        ("Turing Alan", "Alan Turing", 0),
        ("music", "us", 0),
        ("a thing", "A", 0),
        ("Paris", "Paris, France", 0),
    ],
)
def test_cover_exact_match(prediction: str, answer: str, score: float) -> None:
    assert cover_exact_match(prediction, [answer]) == score


def test_no_answers_is_an_error() -> None:
    for score in (exact_match, f1_score, cover_exact_match):
        with pytest.raises(InputError, match="at least one accepted answer"):
            score("x", [])
    with pytest.raises(InputError, match="rules must be"):
        f1_score("x", ["y"], rules="bleu")  # type: ignore[arg-type]


WORDS = st.lists(st.sampled_from(["a", "the", "yes", "no", "x", "y", "z", "?", "X."]), max_size=5).map(" ".join)


@given(prediction=WORDS | st.text(max_size=20), answers=st.lists(WORDS | st.text(max_size=20), min_size=1, max_size=4))
def test_scores_are_ordered_and_more_answers_never_hurt(prediction: str, answers: list[str]) -> None:
    em, f1 = exact_match(prediction, answers), f1_score(prediction, answers)
    squad, cover = f1_score(prediction, answers, "squad"), cover_exact_match(prediction, answers)
    assert 0 <= em <= f1 <= squad <= 1 and em <= cover <= 1
    for score in (exact_match, f1_score, cover_exact_match):
        assert score(prediction, answers) == max(score(prediction, [answer]) for answer in answers)


@given(answer=WORDS | st.text(max_size=20))
def test_an_answer_matches_itself(answer: str) -> None:
    assert exact_match(answer, answer) == f1_score(answer, answer) == cover_exact_match(answer, answer) == 1
