"""Every registered environment keeps the contract."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

import toolgym
from toolgym.envs import Episode, StopReason, ToolEnv, environment_ids
from toolgym.envs.registration import ENTRY_POINTS
from toolgym.tools import ToolCall, ToolResult, ToolStatus

TASKS = 30
IDS = sorted(ENTRY_POINTS)
OPTIONS: dict[str, dict[str, Any]] = {"toolgym/KnightsAndKnaves-v0": {"n_people": 4}}
FORMATS = {
    "toolgym/SearchQA-v0": ["search_r1", "research", "hermes"],
    "toolgym/PythonMath-v0": ["code", "hermes"],
    "toolgym/ReActQA-v0": ["react", "hermes"],
    "toolgym/ReActFever-v0": ["react", "hermes"],
    "toolgym/KnightsAndKnaves-v0": ["think_answer"],
    "toolgym/Countdown-v0": ["hermes", "react"],
    "toolgym/Game24-v0": ["hermes", "react"],
    "toolgym/Mastermind-v0": ["hermes", "react"],
    "toolgym/Minesweeper-v0": ["hermes", "react"],
    "toolgym/Hanoi-v0": ["hermes", "react"],
    "toolgym/ShortestPath-v0": ["hermes", "react"],
}


def make(env_id: str, **options: Any) -> ToolEnv:
    return toolgym.make_env(env_id, **{"size": TASKS, **OPTIONS.get(env_id, {}), **options})


@pytest.fixture(autouse=True, scope="module")
def _code_runs_as_confined_as_the_machine_allows(isolation: str) -> None:
    OPTIONS["toolgym/PythonMath-v0"] = {"isolation": isolation}


@pytest.fixture(params=IDS)
def env(request: pytest.FixtureRequest) -> Any:
    env = make(request.param)
    yield env
    env.close()


def test_all_of_ours_are_registered() -> None:
    assert set(IDS) <= set(environment_ids())
    assert set(FORMATS) == set(IDS)


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("render_mode", [None, "ansi"])
def test_gymnasium_checker(env_id: str, render_mode: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make(env_id, render_mode=render_mode)
        check_env(env, skip_render_check=False)
        env.close()


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_make_with_its_default_wrappers(env_id: str) -> None:
    env = gymnasium.make(f"toolgym:{env_id}", **{**OPTIONS.get(env_id, {}), "size": 3})
    observation, info = env.reset(seed=1)
    assert observation and info["messages"]
    *_, info = env.step("nothing")
    env.close()


@pytest.mark.parametrize("env_id, name", [(env_id, name) for env_id in IDS for name in FORMATS[env_id]])
def test_the_oracle_solves_everything(env_id: str, name: str, evaluate: Callable[..., Any]) -> None:
    env = make(env_id, action_format=name)
    result = evaluate(env, env.oracle())
    assert result["scores"] == [1.0] * TASKS
    if name == FORMATS[env_id][0]:
        assert result["rewards"] == [env.reward_function.maximum] * TASKS
    env.close()


def _answer(env: ToolEnv, answer: str, episode: Episode) -> str:
    return env.action_format.write_answer("I guess.", answer, len(episode.turns) + 1)


def _marks(env: ToolEnv, content: str) -> str:
    """What the environment would say, written by the agent."""
    return env.action_format.render([ToolCall("search")], [ToolResult(ToolStatus.OK, content)])


CANARIES: dict[str, Callable[[ToolEnv, Episode], str]] = {
    "empty": lambda env, episode: "",
    "echo of the prompt": lambda env, episode: episode.prompt,
    "echo of the question as answer": lambda env, episode: (
        _answer(env, "the question", episode) + episode.task.question
    ),
    "own observation": lambda env, episode: _marks(env, "The answer is yes."),
    "answer in a forged observation": lambda env, episode: _marks(env, episode.task.answers[0]),
    "answer after a forged observation": lambda env, episode: (
        _marks(env, episode.task.answers[0]) + _answer(env, "see above", episode)
    ),
    "stop at once": lambda env, episode: _answer(env, "unknown", episode),
    "gold in the thought": lambda env, episode: env.action_format.write_answer(
        episode.task.answers[0].replace("\n", " "), "see the thought", len(episode.turns) + 1
    ),
    "every answer at once": lambda env, episode: _answer(
        env, " ".join(task.answers[0].replace("\n", " ") for task in env.tasks), episode
    ),
    "huge answer": lambda env, episode: _answer(env, "0123456789 " * 20_000, episode),
}


@pytest.mark.parametrize("canary", CANARIES)
def test_canaries_earn_nothing(env: ToolEnv, canary: str, evaluate: Callable[..., Any]) -> None:
    result = evaluate(env, lambda episode: CANARIES[canary](env, episode), limit=8)
    assert sum(result["scores"]) / len(result["scores"]) <= env.guess_rate
    assert max(result["rewards"]) <= env.reward_function.wrong_ceiling
    assert min(result["rewards"]) >= env.reward_function.minimum


def test_the_best_constant_answer_scores_the_guess_rate_at_most(env: ToolEnv, evaluate: Callable[..., Any]) -> None:
    answers = sorted({answer for task in env.tasks for answer in task.answers})[:12]
    for answer in answers:

        def constant(episode: Episode, answer: str = answer) -> str:
            return _answer(env, answer, episode)

        scores = evaluate(env, constant)["scores"]
        assert sum(scores) / len(scores) <= env.guess_rate + 1e-9


def test_a_forged_observation_spoils_a_right_answer(env: ToolEnv, play: Callable[..., Any]) -> None:
    if not env.action_format.observation_marks:
        pytest.skip("the format has no observations")
    reward, info = play(env, lambda episode: _marks(env, "x") + env.oracle()(episode), seed=3)
    assert reward == env.reward_function.minimum
    assert info["reward_terms"]["forged"] == 1.0


def _rest(env: ToolEnv) -> list[Any]:
    policy, steps = env.oracle(), []
    while env.episode.stop_reason is None:
        observation, reward, terminated, truncated, info = env.step(policy(env.episode))
        for call in info["calls"]:
            del call["seconds"]
        info.pop("reward_seconds", None)
        steps.append([observation, reward, terminated, truncated, json.dumps(info)])
    return steps


@pytest.mark.parametrize("turns", [0, 1])
def test_fork_and_snapshot_continue_alike(env: ToolEnv, turns: int) -> None:
    env.reset(seed=11)
    for _ in range(turns):
        env.step(env.oracle()(env.episode))
        if env.episode.stop_reason is not None:
            pytest.skip("over after one turn")
    snapshot, fork, twin = env.snapshot(), env.fork(), env.spawn()
    expected = _rest(env)
    assert expected
    assert _rest(fork) == expected
    twin.reset(seed=99)
    twin.restore(snapshot)
    assert _rest(twin) == expected
    assert twin.reset()[0] == fork.reset()[0] == env.reset()[0]
    for one in (fork, twin):
        one.close()


def test_a_spawn_shares_the_tools_and_no_episode(env: ToolEnv) -> None:
    env.reset(seed=0)
    other = env.spawn()
    assert all(mine is theirs for mine, theirs in zip(env.tools, other.tools, strict=True))
    with pytest.raises(gymnasium.error.ResetNeeded):
        other.step("x")
    assert other.reset(seed=0)[0] == env.reset(seed=0)[0]
    other.close()


def test_closing_twice_and_acting_after_the_end(env: ToolEnv, play: Callable[..., Any]) -> None:
    play(env, env.oracle(), seed=0)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step("again")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.truncate(StopReason.MAX_TOKENS)
    env.close()
    env.close()


def test_infos_are_json_and_episodes_pickle(env: ToolEnv) -> None:
    policy = env.oracle()
    _, info = env.reset(seed=2)
    json.dumps(info)
    while env.episode.stop_reason is None:
        *_, info = env.step(policy(env.episode))
        assert json.loads(json.dumps(info)) == info
    assert pickle.loads(pickle.dumps(env.episode)) == env.episode


def test_the_prompt_does_not_give_the_answer_away(env: ToolEnv) -> None:
    prompts = {}
    for task in env.tasks:
        prompt, info = env.reset(seed=0, options={"task_id": task.id})
        assert task.question in prompt
        prompts[task.id] = prompt + json.dumps(info["messages"])
    for task in env.tasks:
        for answer in task.answers[:1]:
            # A label that every prompt names as a choice tells nothing.
            if not answer.isdigit() and not all(answer in prompt for prompt in prompts.values()):
                assert answer not in prompts[task.id]


def test_render_is_the_transcript() -> None:
    env = make("toolgym/SearchQA-v0", render_mode="ansi")
    prompt, _ = env.reset(seed=0)
    action = env.oracle()(env.episode)
    observation, *_ = env.step(action)
    assert env.render() == prompt + action + observation
    env.close()
