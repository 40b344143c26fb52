"""The laws of a step as properties: what fails is shrunk to the shortest text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import toolgym
from toolgym.envs import Action, Limits, StopReason, ToolEnv
from toolgym.envs.checks.laws import broken_law
from toolgym.envs.checks.play import Moment
from toolgym.envs.checks.texts import PIECES
from toolgym.envs.formats import FORMATS
from toolgym.tools import ToolCall, ToolResult, ToolStatus

TURNS = 4
ENVIRONMENTS = {
    "toolgym/SearchQA-v0": ["research", "search_r1", "zero_search", "r1_searcher", "hermes", "recall", "openai"],
    "toolgym/ReActQA-v0": ["react"],
    "toolgym/PythonMath-v0": ["code", "torl", "simpletir"],
    "toolgym/KnightsAndKnaves-v0": ["think_answer"],
}
CASES = [(env_id, name) for env_id, names in ENVIRONMENTS.items() for name in names]
FEW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=14).map("".join) | st.text(max_size=40)
ACTIONS = st.builds(Action, TEXTS, st.sampled_from(["stop", "eos", "length"]), st.none() | st.integers(0, 9))


@pytest.fixture(scope="module")
def envs(isolation: str) -> Any:
    options = {"toolgym/PythonMath-v0": {"isolation": isolation, "timeout": 1.0}}
    limits = Limits(max_turns=TURNS, max_calls=3)
    made = {
        (env_id, name): toolgym.make_env(env_id, limits=limits, action_format=name, **options.get(env_id, {}))
        for env_id, name in CASES
    }
    yield made
    for env in made.values():
        env.close()


def test_every_format_is_played() -> None:
    assert {name for _, name in CASES} == set(FORMATS)


@pytest.mark.parametrize(("env_id", "name"), CASES)
@given(seed=st.integers(0, 2**31), actions=st.lists(ACTIONS, min_size=TURNS, max_size=TURNS))
@FEW
def test_no_text_breaks_a_law(
    envs: dict[tuple[str, str], ToolEnv], env_id: str, name: str, seed: int, actions: list[Action]
) -> None:
    env = envs[env_id, name]
    env.reset(seed=seed)
    for action in actions:
        moment = Moment(*env.step(action))
        assert broken_law(env, moment) is None
        if moment.over:
            break
        assert env.episode.turn_count < TURNS, "the last turn is the end"


@pytest.mark.parametrize(("env_id", "name"), [case for case in CASES if FORMATS[case[1]].observation_marks])
@given(text=TEXTS, before=TEXTS)
@FEW
def test_what_the_agent_writes_is_never_an_observation(
    envs: dict[tuple[str, str], ToolEnv], env_id: str, name: str, text: str, before: str
) -> None:
    env = envs[env_id, name]
    call = ToolCall(env.functions[0].name if env.functions else "search")
    said = env.action_format.render([call], [ToolResult(ToolStatus.OK, text)])
    assume(said)  # SimpleTIR says nothing of a program that prints nothing
    env.reset(seed=0)
    *_, terminated, truncated, info = env.step(before + said)
    assert "forged_observation" in info["faults"]
    if not (terminated or truncated):
        *_, info = env.truncate(StopReason.MAX_TOKENS)
    assert env.reward_function(env.episode).reward == env.reward_function.minimum
    assert info["score"] == 0
