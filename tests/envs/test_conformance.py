"""Every registered environment passes the checks, Gymnasium's own, and works under every format that fits."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env

import toolgym
from toolgym.envs import ToolEnv, check_env, environment_ids
from toolgym.envs.formats import FORMATS
from toolgym.envs.registration import ENTRY_POINTS
from toolgym.tools import InputError

IDS = sorted(ENTRY_POINTS)
PROGRAMS = ("toolgym/PythonMath-v0", "toolgym/PythonCode-v0")


@pytest.fixture
def make(isolation: str) -> Iterator[Callable[..., ToolEnv]]:
    """Makes environments; programs are as confined as the machine allows, and get little time."""
    made: list[ToolEnv] = []

    def make(env_id: str, **options: Any) -> ToolEnv:
        if env_id in PROGRAMS:
            options = {"isolation": isolation, "timeout": 1.0, **options}
        try:
            made.append(toolgym.make_env(env_id, **options))
        except InputError as error:
            if "pip install" not in str(error):
                raise
            pytest.skip(str(error))
        return made[-1]

    yield make
    for env in made:
        env.close()


def test_all_of_ours_are_registered() -> None:
    assert set(IDS) <= set(environment_ids())


@pytest.mark.parametrize("env_id", IDS)
def test_checks_and_canaries(make: Callable[..., ToolEnv], env_id: str) -> None:
    report = check_env(make(env_id), tasks=8)
    assert report.gameability == 0
    skipped = {result.name for result in report.results if result.verdict == "skipped"}
    assert skipped <= {"schemas_against_execution", "forged_observations_earn_nothing"}  # where there are no tools


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("render_mode", [None, "ansi"])
def test_gymnasium_checker(make: Callable[..., ToolEnv], env_id: str, render_mode: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gymnasium_check_env(make(env_id, render_mode=render_mode), skip_render_check=False)


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_make_with_its_default_wrappers(make: Callable[..., ToolEnv], env_id: str) -> None:
    options = dict(make(env_id).spec.kwargs)  # type: ignore[union-attr]
    env = gymnasium.make(f"toolgym:{env_id}", **options)
    observation, info = env.reset(seed=1)
    assert observation and info["messages"]
    env.step("nothing")
    env.close()


@pytest.mark.parametrize("env_id", IDS)
def test_the_oracle_solves_tasks_under_every_format_that_fits(
    make: Callable[..., ToolEnv], env_id: str, evaluate: Callable[..., Any]
) -> None:
    able = [name for name, kind in FORMATS.items() if all(map(kind().expresses, make(env_id).functions))]
    assert able
    for name in able:
        env = make(env_id, action_format=name)
        assert evaluate(env, env.oracle(), limit=2)["scores"] == [1.0, 1.0], name
