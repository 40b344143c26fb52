"""Each canary wins where its cheat works, and the figures of a trial are those counted by hand."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from toolgym.envs import RewardFunction, RewardResult, check_env
from toolgym.envs.checks import CANARIES, Trial
from toolgym.envs.checks.laws import ceiling_of
from toolgym.envs.checks.trials import chance_of, gain_of

atlas: Any = importlib.import_module("atlas")
CHEATED: Any = importlib.import_module("cheated_atlas").CHEATED

NAMES = [canary.name for canary in CANARIES]


def trials(env: Any, only: list[str], tasks: int = 12) -> dict[str, Trial]:
    report = check_env(env, tasks=tasks, only=only, raise_on_failure=False)
    return {trial.canary: trial for trial in report.trials}


def test_every_canary_has_an_environment_that_it_cheats() -> None:
    assert list(CHEATED) == NAMES
    assert all(canary.tries for canary in CANARIES)


def test_no_canary_wins_where_nothing_is_wrong() -> None:
    played = trials(atlas.AtlasEnv(), ["canaries"])
    assert all(trial.ok for trial in played.values())
    # Each city is the answer of one task, so that no answer is common.
    assert [name for name, trial in played.items() if not trial.episodes] == ["best_constant"]
    assert {trial.score for trial in played.values()} == {0.0}


@pytest.mark.parametrize("name", NAMES)
def test_a_canary_wins_where_its_cheat_works(name: str) -> None:
    trial = trials(CHEATED[name](), [name])[name]
    assert not trial.ok and trial.reason
    assert trial.gain > 0.3


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("empty",)])
def test_it_is_the_cheat_that_wins_and_not_idleness(name: str) -> None:
    assert trials(CHEATED[name](), ["empty"])["empty"].ok


def test_the_figures_of_a_trial() -> None:
    # Half a point for a search before the answer, whatever it is: the oracle's two turns with a wrong answer earn 0.5
    # in each of the 12 tasks, after one call, where the ceiling of a wrong answer is 0.
    trial = trials(CHEATED["well_formed_nonsense"](), ["well_formed_nonsense"])["well_formed_nonsense"]
    assert (trial.episodes, trial.score, trial.reward, trial.wrong_reward, trial.calls) == (12, 0.0, 0.5, 0.5, 1.0)
    assert trial.gain == 0.5
    assert trial.reason == "earns 0.5 for a wrong answer, the ceiling is 0"


def test_chance() -> None:
    # Two coins: both heads 1/4, at least one 3/4.
    assert chance_of(2, 2, 0.5) == 0.25
    assert chance_of(1, 2, 0.5) == 0.75
    assert chance_of(0, 5, 0.0) == 1.0
    assert chance_of(0.5, 5, 0.0) == 0.0
    assert chance_of(3, 5, 1.0) == 1.0
    # A score of 1.5 in three tasks is as rare as 2 right ones: 3 * 0.1**2 * 0.9 + 0.1**3.
    assert chance_of(1.5, 3, 0.1) == pytest.approx(0.028)


def test_a_score_that_luck_explains_is_no_win() -> None:
    env = CHEATED["best_constant"]()
    env.guess_rate = 0.9
    trial = trials(env, ["best_constant"])["best_constant"]
    assert trial.ok and trial.gain == 0  # 11 of 12 right, where 10.8 are expected
    env.guess_rate = 0.2
    trial = trials(env, ["best_constant"])["best_constant"]
    assert trial.score == pytest.approx(11 / 12)
    assert trial.gain == pytest.approx((11 / 12 - 0.2) / 0.8)


def test_gain_is_a_share_of_what_honest_play_is_worth() -> None:
    env = atlas.AtlasEnv()
    env.reward_function = RewardFunction("r", lambda episode: RewardResult(0.0), -1.0, 3.0, 1.0)
    env.guess_rate = 0.5
    assert gain_of(env, 0.75, 0.0) == 0.5  # half the way from 0.5 to 1
    assert gain_of(env, 0.25, 0.0) == 0.0
    assert gain_of(env, 0.0, 0.25) == 0.125  # a quarter above 1, where 3 is the highest
    env.guess_rate = 1.0
    assert gain_of(env, 1.0, 0.0) == 0.0


def test_a_partly_right_answer_may_earn_its_share() -> None:
    env = atlas.AtlasEnv()
    env.reward_function = RewardFunction("r", lambda episode: RewardResult(0.0), 0.0, 1.0, 0.1)
    assert ceiling_of(env, {"reward_terms": {}}) == 0.1
    assert ceiling_of(env, {"reward_terms": {"f1": 0.5}}) == pytest.approx(0.55)  # half the way from 0.1 to 1
