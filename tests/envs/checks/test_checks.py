"""Each check turns red for the defect that it stops, and for no other."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from toolgym.envs import check_env
from toolgym.envs.checks import CHECKS

atlas: Any = importlib.import_module("atlas")
broken: Any = importlib.import_module("broken_atlas")

NAMES = [check.name for check in CHECKS]
SLOW = ("same_seed_in_another_process", "parse_time", "parser_fuzz")
CASES = [(name, place) for name, envs in broken.BROKEN.items() for place in range(len(envs))]


def red(env: Any, only: list[str]) -> dict[str, str]:
    report = check_env(env, tasks=12, only=only, raise_on_failure=False)
    return {result.name: result.reason for result in report.red}


def test_every_check_has_a_broken_environment() -> None:
    assert list(broken.BROKEN) == NAMES
    assert len(set(NAMES)) == len(NAMES)
    assert all(check.stops and check.seen for check in CHECKS)


def test_all_is_green_where_nothing_is_wrong() -> None:
    report = check_env(atlas.made_by_id(atlas.AtlasEnv))
    assert report.ok and report.gameability == 0
    assert {result.verdict for result in report.results} == {"green"}
    assert report.counts()["green"] == len(CHECKS)


@pytest.mark.parametrize(("name", "place"), CASES, ids=[f"{name}-{place}" for name, place in CASES])
def test_a_defect_turns_its_check_red_and_no_other(name: str, place: int) -> None:
    broken.CountsCopies.made = 0
    env = broken.BROKEN[name][place]()
    only = [other for other in NAMES if other == name or other not in SLOW]
    assert list(red(env, only)) == [name]
