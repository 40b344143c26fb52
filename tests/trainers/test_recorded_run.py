"""A training whose tools' traffic was recorded is repeated without the tools, to the last bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolgym.tools.cassettes import Cassette
from toolgym.tools.errors import InputError
from toolgym.trainers.loop import train
from toolgym.trainers.recipe import parse_recipe
from toolgym.trainers.run_folder import RunFolder

TIMES = ("seconds", "tokens_per_second", "hidden_tool_share", "tool_seconds", "queue_seconds")


@pytest.fixture
def recipe(toy_tasks, letters_recipe):
    """Makes a recipe for an environment whose tools say something else every time."""

    def make(**keys: Any):
        few = {"token_budget": 4096, "steps": 2}
        cold = {"kind": "cold_start", "demonstrations": 8, "batch_size": 4, **few}
        grpo = {"kind": "grpo", "tasks_per_step": 2, "group_size": 4, "minibatches": 2, "evaluate_every": 1, **few}
        base = letters_recipe().model_dump(mode="json", exclude={"stage", "scratch"}, exclude_none=True)
        return parse_recipe(
            {
                **base,
                "environment": "tests/Rumours-v0",
                "scratch": {**letters_recipe().scratch.model_dump(), "context": 256},
                "limits": {"max_turn_tokens": 5},
                "workers": 4,
                "trajectories_every": 1,
                "evaluation": {"tasks": 3, "temperature": 0.7},
                "stage": [cold, {**grpo, "optimizer": {"lr": 0.01}}],
                **keys,
            }
        )

    return make


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key.partition("/")[0] not in TIMES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def everything(run: RunFolder) -> dict[str, Any]:
    """All that a run wrote down, timings aside."""
    episodes = [[one.episode_id, one.reward, one.score, one.reward_terms, one.data] for one in run.read_episodes()]
    trajectories = [json.dumps(row) for row in run.read_trajectories()]
    logged = {"metrics": run.metrics(), "evaluations": run.read_evaluations(), "episodes": episodes}
    return {**without_times(logged), "trajectories": trajectories}


def weights(run: RunFolder) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sorted(run.checkpoints.glob("*/model.safetensors"))}


def test_a_recorded_training_is_replayed_to_the_last_bit(recipe, toy_tasks, tmp_path: Path, monkeypatch) -> None:
    tape = str(tmp_path / "tape.jsonl")
    train(recipe(cassette=tape, cassette_mode="record"), tmp_path / "recorded")
    monkeypatch.setattr(toy_tasks.Rumour, "reachable", False)
    train(recipe(cassette=tape, cassette_mode="replay"), tmp_path / "replayed")
    recorded, replayed = RunFolder.open(tmp_path / "recorded"), RunFolder.open(tmp_path / "replayed")
    seen = everything(recorded)
    assert everything(replayed) == seen
    assert weights(replayed) == weights(recorded)
    # The comparison is worth something: tools of both kinds were called, and what they said changed the weights.
    text = json.dumps(seen["episodes"])
    assert "notes" in text and "rumour" in text and len(seen["metrics"]) == 4 and len(seen["evaluations"]) == 3
    assert all(line["calls/ok"] == 16 for line in seen["metrics"] if line["stage"] == "grpo")
    assert len(set(weights(recorded).values())) == 3  # at the start of both stages and at the end
    assert len(seen["episodes"]) == 8 + 2 * 8 and len(Cassette(tape, "replay")) > 20
    monkeypatch.setattr(toy_tasks.Rumour, "reachable", True)
    train(recipe(), tmp_path / "alone")
    other = RunFolder.open(tmp_path / "alone")
    assert weights(other)["grpo-000002"] != weights(recorded)["grpo-000002"]
    assert everything(other)["episodes"] != seen["episodes"]


def test_a_recording_is_continued_after_an_interruption(recipe, toy_tasks, tmp_path: Path, monkeypatch) -> None:
    """With what was recorded so far, a resumed run in mode auto is the one that was never stopped."""
    tape = str(tmp_path / "tape.jsonl")
    settings = {"cassette": tape, "cassette_mode": "auto", "checkpoint_every": 1}
    train(recipe(**settings), tmp_path / "straight")

    class Stop(Exception):
        pass

    class Interrupt:
        def __getattr__(self, name):
            return lambda *arguments: None

        def stepped(self, stage, step, metrics):
            if stage == "grpo" and step == 2:
                raise Stop

    monkeypatch.setattr(toy_tasks.Rumour, "reachable", False)
    with pytest.raises(Stop):
        train(recipe(**settings), tmp_path / "stopped", observer=Interrupt())
    assert len(list((tmp_path / "stopped" / "episodes").iterdir())) >= 2
    train(recipe(**settings), tmp_path / "stopped", resume=True)
    straight, stopped = RunFolder.open(tmp_path / "straight"), RunFolder.open(tmp_path / "stopped")
    assert everything(stopped) == everything(straight) and weights(stopped) == weights(straight)


def test_what_is_logged_after_a_checkpoint_is_forgotten_with_its_episodes(recipe, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", recipe())
    for folder in (run.trajectories, run.episodes):
        for name in ("cold_start-000001", "grpo-000001", "grpo-000002", "later-000001"):
            (folder / f"{name}.jsonl.gz").write_bytes(b"")
    run.truncate_after({"cold_start": 2, "grpo": 1}, {"cold_start", "grpo"})
    kept = ["cold_start-000001.jsonl.gz", "grpo-000001.jsonl.gz"]
    for folder in (run.trajectories, run.episodes):
        assert sorted(path.name for path in folder.iterdir()) == kept
    run.episodes.joinpath(kept[0]).unlink()
    run.episodes.joinpath(kept[1]).unlink()
    run.episodes.rmdir()  # a run of an older version
    run.truncate_after({"cold_start": 2, "grpo": 1}, {"cold_start", "grpo"})
    assert list(run.read_episodes()) == []


def test_a_cassette_that_is_not_there_stops_the_run_before_it_begins(recipe, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; record it first"):
        train(recipe(cassette=str(tmp_path / "none"), cassette_mode="replay"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="cassette_mode"):
        recipe(cassette="x", cassette_mode="rewind")
