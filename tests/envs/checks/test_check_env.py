"""`check_env`: what it takes, returns and raises."""

from __future__ import annotations

import importlib
import json
from typing import Any

import gymnasium as gym
import pytest

from toolgym.envs import CheckReport, check_env
from toolgym.envs.checks import CANARIES, CHECKS, CheckResult, ChecksFailed, Trial
from toolgym.tools import InputError, ToolUnavailable

atlas: Any = importlib.import_module("atlas")
broken: Any = importlib.import_module("broken_atlas")


def test_it_raises_for_what_is_red_and_says_all_of_it() -> None:
    with pytest.raises(ChecksFailed) as raised:
        check_env(broken.BothFlags(), only=["endings", "rewards", "empty"])
    report = raised.value.report
    assert isinstance(raised.value, AssertionError)
    assert [result.name for result in report.red] == ["endings"]
    assert str(raised.value).splitlines() == [
        "BothFlags: 1 of its checks and canaries are red",
        "check endings: after turn 5 of silence: terminated and truncated are both True",
    ]


def test_it_returns_the_report_where_nothing_is_red() -> None:
    report = check_env(atlas.AtlasEnv(), only=["endings", "empty"])
    assert isinstance(report, CheckReport) and report.ok
    assert report.summary() == "AtlasEnv: nothing is wrong"
    report.raise_if_failed()


def test_a_report_is_json() -> None:
    report = check_env(broken.BothFlags(), only=["endings", "fork", "canaries"], tasks=3, raise_on_failure=False)
    document = json.loads(json.dumps(report.as_json()))
    assert document["environment"] == "BothFlags" and document["ok"] is False
    assert (document["action_format"], document["reward"], document["tasks"]) == ("search_r1", "capital", 3)
    assert document["counts"] == {
        "green": 1,
        "red": 1,
        "skipped": 0,
        "canaries_quiet": len(CANARIES) - 1,
        "canaries_won": 0,
        "canaries_skipped": 1,  # best_constant: no answer is common to several of the 12 tasks
    }
    assert [check["verdict"] for check in document["checks"]] == ["red", "green"]
    assert document["canaries"][0]["canary"] == "empty"


def test_it_takes_ids_with_options() -> None:
    report = check_env("toolgym/SearchQA-v0", size=5, only=["task_ids"], tasks=9)
    assert (report.environment, report.tasks) == ("toolgym/SearchQA-v0", 5)


def test_it_takes_wrapped_environments_and_leaves_their_episode_alone() -> None:
    env = atlas.AtlasEnv()
    env.reset(seed=1)
    episode = env.episode
    check_env(gym.wrappers.TimeLimit(env, 3), only=["endings", "spawn_shares_no_episode", "double_close"])
    assert env.episode is episode and episode.stop_reason is None
    assert not env.step("Well, well.")[2]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"only": ["fokr"]}, "did you mean 'fork'"),
        ({"tasks": 0}, "at least 1"),
        ({"size": 3}, "size"),
    ],
)
def test_wrong_input(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        check_env(atlas.AtlasEnv(), **arguments)


def test_options_that_do_not_fit_together_are_no_verdict() -> None:
    with pytest.raises(InputError, match="token_count"):
        check_env("toolgym/SearchQA-v0", size=5, reward="lcpo_max")


def test_other_environments_are_referred_to_gymnasiums_checker() -> None:
    with pytest.raises(InputError, match=r"CartPoleEnv is no ToolEnv; gymnasium.utils.env_checker"):
        check_env(gym.make("CartPole-v1"))


def test_results_are_told_as_they_come() -> None:
    told: list[CheckResult | Trial] = []
    check_env(atlas.AtlasEnv(), only=["fork", "empty"], progress=told.append)
    assert [type(one).__name__ for one in told] == ["CheckResult", "Trial"]


def test_the_same_seed_gives_the_same_report() -> None:
    def figures() -> Any:
        report = check_env(atlas.AtlasEnv(), only=["canaries", "oracle", "parser_fuzz"], seed=7)
        return [(one.name, one.verdict, one.reason) for one in report.results], report.trials

    assert figures() == figures()


class Stumbles(atlas.AtlasEnv):  # type: ignore[misc]
    def step(self, action):  # type: ignore[no-untyped-def]
        raise ZeroDivisionError("no luck")


def test_an_exception_is_red_and_names_its_place() -> None:
    report = check_env(Stumbles(), only=["endings", "empty"], raise_on_failure=False)
    assert report.red[0].reason.startswith("ZeroDivisionError: no luck in Stumbles.step (test_check_env.py:")
    assert not report.trials[0].ok and "Stumbles.step" in report.trials[0].reason


class Unplugged(atlas.AtlasEnv):  # type: ignore[misc]
    def step(self, action):  # type: ignore[no-untyped-def]
        raise ToolUnavailable("the server is gone")


def test_a_dead_machine_is_no_verdict() -> None:
    with pytest.raises(ToolUnavailable):
        check_env(Unplugged(), only=["endings"])


class Silent(atlas.AtlasEnv):  # type: ignore[misc]
    def oracle(self):  # type: ignore[no-untyped-def]
        raise NotImplementedError


def test_without_an_oracle_what_needs_one_is_skipped() -> None:
    report = check_env(Silent())
    assert {result.name: result.reason for result in report.results if result.verdict == "skipped"} == {
        "same_seed_in_another_process": "made by hand: without an id another process cannot make it",
        "oracle": "the environment has no oracle",
    }
    untried = {trial.canary for trial in report.trials if not trial.episodes}
    assert untried == {"best_constant", "every_phrase", "well_formed_nonsense"}


def test_what_builds_on_a_red_check_is_skipped() -> None:
    report = check_env(broken.IgnoresSeeds(), only=["same_seed_alone", "fork", "endings"], raise_on_failure=False)
    assert [(result.name, result.verdict) for result in report.results] == [
        ("endings", "green"),
        ("same_seed_alone", "red"),
        ("fork", "skipped"),
    ]
    assert report.results[2].reason == "same_seed_alone must be green first"


def test_what_a_check_needs_comes_before_it() -> None:
    names = [check.name for check in CHECKS]
    assert all(names.index(need) < names.index(check.name) for check in CHECKS for need in check.needs)
