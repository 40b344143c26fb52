"""Sudoku: the environment, its reader and its scores."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolgym.envs import make_env
from toolgym.envs.puzzles.base import MOST_UNSOLVED
from toolgym.envs.puzzles.sudoku import SudokuEnv, read_grid
from toolgym.tools.errors import InputError

# 4x4 by hand: row 1 lacks its third cell (3), row 3 its first (2), row 4 its last (3); the fourth lacks 1 in row 2.
CLUES = "1204 3402 0143 4320".replace(" ", "")
SOLUTION = "1234 3412 2143 4321"
ROW = {"id": "hand", "clues": CLUES}


@pytest.fixture
def task():
    return SudokuEnv([ROW]).tasks[0]


def test_a_row_is_solved(task) -> None:
    assert task.id == "hand"
    assert task.answers == (SOLUTION,)
    assert task.metadata == {"order": 4, "clues": CLUES, "technique": "box single", "trials": 0}
    assert "1 2 | . 4\n3 4 | . 2\n----+----\n. 1 | 4 3\n4 3 | 2 ." in task.question


@pytest.mark.parametrize(
    ("answer", "credit"),
    [
        (SOLUTION, 1.0),
        (SOLUTION.replace(" ", ""), 1.0),
        ("1 2 | 3 4\n3 4 | 1 2\n----+----\n2 1 | 4 3\n4 3 | 2 1", 1.0),
        ("[[1,2,3,4],[3,4,1,2],[2,1,4,3],[4,3,2,1]]", 1.0),
        # Four cells are empty (1 in row 1, 1 in row 2, 1 in row 3, 1 in row 4): each is worth a quarter.
        ("1234 3412 2143 4322", 0.75),
        ("1214 3432 2143 4321", 0.5),
        ("12.4 34_2 0143 432?", 0.0),
        ("12.4 34.2 .143 4321", 0.25),
        # A given digit is changed: nothing counts.
        ("2234 3412 2143 4321", 0.0),
        # Neither a row too few nor one too many, nor other signs, are a grid.
        ("1234 3412 2143", 0.0),
        (f"{SOLUTION} 1234", 0.0),
        (f"The grid: {SOLUTION}", 0.0),
        ("1234 3412 2143 4325", 0.0),
        ("", 0.0),
    ],
)
def test_partial_credit_by_hand(task, answer, credit) -> None:
    assert SudokuEnv.partial_credit(answer, task) == credit
    assert SudokuEnv.verify(answer, task) == (credit == 1.0)


def test_a_wrong_grid_that_keeps_the_rules_is_no_solution(task) -> None:
    swapped = SOLUTION.translate(str.maketrans("1234", "2143"))  # a valid grid, but not of these clues
    assert not SudokuEnv.verify(swapped, task)
    assert SudokuEnv.partial_credit(swapped, task) == 0.0


def test_nearly_solved_earns_less_than_solved() -> None:
    env = SudokuEnv(difficulty=1.0)
    task = env.tasks[0]
    position = task.metadata["clues"].index("0")
    right = task.answers[0].replace(" ", "")
    wrong = right[:position] + str(int(right[position]) % 9 + 1) + right[position + 1 :]
    empty = task.metadata["clues"].count("0")
    assert empty > 50  # (empty - 1) / empty would be above the ceiling
    assert SudokuEnv.partial_credit(wrong, task) == MOST_UNSOLVED


@given(st.text() | st.text(alphabet="0123456789. |-\n", max_size=200))
def test_no_text_breaks_the_reader(text) -> None:
    for order in (4, 6, 9):
        grid = read_grid(text, order)
        assert grid is None or (len(grid) == order * order and set(grid) <= set(range(order + 1)))


@pytest.mark.parametrize(
    "text", ["²" * 16, "٣" * 16, "１" * 16, "\x00" * 16, "\ud800" * 16, "1" * 1_000_000, "1234" * 3]
)
def test_what_is_no_grid(text, task) -> None:
    assert read_grid(text, 4) is None
    assert SudokuEnv.partial_credit(text, task) == 0.0


@pytest.mark.parametrize(("order", "difficulty"), [(4, 0.0), (6, 1.0), (9, (0.0, 1.0)), (9, 1.0)])
def test_the_oracle_solves_every_puzzle(order, difficulty, evaluate) -> None:
    env = SudokuEnv(order=order, difficulty=difficulty, size=5, task_seed=3)
    assert evaluate(env, env.oracle()) == {"scores": [1.0] * 5, "rewards": [1.0] * 5}


def test_guess_rates() -> None:
    assert SudokuEnv(order=4).guess_rate == 2 / 288
    assert SudokuEnv([ROW]).guess_rate == 1.0  # whoever knows a single task can answer it
    assert SudokuEnv.guess_chance(SudokuEnv([ROW]).tasks[0]) == max(4.0**-4, 2 / 288)
    assert SudokuEnv().guess_rate < 1e-9


@pytest.mark.parametrize("answer", ["", "echo", "clues"])
def test_canaries(answer, play) -> None:
    env = make_env("toolgym/Sudoku-v0", reward="partial_credit")
    env.reset(seed=0)
    task = env.episode.task
    text = {"": "", "echo": task.question, "clues": task.metadata["clues"]}[answer]
    reward, info = play(env, lambda episode: env.action_format.write_answer("", text or "nothing", 1), seed=0)
    assert info["score"] == 0.0 == reward
    assert info["reward_terms"]["partial_credit"] == 0.0


BOARD = "1 2 | . 4\n3 4 | . 2\n----+----\n. 1 | 4 3\n4 3 | 2 ."


@pytest.mark.parametrize(
    ("digits", "output"),
    [
        ("r1c3=3", BOARD.replace("1 2 | . 4", "1 2 | 3 4")),
        ("r1c3=3 R2C3 = 1", BOARD.replace("1 2 | . 4", "1 2 | 3 4").replace("3 4 | . 2", "3 4 | 1 2")),
        ("r1c3=3, r1c3=.", BOARD),
        ("r1c3=1", "Error: there is a 1 in this row already."),
        ("r1c3=2", "Error: there is a 2 in this row already."),
        ("r4c4=3", "Error: there is a 3 in this row already."),
        ("r3c1=4", "Error: there is a 4 in this row already."),
        ("r3c1=3", "Error: there is a 3 in this row already."),
        ("r1c1=2", "Error: this digit is given and stays."),
        ("r5c1=1", "Error: rows, columns and digits go from 1 to 4."),
        ("r1c3=5", "Error: rows, columns and digits go from 1 to 4."),
        (
            "r1c3=3 r2c3=3",
            BOARD.replace("1 2 | . 4", "1 2 | 3 4") + "\nStopped before r2c3=3: there is a 3 in this row already.",
        ),
        ("nothing", "Error: name a cell and a digit from 1 to 4, such as r1c2=3."),
    ],
)
def test_the_board(digits, output) -> None:
    env = SudokuEnv([ROW], board=True)
    env.reset(seed=0)
    env.step(env.action_format.write_call("", env.board.write(digits), 1))
    assert env.episode.turns[0].results[0].output == output


@pytest.mark.parametrize(
    ("digits", "said"),
    [
        ("r1c4=2", "Error: there is a 2 in this row already."),
        ("r2c3=2", "Error: there is a 2 in this column already."),
        ("r2c2=1", "Error: there is a 1 in this box already."),
        ("r3c2=3", "2 3 | 4 ."),  # wrong, but against no rule: nothing is said
        ("r3c2=1", "2 1 | 4 ."),
    ],
)
def test_the_board_knows_rules_and_not_the_solution(digits, said) -> None:
    # Its solution is 1234 3412 2143 4321.
    env = SudokuEnv([{"clues": "12.. 3... 2.4. ..21"}], board=True)
    env.reset(seed=0)
    env.step(env.action_format.write_call("", env.board.write(digits), 1))
    assert said in env.episode.turns[0].results[0].output


def test_the_oracle_writes_on_the_board(play) -> None:
    env = SudokuEnv(board=True, difficulty=1.0)
    reward, info = play(env, env.oracle(), seed=3)
    assert (reward, info["score"]) == (1.0, 1.0)
    assert [result.ok for turn in env.episode.turns for result in turn.results] == [True]
    assert "." not in env.episode.turns[0].results[0].output


def test_puzzles_depend_on_seed_split_and_index_alone() -> None:
    env = SudokuEnv(task_seed=7)
    backwards = [env.tasks[index] for index in (5, 3, 0)]
    again = SudokuEnv(task_seed=7, size=6)
    assert backwards == [again.tasks[index] for index in (5, 3, 0)]
    assert again.tasks.by_id("sudoku-9x9-train-7-3") == backwards[1]
    others = [SudokuEnv(task_seed=8).tasks[3], SudokuEnv(task_seed=7, split="test").tasks[3], env.tasks[4]]
    assert len({task.question for task in (*others, backwards[1])}) == 4
    assert pickle.loads(pickle.dumps(env.tasks))[5] == backwards[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 5}, "4, 6 or 9 rows, not 5"),
        ({"tasks": [{"clues": "1" * 16}]}, "'rows-0': its clues have no solution"),
        ({"tasks": [{"clues": "0" * 16}]}, "'rows-0': its clues have several solutions"),
        ({"tasks": [{"clues": "123"}]}, "'rows-0': '123' is no grid"),
        ({"difficulty": 2}, "difficulty"),
    ],
)
def test_refusals(options, message) -> None:
    with pytest.raises(InputError, match=message):
        SudokuEnv(**options)
