from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolgym.envs import KnightsAndKnavesEnv
from toolgym.envs.knights_and_knaves import generated_puzzles
from toolgym.envs.knights_and_knaves_generator import (
    FRAMES,
    NAMES,
    Puzzle,
    Sampler,
    holds,
    render_claim,
    render_puzzle,
    solution_text,
    solve,
)
from toolgym.tools import InputError

T, L = "telling-truth", "lying"
GOLDEN = {
    3: [
        ((("<=>", (T, 1), (L, 1)), ("<=>", (L, 2), (T, 2)), ("->", (L, 0), (L, 1))), (False, False, True)),
        (((T, 2), (L, 0), ("or", (T, 0), (T, 1))), (True, False, True)),
        ((("and", (T, 2), (T, 0)), ("and", (L, 0), (L, 2)), ("<=>", (T, 1), (L, 1))), (False, True, False)),
    ],
    2: [
        ((("not", (T, 1)), ("<=>", (T, 1), (L, 0))), (False, True)),
        ((("->", (T, 1), (L, 1)), ("and", (T, 0), (T, 1))), (True, False)),
    ],
}
ROW = {
    "quiz": "Two people. A says that B is a knave. B says nothing of use.",
    "names": ["Ann", "Bob"],
    "solution": [True, False],
    "statements": "(('lying', 1), ('and', ('telling-truth', 0), ('lying', 0)))",
}


@pytest.mark.parametrize("n_people", GOLDEN)
def test_the_published_puzzles(n_people: int) -> None:
    puzzles = Sampler(n_people).draw(len(GOLDEN[n_people]))
    assert [(puzzle.statements, puzzle.solution) for puzzle in puzzles] == GOLDEN[n_people]
    assert [puzzle.index for puzzle in puzzles] == list(range(len(puzzles)))


@given(n_people=st.integers(2, 6), seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_puzzles_are_distinct_with_one_solution(n_people: int, seed: int) -> None:
    puzzles = Sampler(n_people, seed).draw(10)
    assert len({puzzle.statements for puzzle in puzzles}) == 10
    for puzzle in puzzles:
        assert solve(puzzle.statements) == [puzzle.solution]
        text, names = render_puzzle(puzzle, seed)
        assert len(set(names)) == n_people
        assert text.count("knight") + text.count("knave") > 4
        for name, statement in zip(names, puzzle.statements, strict=True):
            claim = render_claim(statement, names)
            assert claim in text or claim[0].upper() + claim[1:] in text
            assert name in text


def test_truth_of_statements() -> None:
    roles = (True, False)
    for statement, expected in [
        ((T, 0), True),
        ((L, 0), False),
        ((T, 1), False),
        (("not", (T, 1)), True),
        (("and", (T, 0), (L, 1)), True),
        (("or", (T, 1), (L, 0)), False),
        (("->", (T, 1), (L, 0)), True),
        (("->", (T, 0), (T, 1)), False),
        (("<=>", (T, 1), (L, 0)), True),
        (("<=>", (T, 0), (T, 1)), False),
    ]:
        assert holds(statement, roles) is expected
    for wrong in ((T, 2), ("xor", (T, 0)), (), ("not",)):
        with pytest.raises(InputError, match="no statement"):
            holds(wrong, roles)


def test_names_and_frames() -> None:
    assert len(set(NAMES)) == 51 and len(set(FRAMES)) == 18
    assert not any("knight" in name.lower() or "knave" in name.lower() for name in NAMES)
    assert all("{name}" in frame and "{claim}" in frame for frame in FRAMES)
    text, names = render_puzzle(Puzzle(0, ((T, 1), (L, 0)), (True, True)))
    assert f"You meet 2 people there: {names[0]} and {names[1]}." in text
    assert solution_text(names, (True, False)) == f"(1) {names[0]} is a knight\n(2) {names[1]} is a knave"


def test_splits() -> None:
    test, train = generated_puzzles(3, "test", 100), generated_puzzles(3, "train", 50)
    assert not {task.question for task in test} & {task.question for task in train}
    assert list(generated_puzzles(3, "test", 10)) == list(test)[:10]
    assert train[0].id == "knights-3-1234-100"
    for options, message in (
        ({"split": "dev"}, "'train' and 'test'"),
        ({"split": "test", "size": 101}, "at most 100"),
        ({"size": 0}, "at least 1"),
        ({"n_people": 1}, "from 2 to 12"),
        ({"n_people": 2, "size": 100_000}, "no further puzzle"),
    ):
        with pytest.raises(InputError, match=message):
            generated_puzzles(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("n_people", [2, 3, 8])
def test_the_oracle_earns_three(n_people: int, evaluate: Callable[..., Any]) -> None:
    env = KnightsAndKnavesEnv(n_people=n_people, size=10, split="test")
    assert evaluate(env, env.oracle()) == {"scores": [1.0] * 10, "rewards": [3.0] * 10}
    assert env.guess_rate == 0.5**n_people


@pytest.mark.parametrize(
    "answer, score, reward",
    [
        ("(1) Ann is a knight\n(2) Bob is a knave", 1.0, 3.0),
        ("bob is a KNAVE, ann is a knight", 1.0, 3.0),
        ("(1) Ann is a knave\n(2) Bob is a knave", 0.0, -0.5),
        ("(1) Ann is a knight", 0.0, -1.0),
        ("Ann is a knight and a knave, Bob is a knight and a knave", 0.0, -1.0),
        ("nothing", 0.0, -1.0),
    ],
)
def test_scores_of_rows(answer: str, score: float, reward: float, play: Callable[..., Any]) -> None:
    env = KnightsAndKnavesEnv([ROW])
    got, info = play(env, lambda episode: f"thoughts </think> <answer>{answer}</answer>", seed=0)
    assert (info["score"], got) == (score, reward)


def test_rows_are_checked() -> None:
    assert KnightsAndKnavesEnv([{**ROW, "statements": None}]).tasks[0].answers[0].startswith("(1) Ann is a knight")
    for change, message in (
        ({"solution": [False, False]}, "'rows-0': its statements are solved by"),
        ({"solution": [True]}, "2 names and 1 roles"),
        ({"statements": "(('lying', 1),)"}, r"solved by \[\]"),
        ({"statements": "(('lying', 1"}, "no tuple of statements"),
        ({"statements": [["lying", 1], ["telling-truth", 5]]}, "no statement about 2 people"),
    ):
        with pytest.raises(InputError, match=message):
            KnightsAndKnavesEnv([{**ROW, **change}])
    with pytest.raises(InputError, match="no field 'quiz'"):
        KnightsAndKnavesEnv([{"names": ["A"], "solution": [True]}])
