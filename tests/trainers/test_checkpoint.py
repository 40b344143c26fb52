"""Checkpoints and the run folder."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from toolgym.tools.errors import InputError
from toolgym.trainers.checkpoint import latest_checkpoint, save_checkpoint
from toolgym.trainers.learner import Learner
from toolgym.trainers.recipe import Optimizer
from toolgym.trainers.run import Counters
from toolgym.trainers.run_folder import RunFolder


def advance(run, stage: str, step: int, learner=None):
    run.counters.stage_steps[stage] = step
    run.counters.global_step = step
    return save_checkpoint(run, stage, step, learner)


def names(run) -> list[str]:
    return sorted(path.name for path in run.folder.checkpoints.iterdir())


def test_a_checkpoint_is_an_ordinary_hugging_face_folder(letters_run) -> None:
    run = letters_run()
    folder = advance(run, "grpo", 3)
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for expected, parameter in zip(run.policy.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(expected, parameter)
    assert tuple(tokenizer("a?", add_special_tokens=False)["input_ids"]) == run.codec.encode_text("a?")
    assert len(tokenizer) == run.codec.vocabulary_size


def test_the_latest_checkpoint_brings_everything_back(letters_run) -> None:
    run = letters_run()
    learner = Learner(run.policy.model, Optimizer(lr=0.1), 10)
    for parameter in learner.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    learner.optimizer.step()
    advance(run, "grpo", 0)
    run.counters.policy_version, run.counters.episodes, run.counters.trained_tokens = 7, 80, 900
    advance(run, "grpo", 2, learner)
    found = latest_checkpoint(run.folder.path)
    assert found.folder.name == "grpo-000002"
    assert found.counters == run.counters == Counters(0, {"grpo": 2}, 2, 7, 80, 900)
    other = Learner(run.policy.model, Optimizer(lr=0.1), 10)
    other.load_state(found.learner)
    assert other.optimizer.state_dict()["state"][0]["step"] == 1
    torch.testing.assert_close(other.state(), learner.state(), rtol=0, atol=0)


def test_a_new_stage_follows_the_end_of_the_last_one(letters_run) -> None:
    run = letters_run()
    advance(run, "cold_start", 4)
    run.counters.stage, run.counters.stage_steps["grpo"] = 1, 0
    save_checkpoint(run, "grpo", 0, None)
    found = latest_checkpoint(run.folder.path)
    assert found.folder.name == "grpo-000000" and found.learner is None


def test_old_checkpoints_go_and_starts_of_stages_stay(letters_run) -> None:
    run = letters_run(checkpoints_kept=2)
    for step in range(5):
        advance(run, "grpo", step)
        assert len(names(run)) <= 3
    assert names(run) == ["grpo-000000", "grpo-000003", "grpo-000004"]


@pytest.mark.parametrize("kill", ["before the counters", "before the rename", "while removing the old one"])
def test_what_a_kill_left_behind_is_ignored(letters_run, kill: str) -> None:
    run = letters_run()
    whole = advance(run, "grpo", 2)
    debris = run.folder.checkpoints / "grpo-000004.partial"
    if kill == "while removing the old one":
        debris = run.folder.checkpoints / "grpo-000001"
    shutil.copytree(whole, debris)
    if kill != "before the rename":
        (debris / "trainer" / "counters.json").unlink()
    else:
        (debris / "trainer" / "counters.json").write_text(json.dumps(Counters(global_step=4).as_json()))
    assert latest_checkpoint(run.folder.path).folder == whole
    # A run that goes on is not disturbed by it either.
    assert advance(run, "grpo", 4).name == "grpo-000004"
    assert latest_checkpoint(run.folder.path).counters.global_step == 4
    run.folder.truncate_after({"grpo": 4}, {"grpo"})
    assert not list(run.folder.path.glob("**/*.partial"))


def test_saving_again_replaces_the_old_one(letters_run) -> None:
    run = letters_run()
    folder = advance(run, "grpo", 0)
    (folder / "left over").touch()
    assert advance(run, "grpo", 0) == folder
    assert not (folder / "left over").exists() and names(run) == ["grpo-000000"]


def test_a_run_without_checkpoints_cannot_be_resumed(letters_run) -> None:
    with pytest.raises(InputError, match="before its first checkpoint"):
        latest_checkpoint(letters_run().folder.path)


# The run folder -----------------------------------------------------------------------------------------------------


def test_an_existing_run_is_refused(letters_run) -> None:
    run = letters_run()
    with pytest.raises(InputError, match=r"a run is there already.*--overwrite"):
        RunFolder.create(run.folder.path, run.recipe)
    with pytest.raises(InputError, match="no run is there"):
        RunFolder.open(run.folder.path / "nothing")
    assert RunFolder.open(run.folder.path).recipe() == run.recipe


def test_what_was_logged_after_a_checkpoint_is_forgotten(letters_run, make_trajectory) -> None:
    run = letters_run()
    folder = run.folder
    rows = [make_trajectory(0, vocabulary=40)]
    for stage, steps in (("cold_start", 4), ("grpo", 6), ("grpo-two", 2)):
        for step in range(1, steps + 1):
            folder.append_metrics(stage, step, {"loss": 0.5})
            folder.write_evaluation(stage, step, {"global_step": step})
            folder.write_trajectories(stage, step, rows, run.codec)
    folder.truncate_after({"cold_start": 4, "grpo": 3}, {"cold_start", "grpo"})
    expected = [("cold_start", step) for step in range(1, 5)] + [("grpo", step) for step in range(1, 4)]
    assert [(line["stage"], line["step"]) for line in folder.metrics()] == expected
    assert sorted((line["stage"], line["step"]) for line in folder.read_evaluations()) == expected
    assert sorted((line["stage"], line["step"]) for line in folder.read_trajectories()) == expected
    assert len(list(folder.trajectories.iterdir())) == len(expected)


def test_trajectories_are_stored_with_roles_and_texts(letters_run, make_trajectory) -> None:
    run = letters_run()
    row = make_trajectory(3, vocabulary=40, turns=2)
    run.folder.write_trajectories("grpo", 1, [row], run.codec)
    (stored,) = run.folder.read_trajectories()
    assert [segment["role"] for segment in stored["segments"]] == ["prompt", "action", "observation", "action"]
    assert [tuple(segment["token_ids"]) for segment in stored["segments"]] == [s.token_ids for s in row.segments]
    assert stored["segments"][1]["logprobs"] == list(row.segments[1].logprobs)
    assert stored["segments"][0]["logprobs"] is None and stored["advantage"] == row.advantage
