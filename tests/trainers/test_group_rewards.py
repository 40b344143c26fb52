"""Rewards that see a whole group, through the rollout, the advantages, the metrics and what is stored."""

from __future__ import annotations

import gzip
import json
from functools import partial

import pytest
from typer.testing import CliRunner

from toolgym.agents.evaluation import evaluate
from toolgym.agents.group_rewards import apply_group_reward, group_results
from toolgym.agents.replay import rescore
from toolgym.agents.stored_episodes import read_episodes, with_whole_groups
from toolgym.cli import app
from toolgym.envs.episode import Action, Episode, FormatFault, ParsedAction, RewardResult, StopReason, Turn
from toolgym.envs.reward import RewardFunction
from toolgym.envs.task import Task
from toolgym.tools.errors import InputError
from toolgym.trainers.checkpoint import save_checkpoint
from toolgym.trainers.grpo import GrpoStage
from toolgym.trainers.loop import train
from toolgym.trainers.origin import stage_setup
from toolgym.trainers.run_folder import RunFolder

SHORT = "tests/Short-v0"
WRITTEN = {
    # Four right answers of lengths 1, 2, 2, 3; two right ones, both shortest, and two wrong ones.
    "grpo-0-0": ["x", "xx", "xx", "xxx"],
    "grpo-0-1": ["yy", "no", "yy", ""],
}


def replies(request):
    """What the engine writes: fixed texts by group and member, whichever task the group has."""
    group, _, member = request.id.partition("/")[0].rpartition("-")
    first = request.episode.task.answers[0]
    text = WRITTEN[group][int(member)].replace("x", first).replace("y", first)
    return [257] * max(1, len(text)), text, "eos"


@pytest.fixture
def stage(letters_run, toys):
    """A stage over `Short` whose engine writes what it is told."""

    def make(grpo=None) -> GrpoStage:
        run = letters_run({"advantage": "dr_grpo", "skip_zero_variance": False, **(grpo or {})}, environment=SHORT)
        save_checkpoint(run, "grpo", 0, None)
        stage = GrpoStage(run, run.recipe.stage[0])
        run._engine = toys.ReplayEngine(replies)
        run._engine_version = run.counters.policy_version
        stage.trajectories = stage._roll_out(0).trajectories
        return stage

    return make


def test_rewards_and_advantages_by_hand(stage) -> None:
    made = stage()
    made._judge_groups()
    metrics = made._assign_advantages(0)
    rewards = {row.outcome.episode_id: row.outcome.reward for row in made.trajectories}
    # The only shortest one earns 2, the others that are right 1: mean 5/4. Both shortest ones 2, wrong ones 0: mean 1.
    assert list(rewards.values()) == [2, 1, 1, 1, 2, 0, 2, 0]
    advantages = [row.advantage for row in made.trajectories]
    assert advantages == [0.75, -0.25, -0.25, -0.25, 1, -1, 1, -1] and metrics["groups"] == 2
    terms = [dict(row.outcome.reward_terms) for row in made.trajectories]
    assert terms[0] == {"right": 1.0, "shortest": 1.0} and terms[1] == {"right": 1.0} and terms[5] == {"right": 0.0}


def test_a_real_step_trains_on_what_the_group_earned(letters_run) -> None:
    # Every answer begins with nothing and is right; one that begins with x hardly comes up.
    options = {"begins": ["", "x"]}
    run = letters_run({"group_size": 8}, environment=SHORT, environment_options=options, limits={"max_turn_tokens": 3})
    save_checkpoint(run, "grpo", 0, None)
    stage = GrpoStage(run, run.recipe.stage[0])
    metrics = stage.step(0)
    groups: dict[str, list] = {}
    for row in stage.trajectories:
        groups.setdefault(row.outcome.group_id, []).append(row)
    for rows in groups.values():
        answers = [row.outcome.answer for row in rows]
        right = [answer for answer, row in zip(answers, rows, strict=True) if row.outcome.score]
        for answer, row in zip(answers, rows, strict=True):
            least = bool(right) and len(answer) == min(map(len, right))
            assert row.outcome.reward == (0 if not row.outcome.score else 2 if least else 1)
    rewards = [row.outcome.reward for row in stage.trajectories]
    assert {1, 2} <= set(rewards) and metrics["reward_mean"] == pytest.approx(sum(rewards) / 16)
    assert metrics["trained_tokens"] > 0 and metrics["optimizer_steps"] == 1


def test_dropped_and_failed_episodes_are_not_seen(stage, make_outcome, make_trajectory) -> None:
    made = stage({"stop_rules": {"max_turns": "drop", "max_tokens": "floor"}})
    made.trajectories = []
    ends = [("x", "max_turns"), ("xx", "answer"), ("xxx", "answer"), ("x", "failed"), ("xxxx", "max_tokens")]
    for index, (answer, stop) in enumerate(ends):
        outcome = make_outcome(f"e{index}", "g", 1.0, StopReason(stop))
        turn = Turn(Action(answer), ParsedAction(answer, answer=answer))
        outcome.episode = Episode(Task("t", "?", ("x",)), "p", [], [turn], StopReason(stop))
        made.trajectories.append(make_trajectory(index, outcome=outcome))
    made._judge_groups()
    outcomes = [row.outcome for row in made.trajectories]
    assert [one.compared for one in outcomes] == [False, True, True, False, True]
    assert [one.reward for one in outcomes] == [1, 2, 1, 1, 1]
    made._assign_advantages(0)
    # The floor is -1: of 2, 1 and -1 the mean is 2/3.
    assert [row.advantage for row in made.trajectories] == pytest.approx([0, 4 / 3, 1 / 3, 0, -5 / 3])


def episode(answer: str, forged: bool = False) -> Episode:
    faults = (FormatFault.FORGED_OBSERVATION,) if forged else ()
    turn = Turn(Action(answer), ParsedAction(answer, answer=answer, faults=faults))
    return Episode(Task("t", "?", ("x",)), "p", [], [turn], StopReason.ANSWER)


def test_groups_are_told_apart_and_results_stay_in_order(toy_tasks) -> None:
    reward = RewardFunction("r", lambda one: RewardResult(1.0), maximum=2, group=toy_tasks.shortest_first)
    episodes = [episode(answer) for answer in ("xx", "x", "xxx", "xx")]
    results = [RewardResult(1.0)] * 4
    assert [one.reward for one in group_results(reward, ["a", "b", "a", "b"], episodes, results)] == [2, 2, 1, 1]
    plain = RewardFunction("r", lambda one: RewardResult(1.0))
    assert group_results(plain, ["a"] * 4, episodes, results) == results
    forged = [episode("x", forged=True), *episodes[:2]]
    judged = group_results(reward, ["a"] * 3, forged, [RewardResult(0.0), *results[:2]])
    assert [one.reward for one in judged] == [0, 1, 2]


def test_episodes_without_a_group_are_left_alone(toy_tasks, make_outcome) -> None:
    reward = RewardFunction("r", lambda one: RewardResult(1.0), maximum=2, group=toy_tasks.shortest_first)
    outcomes = [make_outcome("a", "", 1.0), make_outcome("b", "g", 1.0)]
    for outcome in outcomes:
        outcome.episode = episode("x")
    apply_group_reward(reward, outcomes)
    assert [one.reward for one in outcomes] == [1, 2]


def test_an_evaluation_compares_the_samples_of_a_task(toy_tasks, toys, codec_of_text) -> None:
    env = toy_tasks.Short()
    texts = {"train-x": ["xxx", "x", "no"], "train-y": ["yy", "yy", "y"]}

    def write(request):
        task_id, _, sample = request.id.partition("/")[0].partition("#")
        return codec_of_text.encode_text("a"), texts[task_id][int(sample)], "eos"

    result = evaluate(toys.ReplayEngine(write), codec_of_text, env, samples=3)
    assert [record.reward for record in result.records] == [1, 2, 0, 1, 1, 2]
    assert result.reward == pytest.approx(7 / 6) and result.outcomes == []


@pytest.fixture
def codec_of_text():
    from toolgym.agents import TextCodec

    return TextCodec()


def test_whole_groups_are_stored(stage, tmp_path) -> None:
    made = stage()
    made._judge_groups()
    stored = with_whole_groups(made.trajectories, 2)
    assert [one.episode_id for one in stored] == [f"grpo-0-0-{member}" for member in range(4)]
    assert with_whole_groups(made.trajectories, 0) == []
    made.trajectories[1].outcome.compared = False
    made.run.folder.write_episodes("grpo", 1, stored)
    read = list(made.run.folder.read_episodes())
    assert [(one.stage, one.step, one.group_id) for one in read] == [("grpo", 1, "grpo-0-0")] * 4
    assert [one.reward for one in read] == [2, 1, 1, 1] and [one.compared for one in read] == [True, False, True, True]
    assert [one.episode().answer for one in read] == [one.answer for one in stored]


@pytest.mark.parametrize("damage", ["cut", "text", "format", "field"])
def test_a_damaged_file_is_named_with_its_line(stage, damage: str) -> None:
    made = stage()
    made.run.folder.write_episodes("grpo", 1, with_whole_groups(made.trajectories, 8))
    (path,) = made.run.folder.episodes.iterdir()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        data = json.loads(lines[1])
        changed = {"text": "{", "format": json.dumps({**data, "format": 9}), "field": json.dumps({"format": 1})}
        path.write_bytes(gzip.compress("\n".join([lines[0], changed[damage]]).encode()))
    with pytest.raises(InputError, match=r"grpo-000001.jsonl.gz, line [0-9]"):
        list(read_episodes([path]))


# A run, scored again -------------------------------------------------------------------------------------------------


@pytest.fixture
def run(letters_recipe, tmp_path) -> RunFolder:
    """A run of three steps whose reward compares the answers of a group; every answer is right, in both stages."""
    options = {"begins": ["", " "]}
    stages = [
        {"kind": "cold_start", "steps": 1, "demonstrations": 2, "batch_size": 2, "environment_options": options},
        {"kind": "grpo", "steps": 3, "tasks_per_step": 2, "group_size": 5, "environment_options": options},
    ]
    keys = {"environment": SHORT, "stage": stages, "limits": {"max_turn_tokens": 4}, "trajectories_every": 2}
    return RunFolder(train(letters_recipe(**keys, trajectories_stored=3), tmp_path / "run").folder)


def test_a_run_is_scored_again_with_its_groups(run: RunFolder) -> None:
    stored = list(run.read_episodes())
    # Two demonstrations, and whole groups after the first step and the last.
    assert [(one.stage, one.step) for one in stored] == [("cold_start", 1)] * 2 + [("grpo", 1)] * 5 + [("grpo", 3)] * 5
    assert {one.reward for one in stored if one.stage == "grpo"} >= {1, 2}
    again = rescore(stored, partial(stage_setup, run.recipe()))
    assert again.reward_name == "short" and again.changed == []
    assert [one.terms for one in again.episodes] == [one.reward_terms for one in stored]
    other = rescore(stored, partial(stage_setup, run.recipe()), "exact_match")
    assert {one.reward for one in other.episodes} <= {0, 1} and len(other.changed) >= 2


def test_the_command_finds_a_run_under_the_runs_folder(run: RunFolder) -> None:
    command = ["replay", "run", "--runs-folder", str(run.path.parent), "--json"]
    found = json.loads(CliRunner().invoke(app, command).stdout)
    assert (found["episodes"], found["changed"], found["run"]) == (12, 0, str(run.path))
    with pytest.raises(InputError, match="no stage 'other'; it has cold_start, grpo"):
        stage_setup(run.recipe(), "other")
