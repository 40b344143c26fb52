from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolgym.envs import KnightsAndKnavesEnv, Task, read_rows
from toolgym.envs.formats import action_format
from toolgym.envs.puzzles.knights_and_knaves import published_puzzles
from toolgym.envs.puzzles.knights_grammar import (
    Puzzle,
    Sampler,
    knight_tables,
    only_solution,
    solve,
    truth_table,
)
from toolgym.envs.puzzles.knights_reasoning import Step, reason, tell
from toolgym.envs.puzzles.knights_wording import (
    FRAMES,
    KNIGHT_AND_KNAVE,
    NAMES,
    UNCOMMON_NAMES,
    claim,
    role_words,
    solution_texts,
    word_puzzle,
)
from toolgym.tools import InputError

T, L = "telling-truth", "lying"
WORDS = role_words(*KNIGHT_AND_KNAVE)

# What the published code (AlphaPav/mem-kk-logic) draws from seed 1234: puzzles, then of the three puzzles of three
# people the changes by `statement`, then those by `leaf`.
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
CHANGED = {
    "statement": [
        ((("<=>", (T, 1), (L, 1)), ("or", (L, 0), (T, 1)), ("->", (L, 0), (L, 1))), (False, True, False)),
        (((T, 2), (L, 0), ("and", (T, 2), (T, 1))), (False, True, False)),
        ((("and", (T, 2), (T, 0)), ("and", (L, 0), (L, 2)), ("or", (L, 0), (T, 1))), (False, False, True)),
    ],
    "leaf": [
        ((("<=>", (T, 1), (L, 1)), ("<=>", (L, 2), (L, 2)), ("->", (L, 0), (L, 1))), (False, True, False)),
        (((L, 2), (L, 0), ("or", (T, 0), (T, 1))), (False, True, True)),
        ((("and", (T, 2), (T, 0)), ("and", (L, 0), (L, 2)), ("<=>", (T, 1), (L, 0))), (True, False, True)),
    ],
}
QUIZ = (
    "A very special island is inhabited only by knights and knaves. Knights always tell the truth, and knaves always "
    'lie. You meet 3 inhabitants: Penelope, David, and Zoey. Penelope noted, "David is a knight if and only if David '
    'is a knave". David told you that Zoey is a knave if and only if Zoey is a knight. According to Zoey, "If Penelope '
    'is a knave then David is a knave". So who is a knight and who is a knave?'
)
ROW = {
    "quiz": "Two people. A says that B is a knave. B says nothing of use.",
    "names": ["Ann", "Bob"],
    "solution": [True, False],
    "statements": "(('lying', 1), ('and', ('telling-truth', 0), ('lying', 0)))",
}


def pairs(puzzles: list[Puzzle]) -> list[Any]:
    return [(puzzle.statements, puzzle.solution) for puzzle in puzzles]


@pytest.mark.parametrize("n_people", GOLDEN)
def test_the_published_puzzles(n_people: int) -> None:
    assert pairs(Sampler(n_people).draw(len(GOLDEN[n_people]))) == GOLDEN[n_people]


def test_the_published_changes() -> None:
    sampler = Sampler(3)
    puzzles = sampler.draw(3)
    assert pairs([sampler.perturb(puzzle, "statement")[0] for puzzle in puzzles]) == CHANGED["statement"]
    assert pairs([sampler.perturb(puzzle, "leaf")[0] for puzzle in puzzles]) == CHANGED["leaf"]
    # Four puzzles of two people from seed 7, then two changes by leaf of each; these are those of the last puzzle.
    sampler = Sampler(2, 7)
    changes = [sampler.perturb(puzzle, "leaf", 2) for puzzle in sampler.draw(4)]
    assert pairs(changes[3]) == [
        ((("<=>", (T, 1), (T, 0)), ("<=>", (T, 1), (T, 0))), (True, True)),
        ((("<=>", (L, 1), (T, 0)), ("<=>", (T, 1), (L, 0))), (False, False)),
    ]


def test_the_published_wording_and_its_changes() -> None:
    statements, solution = GOLDEN[3][0]
    told = word_puzzle(statements, solution)
    assert told.quiz == QUIZ
    assert told.solution_text == "Penelope is a knave, David is a knave, and Zoey is a knight."
    assert told.solution_text_format == "(1) Penelope is a knave\n(2) David is a knave\n(3) Zoey is a knight"
    pair = word_puzzle(statements, solution, random_pair=True)
    # The draw of the pair comes before those of the frames, so the frames are others.
    assert pair.quiz.startswith("A very special island is inhabited only by sages and fools. Sages always tell")
    assert 'Zoey said, "If Penelope is a fool then David is a fool." So who is a sage and who is a fool?' in pair.quiz
    flip = word_puzzle(statements, solution, flip_role=True)
    assert flip.quiz.startswith("A very special island is inhabited only by knaves and knights. Knaves always tell")
    assert flip.solution_text == "Penelope is a knight, David is a knight, and Zoey is a knave."
    assert word_puzzle(statements, solution, uncommon_name=True).names == ("Ysolde", "Xiomara", "Zephyrus")
    other = word_puzzle(statements, solution, reorder_statement=True)
    assert other.names == told.names
    assert [other.quiz.index(f"{name} ") for name in ("David told", "to Zoey,", "Penelope noted,")] == sorted(
        other.quiz.index(f"{name} ") for name in ("David told", "to Zoey,", "Penelope noted,")
    )


@given(n_people=st.integers(2, 6), seed=st.integers(0, 10_000), depth=st.integers(2, 3))
@settings(max_examples=25, deadline=None)
def test_puzzles_are_distinct_with_one_solution(n_people: int, seed: int, depth: int) -> None:
    puzzles = Sampler(n_people, seed, depth=depth).draw(5)
    assert len({puzzle.statements for puzzle in puzzles}) == 5
    for puzzle in puzzles:
        fitting = [
            roles
            for roles in product((True, False), repeat=n_people)
            if all(holds(said, roles) == role for said, role in zip(puzzle.statements, roles, strict=True))
        ]
        assert fitting == [puzzle.solution] == solve(puzzle.statements)
        told = word_puzzle(puzzle.statements, puzzle.solution, seed)
        assert len(set(told.names)) == n_people
        for statement in puzzle.statements:
            assert claim(statement, told.names, WORDS) in told.quiz


def holds(statement: Any, roles: tuple[bool, ...]) -> bool:
    """Truth by the book, for one choice of roles."""
    match statement:
        case (kind, int(person)):
            return roles[person] == (kind == T)
        case ("not", part):
            return not holds(part, roles)
        case ("and" | "or" as kind, *parts):
            return (all if kind == "and" else any)(holds(part, roles) for part in parts)
        case ("->", left, right):
            return not holds(left, roles) or holds(right, roles)
    return holds(statement[1], roles) == holds(statement[2], roles)


def test_truth_of_statements() -> None:
    knights, full = knight_tables(2)
    # Choices in the order of product((True, False), repeat=2), choice 0 the lowest bit: TT, TF, FT, FF.
    assert knights == (0b0011, 0b0101) and full == 0b1111
    for statement, table in [
        ((T, 0), 0b0011),
        ((L, 1), 0b1010),
        (("not", (T, 1)), 0b1010),
        (("and", (T, 0), (L, 1)), 0b0010),
        (("or", (T, 1), (L, 0)), 0b1101),
        (("->", (T, 0), (T, 1)), 0b1101),
        (("<=>", (T, 0), (T, 1)), 0b1001),
        (("and", (T, 0), (T, 1), (L, 0)), 0b0000),
        (("not", ("or", (T, 0), (T, 1))), 0b1000),
    ]:
        assert truth_table(statement, knights, full) == table
    assert only_solution(((T, 0), (T, 1))) is None  # everything fits
    assert only_solution(((L, 0), (T, 1))) is None  # nothing fits
    assert solve(((T, 1), (T, 0))) == [(True, True), (False, False)]
    for wrong in ((T, 2), ("xor", (T, 0)), (), ("not",), ("->", (T, 0)), ("and", (T, 0)), (T, "0")):
        with pytest.raises(InputError, match="no statement"):
            solve((wrong, (T, 0)))
    with pytest.raises(InputError, match="at most 16"):
        solve(((T, 0),) * 17)


def test_limits_of_the_sampler() -> None:
    for options, message in (
        ({"n_people": 1}, "from 2 to 16"),
        ({"n_people": 17}, "from 2 to 16"),
        ({"n_people": 2, "depth": 1}, "depth must be"),
        ({"n_people": 2, "width": 4}, "width"),
    ):
        with pytest.raises(InputError, match=message):
            Sampler(**options)
    with pytest.raises(InputError, match="'statement' or a 'leaf'"):
        Sampler(3).perturb(Puzzle(*GOLDEN[3][0]), "word")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="of one of 2"):
        Sampler(3).perturb(Puzzle(*GOLDEN[2][0]), "leaf")


def test_puzzles_of_two_people_run_out() -> None:
    # Each says one of 30 things (3 leaves, 3 negations, 6 ordered pairs for each of 4 operators): at most 900 puzzles.
    sampler, drawn = Sampler(2, 0), 0
    while sampler.next() is not None:
        drawn += 1
    assert 300 < drawn < 900


def test_deeper_statements_stand_in_parentheses() -> None:
    deep = ("->", ("not", ("and", (T, 0), (L, 1))), ("<=>", (T, 0), ("->", (T, 1), ("not", (L, 0)))))
    assert claim(deep, ("Ann", "Bob"), WORDS) == (
        "If (it is not true that (Ann is a knight and Bob is a knave)) then "
        "(Ann is a knight if and only if (if Bob is a knight then (Ann is not a knave)))"
    )


def test_names_and_frames() -> None:
    assert len(set(NAMES)) == 51 and len(set(UNCOMMON_NAMES)) == 50 and len(set(FRAMES)) == 18
    assert solution_texts(("Ann", "Bob"), (True, False), KNIGHT_AND_KNAVE) == (
        "Ann is a knight, and Bob is a knave.",
        "(1) Ann is a knight\n(2) Bob is a knave",
    )


def test_reasoning_is_the_published_search() -> None:
    # The regression case of the published code (`test_chain_of_thoughts_regression`), its tape step by step.
    statements = (
        ("and", (T, 2), (L, 3)),
        (T, 2),
        ("<=>", (L, 4), (T, 4)),
        ("and", (L, 2), (L, 4)),
        (L, 2),
    )
    assert reason(statements) == (
        (
            Step("suppose", 0, True),
            Step("reject", 2, True, 2, True),  # what 2 says of 4 is never true
            Step("reject", 2, False, 0, True),  # 0 said that 2 is a knight
            Step("reconsider", 0, exhausted=(2,)),
            Step("suppose", 0, False),
            Step("reject", 2, True, 2, True),
            Step("suppose", 2, False),
            Step("suppose", 4, True),  # mentioned by 2, so before 1 and 3
            Step("reject", 3, True, 3, True),
            Step("suppose", 3, False),
            Step("reject", 1, True, 1, True),
            Step("suppose", 1, False),
        ),
        (False, False, False, False, True),
    )
    hopeless = reason(((L, 0), (T, 1)))
    assert hopeless.solution is None and hopeless.steps == (
        Step("reject", 0, True, 0, True),
        Step("reject", 0, False, 0),
    )
    text = tell(hopeless, ((L, 0), (T, 1)), ("Ann", "Bob"), WORDS)
    assert text.startswith("Ann is not a knight: their own claim that Ann is a knave could not be true.")


@given(n_people=st.integers(2, 7), seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_reasoning_finds_the_solution(n_people: int, seed: int) -> None:
    puzzle = Sampler(n_people, seed).draw(1)[0]
    assert reason(puzzle.statements).solution == puzzle.solution


def test_splits_and_ids() -> None:
    test, train = published_puzzles(3, "test"), published_puzzles(3, "train", 50)
    assert (len(test), len(train), len(published_puzzles(2)), len(published_puzzles(5))) == (100, 50, 200, 1000)
    assert not {task.question for task in test} & {task.question for task in train}
    assert list(published_puzzles(3, "test", 10)) == list(test)[:10]
    assert test[0].question == QUIZ and test[0].metadata["index"] == 0
    assert train[0].id == "knights-3-train-1234-0" and train[0].metadata["index"] == 100
    assert train.by_id("knights-3-train-1234-49") == train[49]
    for options, message in (
        ({"split": "dev"}, "'train' and 'test'"),
        ({"perturbation": "typo"}, "random_pair"),
        ({"split": "test", "size": 101}, "from 1 to 100"),
        ({"size": 0}, "from 1 to 20000"),
        ({"n_people": 1}, "from 2 to 16"),
        ({"n_people": 2, "size": 201}, "from 1 to 200"),
    ):
        with pytest.raises(InputError, match=message):
            published_puzzles(**options)  # type: ignore[arg-type]


def test_changed_puzzles_keep_the_number_of_theirs() -> None:
    leaf = published_puzzles(2, "test", perturbation="leaf")
    # Of 100 puzzles of two people, 76 have a leaf whose change gives one other solution (published code, seed 1234).
    assert len(leaf) == 76 and leaf[0].metadata["index"] == 0
    assert [task.metadata["index"] for task in leaf] == sorted({task.metadata["index"] for task in leaf})


@pytest.mark.parametrize("n_people", [2, 3, 8])
def test_the_oracle_earns_three(n_people: int, evaluate: Callable[..., Any]) -> None:
    env = KnightsAndKnavesEnv(n_people=n_people, size=10, split="test")
    assert evaluate(env, env.oracle()) == {"scores": [1.0] * 10, "rewards": [3.0] * 10}
    assert evaluate(env, env.demonstrator()) == {"scores": [1.0] * 10, "rewards": [3.0] * 10}
    assert "Suppose" in env.episode.response
    assert env.guess_rate == max(0.5**n_people, 1 / 10)


@pytest.mark.parametrize("perturbation", ["random_pair", "flip_role", "uncommon_name", "reorder_statement", "leaf"])
def test_the_oracle_solves_changed_puzzles(perturbation: Any, evaluate: Callable[..., Any]) -> None:
    env = KnightsAndKnavesEnv(n_people=2, perturbation=perturbation, size=10)
    top = 1.0 if perturbation == "random_pair" else 3.0
    assert evaluate(env, env.demonstrator()) == {"scores": [1.0] * 10, "rewards": [top] * 10}


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


@pytest.mark.parametrize(
    "answer, solved, credit",
    [
        ("(1) Ann is a knight\n(2) Bob is a knave", True, 1.0),
        ("(1) Ann is a knight\n(2) Bob is a knight", False, 0.5),
        ("Ann is a knight", False, 0.5),
        ("(1) Ann is a knight, (2) Bob is a knave, and Ann is a knight", False, 0.95),  # three roles for two people
        ("Ann is a knight (not a knave)", False, 0.0),  # names two roles
        ("Ann is a saint, Bob is a sinner", False, 0.0),
        ("", False, 0.0),
    ],
)
def test_partial_credit(answer: str, solved: bool, credit: float) -> None:
    task = KnightsAndKnavesEnv([ROW]).tasks[0]
    assert KnightsAndKnavesEnv.verify(answer, task) is solved
    assert KnightsAndKnavesEnv.partial_credit(answer, task) == credit


def test_other_words_for_the_roles() -> None:
    renamed = KnightsAndKnavesEnv(
        [{**ROW, "knight_knave": {"a_knight": "an angel", "a_knave": "a devil"}}], reward="puzzle"
    )
    task = renamed.tasks[0]
    assert task.answers[0] == "(1) Ann is an angel\n(2) Bob is a devil"
    for answer, solved in (
        ("Ann is an angel, Bob is a devil", True),
        ("Ann is an Angel and Bob is a DEVIL.", True),
        ("Ann is a knight, Bob is a knave", False),
        ("Ann is an angel, Bob is a knave", False),
        ("Ann is a devil, Bob is an angel", False),
        ("Ann is an angel, Bob is a devil, or Ann is a sage", False),
    ):
        assert renamed.verify(answer, task) is solved
    flipped = KnightsAndKnavesEnv([{**ROW, "knight_knave": {"a_knight": "a knave", "a_knave": "a knight"}}])
    assert flipped.verify("Ann is a knave, Bob is a knight", flipped.tasks[0])


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


def test_options_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="give no n_people"):
        KnightsAndKnavesEnv(difficulty=0.5, n_people=3)
    with pytest.raises(InputError, match="use 'puzzle'"):
        KnightsAndKnavesEnv(perturbation="random_pair", reward="logic_rl")
    with pytest.raises(InputError, match="use 'puzzle'"):
        KnightsAndKnavesEnv([{**ROW, "knight_knave": {"a_knight": "a sage", "a_knave": "a fool"}}])
    for options in ({"n_people": 3}, {"difficulty": 0.5}, {"perturbation": "leaf"}):
        with pytest.raises(InputError, match="for generated puzzles"):
            KnightsAndKnavesEnv([ROW], **options)  # type: ignore[arg-type]


def test_difficulty_is_people_then_depth_and_asks_for_more_steps() -> None:
    def steps(difficulty: float) -> float:
        tasks: list[Task] = list(KnightsAndKnavesEnv.generate(difficulty, 40))
        assert {len(task.metadata["names"]) for task in tasks} == {2 + min(6, int(difficulty * 7))}
        return sum(len(reason(eval(task.metadata["statements"])).steps) for task in tasks) / 40

    efforts = [steps(difficulty) for difficulty in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert efforts == sorted(efforts) and efforts[-1] > 3 * efforts[0]


def test_one_line_formats_get_one_line(evaluate: Callable[..., Any]) -> None:
    env = KnightsAndKnavesEnv(difficulty=0.3, size=5, action_format="react", reward="puzzle")
    assert evaluate(env, env.oracle())["scores"] == [1.0] * 5


def test_the_published_reward_is_the_default_where_its_text_is_written() -> None:
    assert KnightsAndKnavesEnv().reward_function.name == "logic_rl"
    assert KnightsAndKnavesEnv(action_format=action_format("think_answer")).reward_function.name == "logic_rl"
    env = KnightsAndKnavesEnv(action_format="hermes")
    assert env.reward_function.name == "puzzle"
    env.reset(seed=0)
    assert env.step(env.oracle()(env.episode))[1] == 1
    assert KnightsAndKnavesEnv(action_format="hermes", reward="logic_rl").reward_function.name == "logic_rl"


@pytest.mark.real_data
def test_every_row_of_the_published_data_is_drawn_again(data: Path) -> None:
    rows = [row for split in ("test", "train") for row in read_rows(data / "logic_kk", split)]
    drawn = {n_people: Sampler(n_people).draw(1100) for n_people in {row["n_people"] for row in rows}}
    for row in rows:
        index = int(row["id"].rsplit("-", 1)[1])
        puzzle = drawn[row["n_people"]][index]
        told = word_puzzle(puzzle.statements, puzzle.solution, 1234 + index)
        again = {
            "id": row["id"],
            "n_people": len(told.names),
            "quiz": told.quiz,
            "names": list(told.names),
            "solution": list(puzzle.solution),
            "solution_text": told.solution_text,
            "solution_text_format": told.solution_text_format,
            "statements": str(puzzle.statements),
        }
        assert json.dumps(again) == json.dumps(row)
