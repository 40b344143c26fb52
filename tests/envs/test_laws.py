"""Laws 3 to 6 as properties."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import gymnasium
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import toolgym
from toolgym.envs import Action, Limits, StopReason, ToolEnv
from toolgym.envs.registration import ENTRY_POINTS
from toolgym.tools import ToolCall, ToolResult, ToolStatus

IDS = sorted(ENTRY_POINTS)
SIZE = 20
SHORT = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))

FRAGMENTS = st.sampled_from(
    "<think> </think> <search> </search> <answer> </answer> <information> </information> <result> </result> "
    "<tool_call> </tool_call> <tool_response> </tool_response> <code> </code> <interpreter> </interpreter> ```python "
    "``` ```output Thought 1: Action 1: Observation 1: Search[Alice] Lookup[mother] Finish[yes] \\boxed{ } {} [ ] "
    '{"name":"search","arguments":{"query":"x"}} {"name":1} print(1) print(1/0) \x00 \ud800 <|im_end|> knight'.split()
) | st.sampled_from(["\n", "\n\n", " ", ""])
TEXTS = st.lists(FRAGMENTS | st.text(max_size=8), max_size=14).map("".join) | st.text(max_size=40)
ACTIONS = st.builds(Action, TEXTS, st.sampled_from(["stop", "eos", "length"]))


@pytest.fixture(scope="module")
def envs() -> Any:
    made = {env_id: toolgym.make_env(env_id, size=SIZE, limits=Limits(max_turns=4, max_calls=3)) for env_id in IDS}
    yield made
    for env in made.values():
        env.close()


@pytest.mark.parametrize("env_id", IDS)
@given(seed=st.integers(0, 2**31), actions=st.lists(ACTIONS, min_size=4, max_size=4))
@SHORT
def test_no_text_makes_step_raise(envs: dict[str, ToolEnv], env_id: str, seed: int, actions: list[Action]) -> None:
    env = envs[env_id]
    env.reset(seed=seed)
    for position, action in enumerate(actions):
        observation, reward, terminated, truncated, info = env.step(action)
        json.dumps(info)
        observation.encode("utf-8")
        assert not (terminated and truncated)
        if terminated or truncated:
            reason = StopReason(info["stop_reason"])
            assert env.episode.stop_reason is reason
            assert reason.terminated == terminated
            assert (info["answer"] is not None) == (reason is StopReason.ANSWER)
            assert env.reward_function.minimum <= reward <= env.reward_function.maximum
            assert 0 <= info["score"] <= 1
            break
        assert reward == 0 and "stop_reason" not in info
        assert position < 3, "the fourth turn is the last"
    assert (observation == "") == (env.episode.stop_reason is not None) or observation


@pytest.mark.parametrize("env_id", IDS)
@given(text=TEXTS, before=TEXTS)
@SHORT
def test_what_the_agent_writes_is_never_an_observation(
    envs: dict[str, ToolEnv], env_id: str, text: str, before: str
) -> None:
    env = envs[env_id]
    said = env.action_format.render([ToolCall("search")], [ToolResult(ToolStatus.OK, text)])
    if not said:
        return
    env.reset(seed=0)
    *_, terminated, truncated, info = env.step(before + said)
    assert "forged_observation" in info["faults"]
    if not (terminated or truncated):
        *_, info = env.truncate(StopReason.MAX_TOKENS)
    assert env.reward_function(env.episode).reward == env.reward_function.minimum


def _transcript(env: ToolEnv, seed: int, actions: list[str] | None = None) -> list[Any]:
    policy = env.oracle()
    record: list[Any] = [env.reset(seed=seed)[0]]
    for position in range(6):
        given = actions[position] if actions and position < len(actions) else None
        observation, reward, terminated, truncated, info = env.step(policy(env.episode) if given is None else given)
        record += [observation, float(reward), terminated, truncated, info["faults"]]
        if terminated or truncated:
            break
    return record


@pytest.mark.parametrize("env_id", IDS)
@given(seed=st.integers(0, 2**31), actions=st.lists(TEXTS, max_size=1))
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_same_seed_same_episode_alone_and_interleaved(
    envs: dict[str, ToolEnv], env_id: str, seed: int, actions: list[str]
) -> None:
    env = envs[env_id]
    alone = _transcript(env, seed, actions)
    other, noise = env.spawn(), env.spawn()
    noise.reset(seed=seed + 1)
    noise.step(noise.oracle()(noise.episode))
    assert _transcript(other, seed, actions) == alone
    if noise.episode.stop_reason is None:
        noise.step("interleaved")
    assert _transcript(env, seed, actions) == alone
    for one in (other, noise):
        one.close()


@pytest.mark.parametrize("env_id", IDS)
def test_same_seed_same_episode_in_a_vector(env_id: str) -> None:
    alone = toolgym.make_env(env_id, size=SIZE)
    vector = gymnasium.make_vec(env_id, num_envs=3, vectorization_mode="sync", size=SIZE)
    assert isinstance(vector, gymnasium.vector.SyncVectorEnv)
    observations, infos = vector.reset(seed=40)
    for position in range(3):
        expected, info = alone.reset(seed=40 + position)
        assert observations[position] == expected
        assert infos["task_id"][position] == info["task_id"]
    vector.reset(seed=40)
    actions = tuple(env.unwrapped.oracle()(env.unwrapped.episode) for env in vector.envs)
    observations, rewards, terminated, *_ = vector.step(actions)
    for position in range(3):
        alone.reset(seed=40 + position)
        observation, reward, done, *_ = alone.step(actions[position])
        assert (observations[position], rewards[position], terminated[position]) == (observation, reward, done)
    vector.close()
    alone.close()


PROGRAM = """
import json, sys
import toolgym
out = {}
for env_id in sys.argv[1:]:
    env = toolgym.make_env(env_id, size=20)
    record = [env.reset(seed=77)[0]]
    while env.episode.stop_reason is None:
        observation, reward, terminated, truncated, info = env.step(env.oracle()(env.episode))
        record += [observation, float(reward), terminated, truncated, info["faults"]]
    out[env_id] = record
    env.close()
print(json.dumps(out))
"""


def test_same_seed_same_episode_in_another_process() -> None:
    command = [sys.executable, "-c", PROGRAM, *IDS]
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "7"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
    there = json.loads(done.stdout)
    for env_id in IDS:
        env = toolgym.make_env(env_id, size=SIZE)
        assert there[env_id] == _transcript(env, 77)
        env.close()


def test_numpy_and_python_global_random_states_are_untouched() -> None:
    import random

    import numpy as np

    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    for env_id in IDS:
        env = toolgym.make_env(env_id, size=5)
        _transcript(env, 3)
        env.close()
    assert before == (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[index]
