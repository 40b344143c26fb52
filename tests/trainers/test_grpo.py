"""The GRPO stage: what a step samples, compares, trains and reports."""

from __future__ import annotations

import copy
import math
from collections import Counter

import pytest
import torch

from toolgym.agents.engines.transformers import TransformersEngine
from toolgym.agents.trajectory import Role
from toolgym.envs.episode import StopReason
from toolgym.trainers.checkpoint import save_checkpoint
from toolgym.trainers.grpo import GrpoStage

DENSE, TROUBLE = "tests/DenseLetters-v0", "tests/Trouble-v0"


@pytest.fixture
def make_stage(letters_run):
    def make(grpo=None, **keys) -> GrpoStage:
        run = letters_run(grpo, **{"environment": DENSE, "limits": {"max_turn_tokens": 6}, **keys})
        save_checkpoint(run, "grpo", 0, None)  # the training loop does so before a stage begins
        return GrpoStage(run, run.recipe.stage[0])

    return make


@pytest.fixture
def scripted(make_stage, make_trajectory, make_outcome):
    """A stage whose last rollout ended as told: (group, reward, stop reason) for each episode, one row or more."""

    def make(endings, grpo=None, rows: int = 1) -> tuple[GrpoStage, dict[str, float]]:
        stage = make_stage({"advantage": "dr_grpo", **(grpo or {})})
        for index, (group, reward, stop) in enumerate(endings):
            outcome = make_outcome(f"e{index}", group, reward, StopReason(stop))
            new = [make_trajectory(10 * index + row, outcome=outcome, row=row) for row in range(rows)]
            for row in new:
                row.advantage, row.trainable = None, outcome.stop_reason is not StopReason.FAILED
            stage.trajectories += new
        return stage, stage._assign_advantages(0)

    return make


def advantages(stage: GrpoStage) -> list[float]:
    return [row.advantage for row in stage.trajectories]


def trained(stage: GrpoStage) -> list[bool]:
    return [row.trainable for row in stage.trajectories]


# Groups and credit -------------------------------------------------------------------------------------------------


def test_the_advantage_is_taken_within_the_group(scripted) -> None:
    stage, metrics = scripted(
        [("a", 1, "answer"), ("b", 10, "answer"), ("a", 0, "answer"), ("b", 30, "answer")], rows=2
    )
    # a: mean 1/2; b: mean 20. Both rows of an episode carry its advantage.
    assert advantages(stage) == [0.5, 0.5, -10, -10, -0.5, -0.5, 10, 10]
    assert metrics["groups"] == 2 and metrics["zero_variance_groups"] == 0 and all(trained(stage))


def test_the_baseline_counts_episodes_and_not_rows(make_stage, make_trajectory, make_outcome) -> None:
    stage = make_stage({"advantage": "dr_grpo"})
    for episode, reward, rows in (("long", 1.0, 3), ("short", 0.0, 1)):
        outcome = make_outcome(episode, "a", reward)
        stage.trajectories += [make_trajectory(row, outcome=outcome, row=row) for row in range(rows)]
    stage._assign_advantages(0)
    assert advantages(stage) == [0.5, 0.5, 0.5, -0.5]  # by rows the mean would be 3/4


def test_groups_without_variance_are_skipped_and_reported(scripted) -> None:
    stage, metrics = scripted([("a", 1, "answer"), ("a", 1, "answer"), ("b", 1, "answer"), ("b", 0, "answer")])
    assert metrics["zero_variance_groups"] == 1 and metrics["groups"] == 2
    assert trained(stage) == [False, False, True, True] and advantages(stage) == [0, 0, 0.5, -0.5]
    kept, _ = scripted([("a", 0.3, "answer"), ("a", 0.1 + 0.2, "answer")], {"advantage": "grpo"})
    assert advantages(kept) == [0, 0]  # float noise is no variance


ENDINGS = [("a", 1, "answer"), ("a", 0, "answer"), ("a", 2, "max_turns"), ("a", 100, "failed")]


def test_failed_episodes_are_left_out_of_the_baseline(scripted) -> None:
    # Of 1, 0 and 2 the mean is 1; with the failed one as 0 it would be 3/4, with its number 103/4.
    stage, _ = scripted(ENDINGS)
    assert advantages(stage) == [0, -1, 1, 0] and trained(stage) == [True, True, True, False]


@pytest.mark.parametrize(
    ("rule", "expected", "carries_loss"),
    [
        ("keep", [0, -1, 1, 0], [True, True, True, False]),
        # In the baseline, but without loss.
        ("mask", [0, -1, 1, 0], [True, True, False, False]),
        # The lowest reward is -2: the mean of 1, 0, -2 is -1/3.
        ("floor", [4 / 3, 1 / 3, -5 / 3, 0], [True, True, True, False]),
        # The mean of 1 and 0.
        ("drop", [0.5, -0.5, 0, 0], [True, True, False, False]),
        # It was played again and ended the same way: as drop.
        ("retry", [0.5, -0.5, 0, 0], [True, True, False, False]),
    ],
)
def test_stop_rules(scripted, rule: str, expected: list[float], carries_loss: list[bool]) -> None:
    stage, _ = scripted(ENDINGS, {"stop_rules": {"max_turns": rule}})
    assert advantages(stage) == pytest.approx(expected) and trained(stage) == carries_loss


def test_a_group_that_lost_all_but_one_teaches_nothing(scripted) -> None:
    stage, _ = scripted([("a", 1, "answer"), ("a", 0, "failed"), ("b", 1, "answer"), ("b", 0, "answer")])
    assert trained(stage) == [False, False, True, True]


def test_filters_only_take_away(scripted) -> None:
    stage, _ = scripted([("a", 1, "answer"), ("a", 0, "answer")])
    stage.trajectories[0].trainable = False
    stage._assign_advantages(0)
    assert trained(stage) == [False, True]


def test_shuffled_rewards_are_the_same_rewards_elsewhere(scripted) -> None:
    rewards = [float(value) for value in range(12)]
    endings = [("ab"[index % 2], reward, "answer") for index, reward in enumerate(rewards)]
    stage, _ = scripted(endings, {"experiment": "shuffled_rewards", "advantage": "dr_grpo"})
    first = advantages(stage)
    plain = [reward - (5 if index % 2 == 0 else 6) for index, reward in enumerate(rewards)]
    assert first != plain
    # In one group of all, what was shuffled can be read off: advantage + mean of 0..11.
    for row in stage.trajectories:
        row.outcome.group_id = "one"
    stage._assign_advantages(0)
    assert sorted(value + 5.5 for value in advantages(stage)) == pytest.approx(rewards)
    again = advantages(stage)
    stage._assign_advantages(0)
    assert advantages(stage) == again  # a function of seed and step
    stage._assign_advantages(1)
    assert advantages(stage) != again


# Sampling ----------------------------------------------------------------------------------------------------------


def test_groups_are_named_and_do_not_depend_on_the_task(make_stage) -> None:
    stage = make_stage({"tasks_per_step": 4, "group_size": 3})  # two tasks: each is drawn twice
    rows = stage._roll_out(5).trajectories
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row.outcome.group_id, []).append(row.outcome.task_id)
    assert sorted(groups) == ["grpo-5-0", "grpo-5-1", "grpo-5-2", "grpo-5-3"]
    assert all(len(tasks) == 3 and len(set(tasks)) == 1 for tasks in groups.values())
    assert len({row.outcome.episode_id for row in rows}) == 12
    assert sorted(tasks[0] for tasks in groups.values()) == ["train-a", "train-a", "train-b", "train-b"]


def test_tasks_are_walked_through_without_repeats(make_stage) -> None:
    options = {"questions": [f"q{index}" for index in range(5)]}
    stage = make_stage({"tasks_per_step": 3}, environment_options=options)
    walked = [task for step in range(5) for task in stage._task_ids(step)]
    everything = sorted(task.id for task in stage.env.tasks)
    epochs = [walked[start : start + 5] for start in (0, 5, 10)]
    assert all(sorted(epoch) == everything for epoch in epochs) and len({tuple(epoch) for epoch in epochs}) > 1
    assert stage._task_ids(2) == walked[6:9]  # whatever was asked before


def test_episodes_of_a_group_differ(make_stage) -> None:
    stage = make_stage({"group_size": 8})
    rows = stage._roll_out(0).trajectories
    assert len({tuple(row.token_ids) for row in rows}) > 8


def test_retry_plays_an_episode_once_more(make_stage) -> None:
    options = {"reason": "max_calls", "times": 2}
    stage = make_stage({"stop_rules": {"max_calls": "retry"}}, environment=TROUBLE, environment_options=options)
    metrics = stage.step(0)
    assert metrics["stop/max_calls"] == 0 and metrics["stop/answer"] == 8
    again = [row.outcome.episode_id for row in stage.trajectories if row.outcome.episode_id.endswith("-again")]
    assert len(again) == 2 and len(stage.trajectories) == 8
    sizes = Counter(row.outcome.group_id for row in stage.trajectories)
    assert sorted(sizes.values()) == [4, 4]


def test_an_infrastructure_failure_is_played_again_and_costs_nothing(make_stage) -> None:
    stage = make_stage(environment=TROUBLE, environment_options={"reason": "failed", "times": 1})
    metrics = stage.step(0)
    assert metrics["retried_episodes"] == 1 and metrics["failed_episodes"] == 0


def test_a_lost_group_does_no_harm(make_stage) -> None:
    """All episodes of one task fail, the very first of the step among them or not."""
    stage = make_stage(environment=TROUBLE, environment_options={"reason": "failed", "times": 1000})
    for step in range(2):
        metrics = stage.step(step)
        assert metrics["failed_episodes"] == 4 and metrics["groups"] == 1 and metrics["trained_tokens"] > 0
        lost = [row for row in stage.trajectories if row.outcome.failed]
        assert len(lost) == 4 and not any(row.trainable for row in lost)


# Training ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.3])
@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_sampler_and_trainer_agree(make_stage, temperature: float, layout: str) -> None:
    """Law 8, temperature included."""
    stage = make_stage({"temperature": temperature, "layout": layout})
    for step in range(2):
        metrics = stage.step(step)
        assert metrics["trained_tokens"] > 20
        assert metrics["sampler_trainer_logprob_difference"] < 1e-5
        assert metrics["sampler_trainer_logprob_difference_max"] < 1e-5
        assert metrics["weight_check_difference"] < 1e-5
        assert metrics["clip_fraction_low"] == metrics["clip_fraction_high"] == 0


def test_recomputed_logprobs_are_the_samplers(make_stage) -> None:
    stage = make_stage({"temperature": 0.7, "old_logprobs": "recomputed"})
    stage.trajectories = stage._roll_out(0).trajectories
    stage._assign_advantages(0)
    rows = stage._rows()
    assert rows
    for row in rows:
        assert row.old_logprobs == pytest.approx(row.sampler_logprobs, abs=1e-5)
        assert [value != 0 for value in row.old_logprobs] == row.trained


class Stubborn(TransformersEngine):
    """Says that it took the new weights, and did not."""

    def load_weights(self, weights, version):
        self.policy_version = version


def test_an_engine_that_keeps_its_old_weights_is_found_out(make_stage) -> None:
    stage = make_stage({"optimizer": {"lr": 0.05}})
    run = stage.run
    run._engine = Stubborn(copy.deepcopy(run.policy.model), run.codec, slots=8)
    with pytest.raises(RuntimeError, match="does not hold the new weights"):
        stage.step(0)


def test_the_engine_has_the_new_weights_after_a_step(make_stage) -> None:
    stage = make_stage({"optimizer": {"lr": 0.05}})
    before = copy.deepcopy(stage.run.policy.model)
    stage.step(0)
    engine = stage.run.engine()
    for old, own, new in zip(
        before.parameters(), engine.model.parameters(), stage.run.policy.model.parameters(), strict=True
    ):
        assert torch.equal(own, new) and not torch.equal(own, old)
    versions = {
        segment.policy_version
        for row in stage._roll_out(1).trajectories
        for segment in row.segments
        if segment.role is Role.ACTION
    }
    assert versions == {1} == {stage.run.counters.policy_version}


def test_kl_is_taken_to_the_policy_at_the_start_of_the_stage(make_stage) -> None:
    stage = make_stage({"kl_coefficient": 0.1, "optimizer": {"lr": 0.01}})
    reference = [parameter.clone() for parameter in stage.reference.model.parameters()]
    divergences = [stage.step(step)["kl"] for step in range(3)]
    assert divergences[0] == pytest.approx(0, abs=1e-10)
    assert divergences[1] > 1e-6 and divergences[2] > 1e-6
    for before, after in zip(reference, stage.reference.model.parameters(), strict=True):
        assert torch.equal(before, after) and not after.requires_grad


def test_without_kl_there_is_no_reference(make_stage) -> None:
    stage = make_stage()
    assert stage.reference is None and "kl" not in stage.step(0)


def test_minibatches_keep_groups_together(make_stage) -> None:
    stage = make_stage({"tasks_per_step": 5, "group_size": 3, "minibatches": 2})
    stage.trajectories = stage._roll_out(0).trajectories
    stage._assign_advantages(0)
    rows = stage._rows()
    groups = {row.outcome.episode_id: row.outcome.group_id for row in stage.trajectories}
    splits = [stage._minibatches(0, epoch, rows) for epoch in range(4)]
    for parts in splits:
        names = [{groups[row.episode_id] for row in part} for part in parts]
        assert len(parts) == 2 and sorted(map(len, names)) == [2, 3] and not names[0] & names[1]
        assert sum(len(part) for part in parts) == len(rows) == 15
    assert len({tuple(row.episode_id for row in parts[0]) for parts in splits}) > 1


def test_several_optimizer_steps_per_rollout(make_stage) -> None:
    stage = make_stage({"tasks_per_step": 4, "minibatches": 2, "epochs": 3, "optimizer": {"lr": 0.03}})
    metrics = stage.step(0)
    assert metrics["optimizer_steps"] == 6
    # Later steps leave the sampler's policy, and only the first is compared with it.
    assert metrics["clip_fraction_low"] + metrics["clip_fraction_high"] > 0
    assert metrics["sampler_trainer_logprob_difference_max"] < 1e-5


def test_a_step_with_nothing_to_learn_changes_nothing(make_stage) -> None:
    stage = make_stage(environment="tests/Letters-v0")  # a random model is never right
    before = [parameter.clone() for parameter in stage.run.policy.model.parameters()]
    metrics = stage.step(0)
    assert metrics["optimizer_steps"] == metrics["trained_tokens"] == 0 and metrics["zero_variance_groups"] == 2
    assert "loss" not in metrics
    for old, new in zip(before, stage.run.policy.model.parameters(), strict=True):
        assert torch.equal(old, new)


def test_the_entropy_bonus_enters_the_loss(make_stage) -> None:
    entropies = []
    for coefficient in (0.0, 0.5):
        stage = make_stage({"entropy_coefficient": coefficient, "optimizer": {"lr": 1e-9}})
        metrics = stage.step(0)
        entropies.append((metrics["loss"], metrics["entropy"]))
    (plain, entropy), (with_bonus, same) = entropies
    assert entropy == pytest.approx(same) and with_bonus == pytest.approx(plain - 0.5 * entropy, abs=1e-5)
    assert 0 < entropy <= math.log(300)


def test_training_observations_is_an_experiment(make_stage) -> None:
    stage = make_stage(
        {"experiment": "train_observations", "old_logprobs": "recomputed", "tasks_per_step": 1},
        environment="tests/DenseSearch-v0",
        environment_options={"prompt": "question", "hops": 1, "k": 1, "size": 10},
        limits={"max_turns": 2, "max_turn_tokens": 8},
        scratch={**stage_scratch(), "context": 512},
    )
    metrics = stage.step(0)
    assert "sampler_trainer_logprob_difference" not in metrics
    observed = sum(
        len(segment.token_ids)
        for row in stage.trajectories
        for segment in row.segments
        if segment.role is not Role.PROMPT
    )
    assert metrics["trained_tokens"] == observed > sum(row.action_token_count for row in stage.trajectories)


def stage_scratch() -> dict[str, int]:
    return {
        "vocabulary": 400,
        "layers": 1,
        "width": 32,
        "heads": 2,
        "key_value_heads": 1,
        "head_width": 16,
        "feed_forward": 64,
    }


def test_bfloat16_takes_a_step(make_stage) -> None:
    stage = make_stage(dtype="bfloat16")
    metrics = stage.step(0)
    assert stage.run.engine().model.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in stage.run.policy.model.parameters()} == {torch.float32}
    assert math.isfinite(metrics["loss"]) and metrics["gradient_norm"] > 0
    assert metrics["sampler_trainer_logprob_difference"] < 0.05
