"""Scores of short answers and of supporting facts, derived by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolgym.envs.rewards import (
    MatchScore,
    answer_score,
    cover_exact_match,
    exact_match,
    f1_score,
    fever_reward,
    joint_score,
    normalize_answer,
    react_reward,
    supporting_facts_score,
)
from toolgym.envs.rewards.text import normalize_spaced
from toolgym.tools.errors import InputError


def test_normalisation_lowers_then_deletes_punctuation_then_articles_then_spaces() -> None:
    assert normalize_answer("The U.S.A.'s  a-bomb, An (test)_x") == "usas abomb testx"
    assert normalize_answer(" A.n apple\tand\nthe pear ") == "apple and pear"
    assert normalize_answer("The") == ""
    assert normalize_answer("Théâtre “x”") == "théâtre “x”"


def test_r1_searcher_turns_punctuation_into_spaces() -> None:
    # "the" and "an" are words of their own here, and go; "s" and "a-bomb" fall apart, and the "a" goes too.
    assert normalize_spaced("The U.S.A.'s  a-bomb, An (test)_x") == "u s s bomb test x"
    assert normalize_spaced("it‘s it’s it´s it`s") == "it s it s it s it s"
    assert normalize_spaced("True") == "yes" and normalize_spaced("False") == "no"
    assert normalize_spaced("true") == "true" and normalize_spaced(" True") == "true"


@pytest.mark.parametrize(
    ("prediction", "answers", "strict", "official"),
    [
        ("The Paris", ["Paris"], 1, 1),
        ("paris!", ["London", "Paris"], 1, 1),
        ("Paris, France", ["Paris"], 0, 0),
        ("", ["Paris"], 0, 0),
        ("Paris", "Paris", 1, 1),
        # Normalisation leaves nothing of these answers. The official code finds them equal to every answer that is
        # left empty as well; the strict variant compares them with their articles, and punctuation as it stands.
        ("", ["A"], 0, 1),
        ("the", ["A"], 0, 1),
        (" a ", ["A"], 1, 1),
        ("(A).", ["A"], 1, 1),  # the letter of a choice
        ("**a**", ["(A)"], 1, 1),
        ("a the", ["The  A"], 0, 1),
        ("?", ["?"], 1, 1),
        ("!", ["?"], 0, 1),
        ("A", ["?"], 0, 1),
        ("", ["?"], 0, 1),
        ("", [""], 1, 1),
        ("x", ["The"], 0, 0),
    ],
)
def test_exact_match(prediction: str, answers: list[str], strict: float, official: float) -> None:
    assert exact_match(prediction, answers) == exact_match(prediction, answers, variant="code") == official
    assert exact_match(prediction, answers, variant="strict") == strict


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
        ("A", "A", 0, 0),  # no token is left to have in common
        ("", "", 0, 0),
        ("noanswer", "there is noanswer", 0, 0.5),
    ],
)
def test_f1(prediction: str, answer: str, hotpotqa: float, squad: float) -> None:
    assert f1_score(prediction, [answer]) == pytest.approx(hotpotqa)
    assert f1_score(prediction, [answer], rules="squad") == pytest.approx(squad)


@pytest.mark.parametrize(
    ("prediction", "answers", "score"),
    [
        ("", [""], 1),  # unanswerable, and said so
        ("", ["A", "the"], 1),  # answers without content are none
        ("the", [""], 1),
        ("x", [""], 0),
        ("", ["x"], 0),
        ("", ["x", "A"], 0),  # "A" is left out, and "x" is there
        ("x y", ["x"], 2 / 3),  # precision 1/2, recall 1
        ("yes it is", ["yes"], 0.5),
    ],
)
def test_f1_of_squad_v2(prediction: str, answers: list[str], score: float) -> None:
    assert f1_score(prediction, answers, "squad_v2") == pytest.approx(score)


@pytest.mark.parametrize(
    ("prediction", "answer", "r1_searcher", "deep_researcher"),
    [
        ("U.S.A", "U S A", 1, 1),  # punctuation to spaces: u, s and (an article in R1-Searcher) a on both sides
        ("a b b c", "b b d", 2 / 3, 0.4),  # multiset b b c / b b d: 2 of 3; sets a b c / b d: 1/3 and 1/2
        ("the cat", "cat", 1, 2 / 3),  # DeepResearcher keeps articles: 1/2 and 1
        ("True", "yes", 1, 0),
        ("yes it is", "yes", 0, 0.5),
        ("under_score", "under", 2 / 3, 2 / 3),
    ],
)
def test_f1_of_search_systems(prediction: str, answer: str, r1_searcher: float, deep_researcher: float) -> None:
    assert f1_score(prediction, answer, "r1_searcher") == pytest.approx(r1_searcher)
    assert f1_score(prediction, answer, "deep_researcher") == pytest.approx(deep_researcher)


def test_the_best_answer_counts() -> None:
    assert f1_score("Alan Turing", ["Bob", "Alan", "Turing Alan"]) == 1
    assert f1_score("yes", ["no", "yes"]) == 1


@pytest.mark.parametrize(
    ("prediction", "answer", "substring", "tokens"),
    [
        ("It is the Paris of today", "Paris", 1, 1),
        ("Turing, Alan", "Alan Turing", 0, 1),  # tokens in any order
        ("Alan M. Turing", "Alan Turing", 0, 1),  # and apart
        ("music", "us", 1, 0),  # a part of a word is a substring and no token
        ("Paris", "Paris, France", 0, 0),
        ("it's", "it s", 0, 1),
        ("yes", "True", 0, 1),
    ],
)
def test_cover_exact_match(prediction: str, answer: str, substring: float, tokens: float) -> None:
    assert cover_exact_match(prediction, [answer]) == substring
    assert cover_exact_match(prediction, [answer], "tokens") == tokens


def test_answers_without_content_are_covered_by_everything_in_the_official_code() -> None:
    assert cover_exact_match("x", "The") == 1
    assert cover_exact_match("x", "The", "tokens") == 0
    assert cover_exact_match("a", "The", "tokens") == 1
    for rules in ("substring", "tokens"):
        assert cover_exact_match("x", "The", rules, variant="strict") == 0
        assert cover_exact_match("a", "The", rules, variant="strict") == 0
        assert cover_exact_match(" the ", "The", rules, variant="strict") == 1


def test_react_and_fever() -> None:
    assert react_reward("The Paris", ["Paris"]) == 1 and react_reward("Rome", ["Paris"]) == 0
    assert react_reward(None, ["Paris"]) == react_reward("", ["Paris"]) == 0
    assert react_reward("", "The") == 1 and react_reward(None, "The") == 0
    assert fever_reward("not enough info.", "NOT ENOUGH INFO") == 1
    assert fever_reward("NOT ENOUGH INFORMATION", "NOT ENOUGH INFO") == 0
    assert fever_reward(None, "SUPPORTS") == 0


A, B, C = ("T", 0), ("T", 1), ("U", 0)


@pytest.mark.parametrize(
    ("prediction", "gold", "score"),
    [
        ([A, B], [B, A], (1, 1, 1, 1)),
        ([A, A, C], [A, B], (0, 0.5, 0.5, 0.5)),  # a set: A and C, of which A is right
        ([A], [A, B, C], (0, 0.5, 1, 1 / 3)),
        ([], [A], (0, 0, 0, 0)),
        ([A], [], (0, 0, 0, 0)),
        ([], [], (1, 0, 0, 0)),  # nothing missing and nothing wrong, but no fact to have found
    ],
)
def test_supporting_facts(prediction: list[tuple[str, int]], gold: list[tuple[str, int]], score: tuple[float]) -> None:
    assert supporting_facts_score(prediction, gold) == pytest.approx(score)
    as_in_json = [[title, position] for title, position in prediction]
    assert supporting_facts_score(as_in_json, gold) == pytest.approx(score)


def test_joint_score() -> None:
    # precision 2/3 and recall 1 of the answer; 1/2 and 1 of the facts: 1/3 and 1, F1 2/3 / (4/3).
    answer = answer_score("mathematician Alan Turing", "Alan Turing")
    assert answer == pytest.approx((0, 0.8, 2 / 3, 1))
    joint = joint_score(answer, supporting_facts_score([A, B], [A]))
    assert joint == pytest.approx((0, 0.5, 1 / 3, 1))
    assert joint_score(answer_score("yes", "yes"), MatchScore(1, 1, 1, 1)) == (1, 1, 1, 1)
    assert joint_score(answer_score("no", "yes"), MatchScore(1, 1, 1, 1)) == (0, 0, 0, 0)
    assert answer_score("", "The") == (1, 0, 0, 0)  # as the official script has it


def test_no_answers_and_unknown_rules_are_errors() -> None:
    for score in (exact_match, f1_score, cover_exact_match):
        with pytest.raises(InputError, match="at least one accepted answer"):
            score("x", [])
    with pytest.raises(InputError, match=r"rules must be 'hotpotqa', .* or 'deep_researcher', not 'bleu'"):
        f1_score("x", ["y"], rules="bleu")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="rules must be 'substring' or 'tokens'"):
        cover_exact_match("x", ["y"], "words")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="variant must be 'code' or 'strict'"):
        exact_match("x", ["y"], variant="loose")  # type: ignore[arg-type]


WORDS = st.lists(st.sampled_from(["a", "the", "yes", "no", "x", "y", "z", "?", "X."]), max_size=5).map(" ".join)
TEXTS = WORDS | st.text(max_size=20)


@given(prediction=TEXTS, answers=st.lists(TEXTS, min_size=1, max_size=4))
def test_scores_are_ordered_and_more_answers_never_hurt(prediction: str, answers: list[str]) -> None:
    em, f1 = exact_match(prediction, answers), f1_score(prediction, answers)
    squad, cover = f1_score(prediction, answers, "squad"), cover_exact_match(prediction, answers)
    assert 0 <= f1 <= squad <= 1 and em <= cover <= 1
    assert exact_match(prediction, answers, variant="strict") <= em
    if normalize_answer(prediction):
        assert em <= f1
    for score in (exact_match, f1_score, cover_exact_match):
        assert score(prediction, answers) == max(score(prediction, [answer]) for answer in answers)


@given(answer=TEXTS)
def test_an_answer_matches_itself(answer: str) -> None:
    assert exact_match(answer, answer) == cover_exact_match(answer, answer) == 1
    assert cover_exact_match(answer, answer, "tokens") == f1_score(answer, answer, "squad_v2") == 1
    assert f1_score(answer, answer) == float(bool(normalize_answer(answer)))
