from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from toolgym.envs import PythonMathEnv, Task, TaskSet
from toolgym.envs.math_problems import make_problem
from toolgym.envs.python_math import ANNOTATION, generated_problems, python_expression, solution_code
from toolgym.tools import InputError
from toolgym.tools.sandbox import Isolation

ROWS = [
    {"question": "6 boxes of 7?", "answer": "They are 6 * 7 = <<6*7=42>>42.\n#### 42"},
    {"question": "Half of 2,500?", "answer": "1,250", "solution": "<<2500*50%=1250>>"},
    {"question": "One more than 9?", "answer": "10", "solution": "Count on: 10\n#### 10"},
    {"question": "A trap.", "answer": "5", "solution": "<<2+2=5>>"},
    {"question": "A broken note.", "answer": "5", "solution": "<<2+=5>>"},
]


def test_problems_are_whole_numbered_and_true() -> None:
    problems = [make_problem(0, index) for index in range(600)]
    for problem in problems:
        steps = ANNOTATION.findall(problem.metadata["solution"])
        assert 2 <= len(steps) <= 4
        for expression, value in steps:
            assert eval(expression) == int(value) > 0, problem
        assert problem.answers == (steps[-1][1],)
        assert problem.metadata["solution"].endswith(f"#### {problem.answers[0]}")
        assert problem.question.endswith("?") and "  " not in problem.question
    assert len({problem.question for problem in problems}) > 590
    assert {len(ANNOTATION.findall(problem.metadata["solution"])) for problem in problems} == {2, 3, 4}


def test_problem_i_hangs_on_seed_and_position_alone() -> None:
    assert make_problem(3, 5) == make_problem(3, 5)
    assert generated_problems(size=9, seed=3)[5] == replace(make_problem(3, 5), id="problems-train-3-5")
    assert list(generated_problems(size=20))[:5] == list(generated_problems(size=5))
    train = {problem.question for problem in generated_problems(size=300)}
    test = {problem.question for problem in generated_problems("test", size=300)}
    assert len(train & test) <= 3
    with pytest.raises(InputError, match="'train' and 'test'"):
        generated_problems("dev")


@pytest.mark.parametrize("name", ["code", "hermes"])
def test_the_oracle_answers_with_what_python_printed(
    name: str, evaluate: Callable[..., Any], isolation: Isolation
) -> None:
    env = PythonMathEnv(ROWS, action_format=name, isolation=isolation)
    assert [task.answers for task in env.tasks] == [("42",), ("1,250",), ("10",), ("5",), ("5",)]
    # Without annotations there is nothing to calculate, and the answer is given as it is.
    assert evaluate(env, env.oracle())["scores"] == [1.0, 1.0, 1.0, 0.0, 0.0]
    env.close()


@pytest.mark.parametrize("reward", ["gsm8k", "dapo", "retool(variant=verl)"])
def test_the_oracle_writes_whole_numbers_as_the_data_do(
    reward: str, play: Callable[..., Any], isolation: Isolation
) -> None:
    rows = [{"question": "Half of 12?", "answer": "6", "solution": "<<12/2=6>>"}]  # Python prints 6.0
    env = PythonMathEnv(rows, reward=reward, isolation=isolation)
    play(env, env.oracle())
    assert env.episode.turns[0].results[0].output.strip() == "6.0" and env.episode.answer == "6"
    assert env.reward_function(env.episode).reward == 1
    env.close()


def test_the_oracle_calculates_where_it_can(play: Callable[..., Any], isolation: Isolation) -> None:
    env = PythonMathEnv(ROWS, isolation=isolation)
    play(env, env.oracle(), options={"task_id": "rows-3"})
    assert env.episode.answer == "4"
    play(env, env.oracle(), options={"task_id": "rows-4"})  # this one does not run
    assert env.episode.answer == "unknown"
    env.close()


@pytest.mark.parametrize(
    "written, value",
    [
        ("20*$5", 100),
        ("1,000+1", 1001),
        ("50%*80", 40),
        ("3 x 4", 12),
        ("3×4", 12),
        ("007+1", 8),
        ("1.05*100", 105),
        ("10.0-0.50", 9.5),
    ],
)
def test_annotations_as_python(written: str, value: float) -> None:
    assert eval(python_expression(written)) == pytest.approx(value)


def test_code_of_a_solution() -> None:
    assert solution_code("a <<1+1=2>>2 b <<2*3=6>>6") == "print(1+1)\nprint(2*3)"
    assert solution_code("no annotation") == ""


def test_state_is_kept_between_calls_and_errors_are_observations(isolation: Isolation) -> None:
    from toolgym.tools import ToolCall

    env = PythonMathEnv(size=1, isolation=isolation)
    env.reset(seed=0)

    def run(code: str) -> tuple[str, Any]:
        action = env.action_format.write_call("I try.", ToolCall("python", {"code": code}), 1)
        observation, *_, info = env.step(action)
        return observation, info["calls"][0]["status"]

    assert run("x = 20")[1] == "ok"
    observation, status = run("print(x + 1)")
    assert "21" in observation and status == "ok"
    observation, status = run("1/0")
    assert "ZeroDivisionError" in observation and status == "error"
    env.close()


def test_options() -> None:
    with pytest.raises(InputError, match="isolation"):
        PythonMathEnv(isolation="nothing")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="seconds"):
        PythonMathEnv(timeout=0)
    with pytest.raises(InputError, match="no field 'answer'"):
        PythonMathEnv([{"question": "q"}])


def test_without_math_verify_the_environment_says_so_before_it_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(InputError, match=r"pip install 'toolgym\[math\]'"):
        PythonMathEnv(ROWS)


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("<<2.4+9.2+6.5=18.10>> <<18.10-7.10=11>>", "11"),  # Python prints 11.000000000000002
        ("<<12/2=6>>", "6"),  # 6.0
        ("<<1/8=0.125>>", "0.125"),
        ("<<10**20=1>>", "100000000000000000000"),
    ],
)
def test_the_oracle_reads_a_number_off_as_a_person_does(solution: str, answer: str) -> None:
    task = Task("one", "How much?", (answer,), {"solution": solution})
    env = PythonMathEnv(TaskSet([task]), isolation="process")
    env.reset(seed=0)
    act = env.oracle()
    env.step(act(env.episode))
    info = env.step(act(env.episode))[4]
    assert (info["answer"], info["score"]) == (answer, 1.0)
