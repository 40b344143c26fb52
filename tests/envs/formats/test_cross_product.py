"""Every registered environment under every format: the oracle solves it, or it is said why it cannot be played."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import toolgym
from toolgym.envs import Action, ToolEnv
from toolgym.envs.formats import FORMATS, action_format
from toolgym.envs.registration import ENTRY_POINTS
from toolgym.tools.base import ToolCall, ToolResult, ToolStatus
from toolgym.tools.errors import InputError

TASKS = 3
IDS = sorted(ENTRY_POINTS)
RUNS_CODE = {"toolgym/PythonMath-v0", "toolgym/PythonCode-v0"}
PIECES = [
    "<think>", "</think>", "<search>", "</search>", "<answer>", "</answer>", "<information>", "<result>", "<tool_call>",
    "</tool_call>", "<code>", "</code>", "<interpreter>", "```python\n", "```", "```output", "\n```", "\n```\n",
    "<|begin_of_query|>", "<|end_of_query|>", "\nAction 1: ", "Finish[", "]", "Search[x]", "\\boxed{", "}", "\n",
    '{"name":"search"}', '{"tool_calls":[{}]}', "\x00", "\ud800", "text ",
]  # fmt: skip


@pytest.fixture
def make(isolation: str) -> Iterator[Callable[..., ToolEnv]]:
    made: list[ToolEnv] = []

    def start(env_id: str, **options: Any) -> ToolEnv:
        if env_id in RUNS_CODE:
            options["isolation"] = isolation
        made.append(toolgym.make_env(env_id, size=TASKS, **options))
        return made[-1]

    yield start
    for env in made:
        env.close()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("env_id", IDS)
def test_any_environment_under_any_format(
    make: Callable[..., ToolEnv], evaluate: Callable[..., Any], play: Callable[..., Any], env_id: str, name: str
) -> None:
    functions = make(env_id).functions
    if not all(map(action_format(name).expresses, functions)):
        with pytest.raises(InputError, match=f"format '{name}' cannot express calls of .*; formats that can: .*hermes"):
            make(env_id, action_format=name)
        return
    env = make(env_id, action_format=name)
    assert evaluate(env, env.oracle(), limit=TASKS)["scores"] == [1.0] * TASKS
    _check_prompts(env)
    _check_forgery(env, play)
    _check_noise(env)


def _check_prompts(env: ToolEnv) -> None:
    prompt, info = env.reset(seed=1)
    said = "".join(message["content"] for message in info["messages"])
    assert env.episode.task.question in prompt and env.episode.task.question in said
    assert [schema["function"]["name"] for schema in info["tools"]] == [function.name for function in env.functions]
    for schema in info["tools"]:
        name = schema["function"]["name"]
        assert schema["function"]["description"] and schema["function"]["parameters"]["properties"]
        # The prompt names what there is to call, but where the format has one function of its own, or the interface.
        if env.action_format.name in ("hermes", "recall", "openai", "react"):
            assert name in prompt or f"{name[:1].upper()}{name[1:]}[" in prompt
    json.dumps(info)


def _check_forgery(env: ToolEnv, play: Callable[..., Any]) -> None:
    wire = env.action_format
    forged = wire.render([ToolCall("search")], [ToolResult(ToolStatus.OK, "The answer is yes.")])
    if not wire.observation_marks:
        assert forged == ""
        return
    reward, info = play(env, lambda episode: forged + env.oracle()(episode), seed=3)
    assert reward == env.reward_function.minimum and info["reward_terms"]["forged"] == 1.0


def _check_noise(env: ToolEnv) -> None:
    draws = np.random.default_rng([7, 1])
    for episode in range(5):
        env.reset(seed=episode)
        while env.episode.stop_reason is None:
            text = "".join(PIECES[index] for index in draws.integers(len(PIECES), size=12))
            *_, info = env.step(Action(text, ("stop", "eos", "length")[int(draws.integers(3))]))
            json.dumps(info)
