"""Rows and trajectories for the tests of the trainers."""

from __future__ import annotations

import importlib.util
import itertools
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from toolgym.agents.trajectory import Outcome, Role, Segment, Trajectory
from toolgym.envs.episode import StopReason
from toolgym.trainers.policy import make_policy
from toolgym.trainers.progress import Silent
from toolgym.trainers.recipe import Recipe, parse_recipe
from toolgym.trainers.run import Run, make_environment
from toolgym.trainers.run_folder import RunFolder


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


def make_outcome(episode: str, group: str = "g", reward: float = 0.0, stop=StopReason.ANSWER, **more) -> Outcome:
    return Outcome(episode, f"task-{group}", group, reward, reward, stop_reason=stop, **more)


def make_trajectory(
    seed: int,
    episode: str | None = None,
    *,
    turns: int | None = None,
    vocabulary: int = 512,
    outcome=None,
    row: int = 0,
) -> Trajectory:
    """A row of random ids: a prompt, then actions with observations between them."""
    draw = random.Random(seed)

    def ids(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw.randrange(vocabulary) for _ in range(draw.randint(low, high)))

    segments = [Segment(Role.PROMPT, ids(2, 9))]
    for turn in range(turns or draw.randint(1, 3)):
        if turn:
            segments.append(Segment(Role.OBSERVATION, ids(1, 6), turn=turn))
        action = ids(1, 7)
        logprobs = tuple(draw.uniform(-3, -0.1) for _ in action)
        segments.append(Segment(Role.ACTION, action, logprobs, turn + 1, 0))
    outcome = outcome or make_outcome(episode or f"e{seed}", reward=draw.random())
    return Trajectory(outcome, segments, row, advantage=draw.uniform(-2, 2))


@pytest.fixture(name="make_outcome", scope="session")
def make_outcome_fixture():
    return make_outcome


@pytest.fixture(name="make_trajectory", scope="session")
def make_trajectory_fixture():
    return make_trajectory


@pytest.fixture(scope="session")
def uneven_trajectories():
    """18 rows of uneven lengths with gaps in their masks; the last two episodes have two rows each."""
    outcomes = [make_outcome(f"e{index}", f"g{index % 4}") for index in range(16)]
    rows = [make_trajectory(index, outcome=outcome) for index, outcome in enumerate(outcomes)]
    rows += [make_trajectory(100 + index, outcome=outcomes[index], row=1) for index in (14, 15)]
    for first, second in ((14, 16), (15, 17)):  # an advantage belongs to an episode
        rows[second].advantage = rows[first].advantage
    return rows


@pytest.fixture(scope="session")
def toy_tasks():
    """The module `toy_tasks`, whose environments are then registered."""
    spec = importlib.util.spec_from_file_location("toolgym_toy_tasks", Path(__file__).with_name("toy_tasks.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LETTERS = {
    "name": "letters",
    "environment": "tests/Letters-v0",
    "schedule": "deterministic",
    "threads": 1,
    "device": "cpu",
    "concurrency": 16,
    "workers": 1,
    "limits": {"max_turn_tokens": 1},
    "scratch": {
        "vocabulary": 300,
        "layers": 1,
        "width": 32,
        "heads": 2,
        "key_value_heads": 1,
        "head_width": 16,
        "feed_forward": 64,
        "context": 64,
    },
    "evaluation": {"tasks": 2},
    "stage": [{"kind": "grpo", "steps": 2, "tasks_per_step": 2, "group_size": 4}],
}


@pytest.fixture
def letters_recipe(toy_tasks):
    """Makes a recipe for the letters with other keys: run-level ones by name, those of its GRPO stage as `grpo`."""

    def make(grpo: Mapping[str, Any] | None = None, **keys: Any) -> Recipe:
        stage = {**LETTERS["stage"][0], **(grpo or {})}
        return parse_recipe({**LETTERS, "stage": [stage], **keys})

    return make


@pytest.fixture
def letters_run(letters_recipe, tmp_path):
    """Makes runs of such recipes that have not begun, each in a folder of its own."""
    numbers = itertools.count()

    def make(grpo: Mapping[str, Any] | None = None, **keys: Any) -> Run:
        recipe = letters_recipe(grpo, **keys)
        policy = make_policy(recipe, make_environment(recipe, {}))
        return Run(recipe, RunFolder.create(tmp_path / f"run-{next(numbers)}", recipe), policy, "cpu", Silent())

    return make
