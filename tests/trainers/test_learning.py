"""Does it learn? Tiny random models on tasks that take seconds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from toolgym.agents.trajectory import Role
from toolgym.trainers.cold_start import ColdStartStage
from toolgym.trainers.grpo import GrpoStage
from toolgym.trainers.loop import train


@pytest.fixture
def cold_start(letters_run):
    def make(**options) -> ColdStartStage:
        stage = {"kind": "cold_start", "steps": 60, "demonstrations": 20, "batch_size": 10, **options}
        questions = [f"question {index}" for index in range(20)]
        run = letters_run(stage=[stage], environment_options={"questions": questions}, limits={})
        return ColdStartStage(run, run.recipe.stage[0])

    return make


def test_grpo_alone_teaches_a_random_model(letters_run) -> None:
    """Upper or lower case, as the question asks: about one token in twelve is right at first."""
    grpo = {"steps": 40, "tasks_per_step": 4, "group_size": 24, "optimizer": {"lr": 1e-2}}
    run = letters_run(grpo, environment="tests/Case-v0", concurrency=96)
    stage = GrpoStage(run, run.recipe.stage[0])
    rewards = [stage.step(step)["reward_mean"] for step in range(40)]
    assert np.mean(rewards[:2]) < 0.3
    assert np.mean(rewards[-5:]) > 0.8, rewards


def test_shuffled_rewards_teach_nothing(letters_run) -> None:
    """The control: the same rewards for other episodes."""
    grpo = {"tasks_per_step": 4, "group_size": 24, "optimizer": {"lr": 1e-2}, "experiment": "shuffled_rewards"}
    run = letters_run({**grpo, "steps": 25}, environment="tests/Case-v0", concurrency=96)
    stage = GrpoStage(run, run.recipe.stage[0])
    rewards = [stage.step(step)["reward_mean"] for step in range(25)]
    assert np.mean(rewards[-5:]) < 0.6, rewards


def test_a_cold_start_copies_its_demonstrations(cold_start) -> None:
    stage = cold_start(optimizer={"lr": 1e-2})
    losses = [stage.step(step)["loss"] for step in range(60)]
    assert losses[0] > 4 and losses[-1] < 0.1, losses


def test_demonstrations_train_their_actions_alone(cold_start) -> None:
    """Law 1."""
    stage = cold_start()
    assert len(stage.rows) == len(stage.trajectories) == 20
    for row, trajectory in zip(stage.rows, stage.trajectories, strict=True):
        roles = [segment.role for segment in trajectory.segments for _ in segment.token_ids]
        assert row.trained == [role is Role.ACTION for role in roles]
        assert not trajectory.has_logprobs and any(row.trained) and not row.trained[0]


def test_batches_of_demonstrations_walk_through_all(cold_start) -> None:
    stage = cold_start(batch_size=8)
    walked = [index for step in range(5) for index in stage._batch(step)]
    assert sorted(walked[:20]) == sorted(walked[20:]) == list(range(20)) and walked[:20] != walked[20:]
    assert stage._batch(2) == walked[16:24]


def test_bfloat16_learns_too(letters_run) -> None:
    stage = {"kind": "cold_start", "steps": 30, "demonstrations": 8, "batch_size": 8, "optimizer": {"lr": 1e-2}}
    run = letters_run(stage=[stage], dtype="bfloat16", limits={})
    start = ColdStartStage(run, run.recipe.stage[0])
    losses = [start.step(step)["loss"] for step in range(30)]
    assert losses[-1] < 0.5 * losses[0] and all(math.isfinite(loss) for loss in losses)
    assert {parameter.dtype for parameter in run.policy.model.parameters()} == {torch.float32}


def test_a_whole_run_leaves_what_it_promises(letters_recipe, tmp_path) -> None:
    stages = [
        {"kind": "cold_start", "steps": 2, "demonstrations": 4, "batch_size": 4},
        {"kind": "grpo", "steps": 3, "tasks_per_step": 2, "group_size": 4, "evaluate_every": 2},
    ]
    recipe = letters_recipe(environment="tests/DenseLetters-v0", stage=stages)
    summary = train(recipe, tmp_path / "run")
    assert sorted(path.name for path in summary.folder.iterdir() if path.suffix != ".html") == [
        "checkpoints",
        "episodes",
        "eval",
        "metrics.jsonl",
        "recipe.toml",
        "tensorboard",
        "trajectories",
        "versions.json",
    ]
    assert [(one["stage"], one["step"]) for one in summary.evaluations] == [("cold_start", 2), ("grpo", 2), ("grpo", 3)]
    assert summary.seconds > 0 and summary.peak_memory_bytes > 1 << 20
