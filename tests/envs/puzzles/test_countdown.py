from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolgym.envs import CountdownEnv, Game24Env, Task, read_rows
from toolgym.envs.puzzles.countdown import countdown_reward
from toolgym.envs.puzzles.expressions import find_expression
from toolgym.envs.puzzles.game24 import ranked_hands
from toolgym.tools import InputError

ROW = {"numbers": [3, 4, 5], "target": 23}
PUZZLE = CountdownEnv.task_from_row(ROW, "row")
HAND = Game24Env.task_from_row({"numbers": [1, 2, 3, 4]}, "hand")


@pytest.mark.parametrize(
    ("answer", "solved", "credit"),
    [
        ("3 + 4 * 5", True, 1),
        (" ( 4*5)+3\n", True, 1),
        ("3 + 4 * 5 = 23", False, 0),  # TinyZero refuses the equals sign
        ("4 * 5 + 3 + 0", False, (3 / 4 + 1) / 2),  # a number that was not given; the value is right
        ("(4 + 4) * 3 - 1", False, (2 / 4 + 1) / 2),
        ("23", False, (0 + 1) / 2),  # none of the numbers
        ("4 * 5", False, (2 / 3 + 1 / 4) / 2),  # one missing; 3 off
        ("3 * 4 * 5", False, (1 + 1 / 38) / 2),
        ("3 + 4 * 5 * (5 - 4)", False, (3 / 5 + 1) / 2),  # numbers used twice
        ("3 / 0", False, 1 / 3 / 2),
        ("4 ** 3 - 5", False, 1 / 2),  # a power has no value here
        ("forty-two", False, 0),
        ("", False, 0),
    ],
)
def test_countdown(answer: str, solved: bool, credit: float) -> None:
    assert CountdownEnv.verify(answer, PUZZLE) is solved
    assert CountdownEnv.partial_credit(answer, PUZZLE) == pytest.approx(credit)


@pytest.mark.parametrize(
    ("answer", "solved"),
    [
        ("(1 + 2 + 3) * 4", True),
        ("(1 + 2 + 3) * 4 = 24", True),
        ("(1 + 2 + 3) * 4 = 7", True),  # what follows the equals sign is not read
        ("1 + 2 = 3 (left: 3 3 4)\n3 + 3 = 6 (left: 4 6)\n6 * 4 = 24 (left: 24)\nAnswer: (1 + 2 + 3) * 4 = 24\n", True),
        ("ANSWER: 1 * 2 * 3 * 4", True),
        ("Answer:1 * 2 * 3 * 4", False),  # without the space it is no prefix
        ("24 = 1 * 2 * 3 * 4", False),
        ("1 * 2 * 3 * 4\nthat is it", False),  # the last line counts
        ("1 * 2 * 3 * 4 * 1", False),
        ("2 * 3 * 4", False),
        ("01 * 2 * 3 * 4", False),
        ("24", False),
        ("4!", False),
        ("", False),
    ],
)
def test_game_of_24(answer: str, solved: bool) -> None:
    assert Game24Env.verify(answer, HAND) is solved
    assert (Game24Env.partial_credit(answer, HAND) == 1) is solved


@pytest.mark.parametrize(
    ("response", "reward"),
    [
        ("<think> 4 * 5 </think>\n<answer> 3 + 4 * 5 </answer>", 1.0),
        ("one line <answer>1</answer> and <answer>5 * 4 + 3</answer> more", 1.0),  # the last one
        ("<answer>3 + 4 * 5</answer>\n", 0.0),  # the last line is empty
        ("<answer>3 + 4 * 5</answer>\nso much for that", 0.0),
        ("<answer>\n3 + 4 * 5</answer>", 0.0),  # not on one line
        ("<answer>3 + 4 * 5", 0.0),
        ("3 + 4 * 5", 0.0),
        ("", 0.0),
        ("<answer></answer>", 0.1),
        ("<answer>3 + 4 * 5 = 23</answer>", 0.1),
        ("<answer>3 + 4 + 5</answer>", 0.1),
        ("<answer>4 * 5</answer>", 0.1),
        ("<answer>3. + 4 * 5</answer>", 1.0),  # Python reads a float, the digits are right
        ("<answer>03 + 4 * 5</answer>", 0.1),  # Python refuses the zero
        ("<answer>3 + 4 * ٥</answer>", 0.1),
        ("<answer><answer>3 + 4 * 5</answer></answer>", 0.1),
        ("<answer>3 + 4 * 5</answer> <answer>", 1.0),  # never closed
    ],
)
def test_the_reward_of_tinyzero(response: str, reward: float) -> None:
    assert countdown_reward(response, [3, 4, 5], 23) == reward


def test_long_responses_take_linear_time() -> None:
    started = time.thread_time()
    for piece in ("<answer>", "</answer>", "<answer></answer>", "<answer>\n"):
        countdown_reward(piece * 100_000, [1], 1)
    assert time.thread_time() - started < 2


def test_quirks_of_tinyzero() -> None:
    assert countdown_reward("<answer>2 ** 3</answer>", [3, 2], 8) == 1.0
    assert countdown_reward("<answer>7 // 2</answer>", [2, 7], 3) == 1.0
    # 1e-5 is near enough: 1 / 99999 + 1
    assert countdown_reward("<answer>1 + 1 / 200000</answer>", [1, 1, 200000], 1) == 1.0
    assert countdown_reward("<answer>1 + 1 / 99999</answer>", [1, 1, 99999], 1) == 0.1
    assert not CountdownEnv.verify("1 + 1 / 200000", CountdownEnv.puzzle("", [1, 1, 200000], 1, None))


def test_the_puzzle_as_published(play: Callable[..., Any]) -> None:
    env = CountdownEnv([ROW], tools=(), action_format="think_answer", reward="countdown")
    reward, info = play(env, env.oracle(), seed=0)
    assert (reward, info["score"], info["reward_terms"]) == (1.0, 1.0, {"correct": 1.0, "answered": 1.0})
    reward, info = play(env, lambda episode: "hm </think> <answer>3 + 4</answer>", seed=0)
    assert (reward, info["score"]) == (0.1, 0.0) and env.reward_function.wrong_ceiling == 0.1
    # TinyZero reads the last line, the format the whole block: the exact rules decide.
    reward, info = play(env, lambda episode: "</think> <answer> (3\n<answer> 3 + 4 * 5 </answer>", seed=0)
    assert (reward, info["score"]) == (0.1, 0.0)
    reward, info = play(env, lambda episode: "hm", seed=0)
    assert (reward, info["score"]) == (0.0, 0.0)


def test_the_oracle_calculates_where_it_can(play: Callable[..., Any]) -> None:
    env = CountdownEnv(size=1, difficulty=0)
    play(env, env.oracle(), seed=0)
    result = env.episode.turns[0].results[0]
    assert result.output == str(env.tasks[0].metadata["target"])


def test_rows() -> None:
    assert CountdownEnv.task_from_row({"nums": [1, 2], "target": 3}, "x").metadata == {"numbers": [1, 2], "target": 3}
    for row in ({"numbers": [1, "2"], "target": 3}, {"numbers": [], "target": 3}, {"numbers": [1, True], "target": 2}):
        with pytest.raises(InputError, match="whole numbers"):
            CountdownEnv([row])
    with pytest.raises(InputError, match="no field 'target'"):
        CountdownEnv([{"numbers": [1]}])
    env = CountdownEnv([{"numbers": [1, 1], "target": 9}])
    with pytest.raises(InputError, match="has no solution"):
        env.solution(env.tasks[0])


def test_generated_puzzles_need_more_than_sums() -> None:
    for difficulty in (0.0, 0.5, 1.0):
        for task in CountdownEnv.generate(difficulty, 20):
            numbers, target = task.metadata["numbers"], task.metadata["target"]
            totals = {0}
            for number in numbers:
                totals = {total + sign * number for total in totals for sign in (1, -1)}
            assert target not in totals
            assert len(numbers) == 3 + min(3, int(4 * difficulty)) and all(1 <= number <= 99 for number in numbers)


def test_hands_of_24() -> None:
    hands = ranked_hands()
    assert len(hands) == len(set(hands)) == 1362  # the published number
    assert all(find_expression(hand, 24).expression for hand in hands[::40])
    for hand in ((1, 1, 1, 1), (13, 13, 13, 13), (1, 1, 1, 7)):
        assert hand not in hands and find_expression(hand, 24).expression is None
    train = {tuple(sorted(task.metadata["numbers"])) for task in Game24Env.generate((0, 1), 300)}
    test = {tuple(sorted(task.metadata["numbers"])) for task in Game24Env.generate((0, 1), 300, split="test")}
    assert not train & test and len(train) > 150


@pytest.mark.real_data
def test_real_rows(data: Path, evaluate: Callable[..., Any]) -> None:
    hands = list(read_rows(data / "logic_game24" / "data.jsonl.gz"))
    assert {tuple(row["numbers"]) for row in hands} <= set(ranked_hands())
    for env in (Game24Env(hands[::10]), CountdownEnv(list(read_rows(data / "logic_countdown", "test"))[::20])):
        result = evaluate(env, env.oracle())
        assert set(result["scores"]) == set(result["rewards"]) == {1.0}
    task: Task = env.tasks[0]
    assert 0.07 < env.guess_rate <= 0.3 and task.answers == ()
