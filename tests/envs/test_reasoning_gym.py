"""The bridge to reasoning-gym: its own items, its own scores, and what the bridge adds to them."""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from toolgym.envs import Action, Task, make_env
from toolgym.envs.formats import action_format
from toolgym.envs.reasoning_gym import GUESS_RATES, ReasoningGymEnv
from toolgym.envs.reasoning_gym_scores import READABLE, STRICTER
from toolgym.envs.reasoning_gym_sets import APART, item, levels, set_names, source
from toolgym.tools.errors import InputError

pytest.importorskip("reasoning_gym")

# The package that holds the tasks of ARC leaves its files open.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NAMES = set_names()
SLOW = ("codeio", "futoshiki", "intermediate_integration", "knight_swap", "sokoban", "word_ladder", "zebra_puzzles")
UNKNOWN = ("boxnet", "rush_hour")
"""Data sets without a right answer to look up: reasoning-gym checks moves, and knows none."""
# Constants that solve items: the answers of these sets are few, or (a program's text) may be empty.
FEW = {"0", "1", "True", ""}


def read(answer: str) -> str:
    """The answer as it is after it was written and parsed."""
    form = action_format("think_answer")
    return form.parse(Action(form.write_answer("", answer, 1))).answer


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in NAMES])
def test_every_data_set(name: str, isolation: str) -> None:
    count = 1 if name in SLOW else 3
    env = ReasoningGymEnv(dataset=name, size=500, task_seed=7, isolation=isolation)
    tasks = [env.tasks[index] for index in range(count)]
    kept = pickle.dumps(tasks)
    again = ReasoningGymEnv(dataset=name, size=500, task_seed=7, isolation=isolation).tasks
    assert [again[index] for index in reversed(range(count))] == tasks[::-1]
    for task in tasks:
        assert bool(task.answers) == (name not in UNKNOWN) == (env.oracle_gap(task) == "")
        for answer in task.answers:
            assert ReasoningGymEnv.verify(read(answer), task)
        for canary in ("nothing", task.question, "nan", "9**9**9**9", "1e-99999999", "['" + "[" * 900, "\ud800\x00"):
            assert not ReasoningGymEnv.verify(canary, task)
            assert 0 <= ReasoningGymEnv.partial_credit(canary, task) < 1
        for constant in FEW:
            if ReasoningGymEnv.verify(constant, task):
                assert constant == task.answers[0] or float(constant) == float(task.answers[0])
    assert pickle.loads(kept) == tasks  # no score changes an item


@pytest.mark.parametrize("name", [n for n in NAMES if n not in APART and n not in SLOW and n != "list_functions"])
def test_items_are_those_of_reasoning_gym(name: str) -> None:
    from reasoning_gym import create_dataset

    theirs = create_dataset(name, seed=11, size=20)
    ours = source(name, {"seed": 11, "size": 20})
    for index in (3, 0):
        assert item(ours, index) == theirs[index]


def test_global_generators_are_left_alone() -> None:
    for name in ("list_functions", "pool_matrix", "acre"):
        made = source(name, {"seed": 5, "size": 40})
        random.seed(1)
        np.random.seed(1)
        before = random.getstate(), np.random.get_state()[1].tolist()
        first = [item(made, index) for index in range(40)]
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before
        random.seed(2)
        np.random.seed(2)
        assert [item(made, index) for index in range(40)] == first


@pytest.mark.slow
def test_items_are_the_same_in_processes_with_other_hashes() -> None:
    code = (
        "from toolgym.envs.reasoning_gym_sets import *\n"
        "for name in ('isomorphic_strings', 'ransom_note', 'polynomial_multiplication', 'word_ladder'):\n"
        "    print(ascii([item(source(name, {'seed': 3, 'size': 9}), index) for index in (0, 1)]))\n"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            capture_output=True,
            check=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "/usr/bin:/bin"},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


@pytest.mark.slow
def test_a_fork_has_an_interpreter_of_its_own() -> None:
    made = source("ransom_note", {"seed": 3, "size": 9})
    first = item(made, 0)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = int(item(made, 0) != first)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert item(made, 0) == first


@pytest.mark.slow
def test_programs_write_nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolation: str, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("codeio", "bf"):
        made = source(name, {"seed": 0, "size": 500})
        for index in range(40):
            item(made, index, isolation)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().out == ""


def test_a_mixture_is_the_composite() -> None:
    from reasoning_gym import create_dataset
    from reasoning_gym.composite import DatasetSpec

    weights = {"chain_sum": 1.0, "leg_counting": 3.0, "gcd": 0.5}
    configs = {"chain_sum": {"max_terms": 3}}
    specs = [DatasetSpec(name, weight, configs.get(name, {})) for name, weight in weights.items()]
    theirs = create_dataset("composite", seed=4, size=30, datasets=specs)
    env = ReasoningGymEnv(dataset=weights, config=configs, size=30, task_seed=4)
    assert [(task.question, *task.answers) for task in env.tasks] == [
        (entry["question"], entry["answer"]) for entry in theirs
    ]
    assert {task.metadata["dataset"] for task in env.tasks} == set(weights)
    assert env.guess_rate == GUESS_RATES["gcd"]
    assert env.tasks[5].id == "mixture-of-3-4-5"
    even = ReasoningGymEnv(dataset=["gcd", "lcm"], size=200)
    share = sum(task.metadata["dataset"] == "gcd" for task in even.tasks) / 200
    assert 0.4 < share < 0.6


def test_the_composite_by_its_name() -> None:
    parts = [{"name": "gcd", "weight": 2.0, "config": {"max_value": 50}}, {"name": "lcm", "weight": 1.0, "config": {}}]
    named = ReasoningGymEnv(dataset="composite", config={"datasets": parts}, size=9, task_seed=2)
    mixture = ReasoningGymEnv(dataset={"gcd": 2.0, "lcm": 1.0}, config={"gcd": {"max_value": 50}}, size=9, task_seed=2)
    assert list(named.tasks) == list(mixture.tasks)


def test_an_episode(play) -> None:
    env = make_env("toolgym/ReasoningGym-v0", size=5)
    env.reset(seed=1)
    right = env.episode.task.answers[0]
    reward, info = play(env, env.oracle(), seed=1)
    assert (reward, info["score"]) == (1.0, 1.0)
    assert info["reward_terms"] == {"solved": 1.0, "partial_credit": 1.0, "answered": 1.0}
    # reasoning-gym's usual score for a right answer within more: the share of its length.
    longer = f"It is {right}"
    reward, info = play(env, lambda _: env.action_format.write_answer("", longer, 1), seed=1)
    assert (reward, info["score"]) == (0.0, 0.0)
    assert info["reward_terms"]["partial_credit"] == pytest.approx(len(right) / len(longer))
    partial = make_env("toolgym/ReasoningGym-v0", size=5, reward="partial_credit")
    reward, _ = play(partial, lambda _: partial.action_format.write_answer("", longer, 1), seed=1)
    assert reward == pytest.approx(len(right) / len(longer))
    reward, info = play(env, lambda _: "I give up", seed=1)
    assert (reward, info["score"], info["reward_terms"]["answered"]) == (0.0, 0.0, 0.0)


def test_task_sets_can_be_pickled() -> None:
    env = ReasoningGymEnv(dataset=["gcd", "lcm"], size=5)
    again = pickle.loads(pickle.dumps(env.tasks))
    assert list(again) == list(env.tasks)
    rows = [{"id": t.id, "question": t.question, "answers": t.answers, "metadata": t.metadata} for t in env.tasks]
    written = ReasoningGymEnv(json.loads(json.dumps(rows)))
    assert [ReasoningGymEnv.verify(task.answers[0], task) for task in written.tasks] == [True] * 5


# What reasoning-gym 0.1.25 gives full marks, and the bridge does not.
CHEATS = {
    "coin_flip": "0",
    "complex_arithmetic": "nan",
    "game_of_life_halting": "perhaps",
    "puzzle24": "1*1*4*6",
}


@pytest.mark.parametrize("name", CHEATS)
def test_cheats(name: str) -> None:
    from reasoning_gym import create_dataset

    theirs = create_dataset(name, seed=0, size=20)
    env = ReasoningGymEnv(dataset=name, size=20)
    cheated = [index for index in range(4) if theirs.score_answer(CHEATS[name], theirs[index]) >= 1]
    assert cheated
    assert not any(ReasoningGymEnv.verify(CHEATS[name], env.tasks[index]) for index in cheated)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("fraction_simplification", "{0} or $\\frac{{1}}{{7}}$"),
        ("gsm_symbolic", "{0} or 7007"),
        ("letter_jumble", "{0} or else"),
        ("spell_backward", "{0}xyz"),
        ("time_intervals", "{0} or 99 days"),
        ("number_sorting", "[NaN, NaN, NaN, NaN, NaN]"),
        ("sokoban", "{0} x"),
    ],
)
def test_second_answers(name: str, wrong: str) -> None:
    env = ReasoningGymEnv(dataset=name, size=30, task_seed=1)
    for index in range(2 if name == "sokoban" else 12):
        task = env.tasks[index]
        assert ReasoningGymEnv.verify(task.answers[0], task)
        assert not ReasoningGymEnv.verify(wrong.format(task.answers[0]), task)


def test_other_right_answers() -> None:
    """Answers that are right by a rule, not by their text, stay right."""
    pairs = {
        "countdown": lambda task: f"({task.answers[0]})",
        "puzzle24": lambda task: f" ( {task.answers[0]} ) ",
        "polynomial_multiplication": lambda task: " + ".join(
            reversed(task.answers[0].replace("- ", "+ -").split(" + "))
        ),
        "simple_integration": lambda task: task.answers[0].replace(" + C", " + 5"),
        "coin_flip": lambda task: str(eval(task.answers[0])),
        "fraction_simplification": lambda task: task.answers[0].replace(" ", ""),
        "game_of_life_halting": lambda task: f" {task.answers[0].lower()} ",
        "gsm_symbolic": lambda task: f"The answer is {task.answers[0]}.",
        "graph_color": lambda task: task.answers[0].replace(" ", ""),
    }
    for name, other in pairs.items():
        env = ReasoningGymEnv(dataset=name, size=10, task_seed=3)
        for index in range(2):
            task = env.tasks[index]
            assert ReasoningGymEnv.verify(other(task), task), (name, task.answers[0], other(task))


@pytest.mark.parametrize("name", sorted(READABLE))
def test_no_answer_is_run(name: str, tmp_path: Path) -> None:
    """Nine scores evaluate answers as Python."""
    target = tmp_path / "written"
    task = ReasoningGymEnv(dataset=name, size=5).tasks[0]
    for attack in (
        f"__import__('pathlib').Path({str(target)!r}).write_text('x')",
        f"[open({str(target)!r}, 'w')]",
        f"[x for x in [open({str(target)!r}, 'w')]]",
        "().__class__.__base__.__subclasses__()",
        "exit()",
        "lambda: 0",
        "9**9**9**9",
        "9.9**9.9**9.9**9.9",
    ):
        assert ReasoningGymEnv.partial_credit(attack, task) < 1
    assert not target.exists()


def test_rules_name_data_sets() -> None:
    assert {*READABLE, *STRICTER, *APART, *GUESS_RATES} <= set(NAMES)


def test_every_curriculum_has_a_first_and_a_last_level() -> None:
    from reasoning_gym.factory import CURRICULA, DATASETS

    for name in CURRICULA:
        for difficulty in (0.0, 0.5, 1.0):
            options = levels(name, difficulty)
            config = DATASETS[name][1](**options)
            if hasattr(config, "validate"):
                config.validate()
    # By hand: the levels of both are 5, 15, 25, 50; no cipher turns letters by 50.
    assert levels("caesar_cipher", 1.0) == {"min_rotation": 5, "max_rotation": 25, "min_words": 5, "max_words": 50}


def test_difficulty() -> None:
    def mean_length(difficulty: float) -> float:
        env = ReasoningGymEnv(dataset="chain_sum", difficulty=difficulty, size=20)
        assert env.tasks[0].metadata["difficulty"] == difficulty
        return sum(len(task.question) for task in env.tasks) / 20

    assert mean_length(0.0) < mean_length(0.5) < mean_length(1.0)
    fixed = ReasoningGymEnv(dataset="chain_sum", difficulty=1.0, config={"min_terms": 2, "max_terms": 2}, size=1)
    assert json.loads(fixed.tasks[0].metadata["config"])["max_terms"] == 2
    assert fixed.tasks[0].id == "chain_sum-at-1-0-0"


def test_the_default_generator_of_the_class() -> None:
    easy, hard = ReasoningGymEnv.make(0, 3, 0.0), ReasoningGymEnv.make(0, 3, 1.0)
    assert isinstance(easy, Task) and len(easy.question) < len(hard.question)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "chainsum"}, "no data set 'chainsum'; did you mean 'chain_sum'"),
        ({"config": {"terms": 3}}, "'chain_sum' has no 'terms'; it has"),
        ({"config": {"min_terms": -1}}, "refuses the configuration .* of 'chain_sum'"),
        ({"config": {"min_terms": object()}}, "refuses the configuration .* of 'chain_sum'"),
        ({"difficulty": 2}, "difficulty must be a number in"),
        ({"dataset": "acre", "difficulty": 0.5}, "no curriculum for 'acre'"),
        ({"size": 0}, "size must be at least 1"),
        ({"dataset": []}, "a mixture has different data sets"),
        ({"dataset": ["gcd", "gcd"]}, "a mixture has different data sets"),
        ({"dataset": {"gcd": 0}}, "weights above 0"),
        ({"dataset": ["gcd", "lcm"], "config": {"sum": {}}}, "'sum', which is none of the data sets gcd, lcm"),
        ({"dataset": "composite"}, "needs a config with its data sets"),
        ({"isolation": "no"}, "isolation"),
    ],
)
def test_refusals(options, message) -> None:
    with pytest.raises(InputError, match=message):
        ReasoningGymEnv(**options)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delitem(sys.modules, "reasoning_gym")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(InputError, match=r"pip install 'toolgym\[puzzles\]'"):
        ReasoningGymEnv()
