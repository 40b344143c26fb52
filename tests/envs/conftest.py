from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolgym.envs import ScriptedPolicy, ToolEnv

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def play(env: ToolEnv, policy: ScriptedPolicy, **reset: Any) -> tuple[float, dict[str, Any]]:
    """Plays one episode; returns the final reward and info."""
    env.reset(**reset)
    while True:
        _, reward, terminated, truncated, info = env.step(policy(env.episode))
        assert not (terminated and truncated)
        assert "stop_reason" in info if terminated or truncated else reward == 0
        if terminated or truncated:
            json.dumps(info)
            return reward, info


def evaluate(env: ToolEnv, policy: ScriptedPolicy, limit: int | None = None) -> dict[str, list[float]]:
    """Plays the first tasks of an environment in order; returns scores and rewards."""
    tasks = env.tasks if limit is None else env.tasks.head(limit)
    ends = [play(env, policy, seed=0, options={"task_id": task.id}) for task in tasks]
    return {"scores": [info["score"] for _, info in ends], "rewards": [reward for reward, _ in ends]}


@pytest.fixture(name="play")
def play_fixture() -> Callable[..., tuple[float, dict[str, Any]]]:
    return play


@pytest.fixture(name="evaluate")
def evaluate_fixture() -> Callable[..., dict[str, list[float]]]:
    return evaluate


@pytest.fixture
def data() -> Path:
    if not DATA.is_dir():
        pytest.skip("the public data sets are not beside the checkout")
    return DATA
