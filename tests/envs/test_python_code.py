"""Programs to write: rows of HumanEval and MBPP, generated problems, and what counts as a program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolgym.envs import PythonCodeEnv
from toolgym.envs.program_problems import make_program
from toolgym.envs.rewards.unit_tests import program_of
from toolgym.tools import InputError
from toolgym.tools.sandbox import Isolation

HUMANEVAL = {
    "task_id": "HumanEval/900",
    "prompt": 'import math\n\n\ndef helper(x):\n    return x + 1\n\n\ndef twice(x):\n    """Helps twice."""\n',
    "entry_point": "twice",
    "canonical_solution": "    return helper(helper(x))\n",
    "test": "def check(candidate):\n    assert candidate(1) == 3\n    assert candidate(-2) == 0\n",
}
MBPP = {
    "task_id": 7,
    "text": "Write a function to add.",
    "code": "def add(a, b):\r\n  return a + b",
    "test_setup_code": "one = 1",
    "test_list": ["assert add(one, 2) == 3"],
    "challenge_test_list": ["assert add(-1, 1) == 0"],
}


def answered(env: PythonCodeEnv, answer: str, play: Callable[..., Any]) -> tuple[float, dict[str, Any]]:
    def act(episode: Any) -> str:
        return env.action_format.write_answer("So.", answer, 1)

    return play(env, act, seed=0)


def test_humaneval_takes_the_rest_of_a_function_and_a_whole_one(isolation: Isolation, play: Callable[..., Any]) -> None:
    env = PythonCodeEnv([HUMANEVAL], isolation=isolation)
    assert env.tasks[0].id == "HumanEval/900" and "Helps twice" in env.tasks[0].question
    assert "candidate" not in env.tasks[0].question  # the tests stay hidden
    rest, whole = HUMANEVAL["canonical_solution"], "def twice(x):\n    return x + 2"
    for program, right in ((rest, 1.0), (whole, 1.0), ("    return x\n", 0.0), ("    return helper(", 0.0)):
        reward, info = answered(env, f"Here:\n```python\n{program}\n```", play)
        assert (reward, info["score"], info["reward_terms"]["passed"]) == (right, right, right), program
    env.close()


def test_mbpp_shows_its_tests_and_runs_the_hidden_ones_too(isolation: Isolation, play: Callable[..., Any]) -> None:
    env = PythonCodeEnv([MBPP], isolation=isolation)
    assert "assert add(one, 2) == 3" in env.tasks[0].question and "add(-1, 1)" not in env.tasks[0].question
    assert answered(env, "def add(a, b): return a + b", play)[0] == 1.0
    assert answered(env, "def add(a, b): return 3", play)[0] == 0.0
    assert answered(env, "import sys; sys.exit(0)", play)[0] == 0.0
    env.close()


def test_the_oracle_tries_its_program_and_passes(isolation: Isolation, evaluate: Callable[..., Any]) -> None:
    for tasks in ([HUMANEVAL, MBPP], None):
        env = PythonCodeEnv(tasks, size=20, isolation=isolation)
        assert evaluate(env, env.oracle()) == {"scores": [1.0] * len(env.tasks), "rewards": [1.0] * len(env.tasks)}
        assert env.episode.call_count == 1
        env.close()


def test_rows_of_ones_own_and_rows_without_a_solution(isolation: Isolation) -> None:
    env = PythonCodeEnv([{"question": "Define x as 1.", "tests": "assert x == 1"}], isolation=isolation)
    assert env.oracle_gap(env.tasks[0]) == "no known solution"
    with pytest.raises(InputError, match="row 1 has no field 'tests'"):
        PythonCodeEnv([{"question": "Define x as 1."}], isolation=isolation)


def test_generated_problems_hang_on_seed_and_position_alone() -> None:
    assert make_program(3, 5) == make_program(3, 5) != make_program(3, 6)
    assert len({make_program(0, index).question for index in range(200)}) > 60


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("x = 1", "x = 1"),
        ("    return 1\n", "    return 1\n"),
        ("first\n```python\nx = 1\n```\nthen\n```py\nx = 2\n```", "x = 2\n"),
        ("```\n    return 1\n```", "    return 1\n"),
        ("```python\nx = 1", "```python\nx = 1"),  # never closed: no program, and no error
        ("", ""),
    ],
)
def test_the_program_in_an_answer(answer: str, program: str) -> None:
    assert program_of(answer) == program


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["code_humaneval", "code_mbpp"])
def test_real_rows_are_solved(data: Path, name: str, isolation: Isolation, evaluate: Callable[..., Any]) -> None:
    env = PythonCodeEnv(data / name / "data.jsonl.gz", isolation=isolation)
    assert evaluate(env, env.oracle(), limit=15)["scores"] == [1.0] * 15
    env.close()
