"""Vectors of environments: Gymnasium's own and the one on threads, each against environments stepped alone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv

import toolgym
from toolgym.envs.vector import ToolVectorEnv
from toolgym.tools import InputError, ToolUnavailable

ENV_ID = "toolgym/SearchQA-v0"
OPTIONS = {"size": 20, "action_format": "search_r1"}
SEARCH, ANSWER = "<search> teacher </search>", "<answer> nobody </answer>"
SCRIPT = [
    [SEARCH, ANSWER, SEARCH],
    [SEARCH, "ignored where this step resets", ANSWER],
    [ANSWER, SEARCH, SEARCH],
    [SEARCH, ANSWER, SEARCH],
    [SEARCH, SEARCH, ANSWER],
]
MODES = [mode.value for mode in AutoresetMode]
KINDS = ["sync", "async", "vector_entry_point"]


def make_vector(kind: str, mode: str, **options: Any) -> VectorEnv[Any, Any, Any]:
    if kind == "vector_entry_point":
        return gym.make_vec(ENV_ID, 3, kind, autoreset_mode=mode, **OPTIONS, **options)
    return gym.make_vec(ENV_ID, 3, kind, vector_kwargs={"autoreset_mode": mode}, **OPTIONS, **options)


def comparable(value: Any) -> Any:
    """Infos without the times that calls took, as JSON."""
    if isinstance(value, dict):
        return {key: comparable(one) for key, one in value.items() if key != "seconds"}
    if isinstance(value, np.ndarray | tuple | list):
        return [comparable(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def alone(mode: str, seed: int, column: int) -> Iterator[dict[str, Any]]:
    """What one environment gives when it is stepped by itself and reset by hand as the mode says."""
    env = toolgym.make_env(ENV_ID, **OPTIONS)
    observation, info = env.reset(seed=seed)
    yield {"observation": observation, "info": info}
    over = False
    for row in SCRIPT:
        if over:  # NextStep: this step is the reset; Disabled: the test resets by its mask
            observation, info = env.reset()
            over = False
            if mode == "NextStep":
                yield {"observation": observation, "step": (0.0, False, False), "info": info}
                continue
        observation, reward, terminated, truncated, info = env.step(row[column])
        if (terminated or truncated) and mode == "SameStep":
            final = {"final_obs": observation, "final_info": info}
            observation, info = env.reset()
            info = {**final, **info}
        else:
            over = terminated or truncated
        yield {"observation": observation, "step": (reward, terminated, truncated), "info": info}
    env.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_vector_gives_what_each_environment_gives_alone(kind: str, mode: str) -> None:
    vector = make_vector(kind, mode)
    assert vector.metadata["autoreset_mode"] == AutoresetMode(mode)
    expected = [list(alone(mode, 5 + column, column)) for column in range(3)]
    observations, infos = vector.reset(seed=5)
    steps = [(observations, None, infos)]
    over = np.zeros(3, np.bool_)
    for row in SCRIPT:
        if mode == "Disabled" and over.any():
            vector.reset(options={"reset_mask": over.copy()})
        observations, rewards, terminated, truncated, infos = vector.step(tuple(row))
        assert (rewards.dtype, terminated.dtype, truncated.dtype) == (np.float64, np.bool_, np.bool_)
        over = terminated | truncated
        steps.append((observations, list(zip(rewards, terminated, truncated, strict=True)), infos))
    vector.close()
    for position, (observations, results, infos) in enumerate(steps):
        for column in range(3):
            wanted = expected[column][position]
            assert observations[column] == wanted["observation"]
            assert results is None or tuple(results[column]) == wanted["step"]
            assert comparable(taken_apart(infos, column)) == comparable(wanted["info"])


def taken_apart(infos: dict[str, Any], column: int) -> dict[str, Any]:
    """One environment's info out of the batch."""
    info: dict[str, Any] = {}
    for key, value in infos.items():
        if not key.startswith("_") and infos[f"_{key}"][column]:
            info[key] = taken_apart(value, column) if isinstance(value, dict) else value[column]
    return info


@pytest.mark.parametrize("mode", MODES)
def test_the_vector_on_threads_batches_as_gymnasium_does(mode: str) -> None:
    ours, theirs = make_vector("vector_entry_point", mode), make_vector("sync", mode)
    assert comparable(ours.reset(seed=2)) == comparable(theirs.reset(seed=2))
    for row in SCRIPT[: 1 if mode == "Disabled" else None]:
        mine, other = ours.step(row), theirs.step(row)
        assert comparable(mine) == comparable(other)
        assert [type(part) for part in mine] == [type(part) for part in other]
        assert {key: getattr(value, "dtype", None) for key, value in mine[4].items()} == {
            key: getattr(value, "dtype", None) for key, value in other[4].items()
        }
    ours.close(), theirs.close()


def test_an_explicit_reset_takes_back_the_one_that_was_due() -> None:
    for kind in KINDS:
        vector = make_vector(kind, "NextStep")
        vector.reset(seed=1)
        vector.step((ANSWER,) * 3)
        vector.reset(seed=1)
        *_, terminated, _, _ = vector.step((ANSWER,) * 3)
        assert terminated.all(), kind
        vector.close()


def test_actions_keep_how_their_generation_ended_on_the_way_to_another_process() -> None:
    """A turn without an action ends the episode: as `no_action`, or as `max_tokens` where a limit cut it."""
    vector = gym.make_vec("toolgym/KnightsAndKnaves-v0", 2, "async", size=5)
    vector.reset(seed=0)
    infos = vector.step((toolgym.envs.Action("I", "length"), "I"))[4]
    assert infos["stop_reason"].tolist() == ["max_tokens", "no_action"]
    vector.close()


def test_by_default_make_vec_makes_the_vector_on_threads_whose_spec_is_json() -> None:
    vector = gym.make_vec(f"toolgym:{ENV_ID}", num_envs=2, **OPTIONS)
    assert isinstance(vector, ToolVectorEnv) and vector.num_envs == 2
    spec = gym.envs.registration.EnvSpec.from_json(vector.spec.to_json())
    again = gym.make_vec(spec)
    assert again.reset(seed=4)[0] == vector.reset(seed=4)[0]
    assert again.observation_space.contains(again.reset(seed=4)[0])
    for one in (again, vector):
        one.close()


def test_gymnasiums_vector_wrappers_wrap_it() -> None:
    vector = gym.wrappers.vector.DictInfoToList(
        gym.wrappers.vector.RecordEpisodeStatistics(make_vector("vector_entry_point", "NextStep"))
    )
    vector.reset(seed=0)
    infos = vector.step((ANSWER, SEARCH, ANSWER))[4]
    assert [info["episode"]["l"] if "episode" in info else None for info in infos] == [1, None, 1]
    assert [info.get("stop_reason") for info in infos] == ["answer", None, "answer"]
    vector.close()


# Threads ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def slow(toys: Any) -> Iterator[Any]:
    """Makes a vector of toys whose search takes as many seconds as the question's number says."""
    made = []

    def make(num_envs: int, says: Any = "found", **options: Any) -> ToolVectorEnv:
        env = toys.ToyEnv("search_r1", [f"Question {index}?" for index in range(num_envs)], says)
        made.append(ToolVectorEnv(env, num_envs, **options))
        made[-1].reset(seed=0, options={"task_ids": [f"t{index}" for index in range(num_envs)]})
        return made[-1]

    yield make
    for vector in made:
        vector.close()


class Napping:
    """A tool that sleeps, and knows how many of its calls slept at the same time at most."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.lock = threading.Lock()
        self.asleep = self.most = 0

    def __call__(self, call: object) -> str:
        with self.lock:
            self.asleep += 1
            self.most = max(self.most, self.asleep)
        time.sleep(self.seconds)
        with self.lock:
            self.asleep -= 1
        return "found"


def test_the_latencies_of_tools_overlap(slow: Any) -> None:
    tool = Napping(0.5)
    vector = slow(8, tool)
    for _ in range(2):  # the first step, too
        tool.most = 0
        vector.step([SEARCH] * 8)
        assert tool.most == 8  # that on the caller's own thread among them


def test_quick_steps_stay_on_the_callers_thread(slow: Any) -> None:
    threads: list[str] = []
    vector = slow(4, lambda call: threads.append(threading.current_thread().name) or "found", autoreset_mode="SameStep")
    for _ in range(40):
        vector.step([SEARCH] * 4)
    # Not all: on a busy machine a step may be held up for as long as one that waits for its tool.
    assert threads[-100:].count(threading.main_thread().name) > 80


def test_a_step_that_takes_long_after_all_does_not_hold_up_those_after_it(slow: Any) -> None:
    tool = Napping(0.0)
    vector = slow(4, tool, autoreset_mode="SameStep")
    for _ in range(20):
        vector.step([SEARCH] * 4)
    tool.seconds, tool.most = 0.5, 0
    vector.step([SEARCH] * 4)
    assert tool.most == 3  # the first at once, the three others beside each other


def test_any_subset_steps_and_the_others_stay_where_they_are(slow: Any) -> None:
    vector = slow(4)
    steps = vector.step_subset({3: SEARCH, 1: ANSWER})
    assert list(steps) == [3, 1]
    assert (steps[3].terminated, steps[1].terminated) == (False, True)
    assert "found" in steps[3].observation and steps[1].info["stop_reason"] == "answer"
    assert [len(env.episode.turns) for env in vector.envs] == [0, 1, 0, 1]
    assert vector.step_subset({1: "resets"})[1].observation == vector.envs[1].episode.prompt
    assert vector.step_subset({}) == {}


def test_results_are_received_as_steps_finish(slow: Any) -> None:
    gate = threading.Event()
    vector = slow(3, lambda call: "found" if "wait" not in call.arguments["query"] or gate.wait(5) else "")
    vector.send({0: "<search> wait </search>"})
    vector.send({1: SEARCH, 2: SEARCH})
    got: dict[int, Any] = {}
    while len(got) < 2:
        got |= vector.receive()
    assert sorted(got) == [1, 2] and vector.running == (0,)
    assert vector.receive(timeout=0.01) == {}
    vector.send({2: ANSWER})
    assert list(vector.receive()) == [2]
    for busy in (lambda: vector.send({0: SEARCH}), lambda: vector.step([SEARCH] * 3), vector.reset):
        with pytest.raises(InputError, match="still stepping"):
            busy()
    gate.set()
    assert list(vector.receive()) == [0] and vector.running == ()
    with pytest.raises(InputError, match="none was sent"):
        vector.receive()


def test_one_broken_environment_costs_its_own_episode_alone(toys: Any) -> None:
    def says(call: Any) -> str:
        if "gone" in call.arguments["query"]:
            raise ToolUnavailable("the server is gone")
        return "found"

    vector = ToolVectorEnv(toys.ToyEnv("search_r1", ["a", "b", "c"], says), 3)
    vector.reset(seed=0)
    _, rewards, terminated, truncated, infos = vector.step([SEARCH, "<search> gone </search>", SEARCH])
    assert (rewards.tolist(), terminated.any(), truncated.tolist()) == ([0, 0, 0], False, [False, True, False])
    assert infos["stop_reason"][1] == "failed" and not infos["_stop_reason"][0]
    task = vector.envs[1].episode.task.id
    assert infos["error"][1] == f"environment 1, task {task}: ToolUnavailable: the server is gone"
    json.dumps(comparable(infos))
    observations, *_ = vector.step([SEARCH] * 3)  # and its next step resets it
    assert observations[1] == vector.envs[1].episode.prompt and "found" in observations[0]
    vector.close()


def test_a_reward_that_raises_is_contained_too(toys: Any) -> None:
    env = toys.ToyEnv("search_r1", ["a", "b"])
    env.score = lambda episode: 1 / 0
    vector = ToolVectorEnv(env, 2, autoreset_mode="SameStep")
    vector.reset(seed=0)
    *_, truncated, infos = vector.step([ANSWER, SEARCH])
    assert truncated.tolist() == [True, False]
    assert infos["final_info"]["error"][0].endswith("ZeroDivisionError: division by zero")
    vector.close()


def test_what_the_caller_did_wrong_is_raised_and_says_where(toys: Any) -> None:
    """A cap in tokens without a tokenizer is the caller's mistake; no episode can do better."""
    vector = ToolVectorEnv(toys.ToyEnv("search_r1", ["a", "b"]), 2)
    vector.reset(seed=0)
    vector.envs[1].limits = toolgym.envs.Limits(max_observation_tokens=5)
    with pytest.raises(InputError, match="needs a tokenizer") as caught:
        vector.step([SEARCH, SEARCH])
    assert caught.value.__notes__ == ["in environment 1 of the vector"]
    assert len(vector.envs[0].episode.turns) == 1 and vector.running == ()
    vector.close()


@pytest.mark.parametrize("actions", ["<a>", [SEARCH], {0: SEARCH, 1: SEARCH}, [SEARCH] * 3])
def test_step_takes_an_action_for_each(toys: Any, actions: Any) -> None:
    vector = ToolVectorEnv(toys.ToyEnv(), 2)
    vector.reset()
    with pytest.raises(InputError, match="a sequence of 2 actions"):
        vector.step(actions)


def test_the_order_of_calls_is_kept(toys: Any) -> None:
    vector = ToolVectorEnv(toys.ToyEnv("search_r1"), 2, autoreset_mode="Disabled")
    with pytest.raises(ResetNeeded, match=r"environments \[0, 1\] have no episode yet"):
        vector.step([SEARCH] * 2)
    vector.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ResetNeeded, match=r"environments \[1\] have no episode yet"):
        vector.step([SEARCH] * 2)
    vector.reset()
    vector.step([ANSWER, SEARCH])
    with pytest.raises(ResetNeeded, match=r"episodes of environments \[0\] have ended"):
        vector.step([SEARCH] * 2)
    for mask in ([True], np.array([1, 0]), np.zeros(2, np.bool_)):
        with pytest.raises(InputError, match="reset_mask must be 2 bools"):
            vector.reset(options={"reset_mask": mask})
    with pytest.raises(InputError, match=r"no environments \[2\]"):
        vector.step_subset({2: SEARCH})
    vector.close()
    vector.close()
    for closed in (vector.reset, lambda: vector.step([SEARCH] * 2), vector.receive):
        with pytest.raises(ClosedEnvironmentError):
            closed()


def test_attributes_are_read_set_and_called_in_all(toys: Any) -> None:
    vector = ToolVectorEnv(toys.ToyEnv("search_r1"), 2)
    vector.set_attr("render_mode", "ansi")
    vector.set_attr("guess_rate", [0.5, 0.25])
    vector.reset()
    assert vector.get_attr("guess_rate") == vector.call("guess_rate") == (0.5, 0.25)
    assert vector.render() == vector.call("render") == tuple(env.episode.prompt for env in vector.envs)
    with pytest.raises(InputError, match="1 values"):
        vector.set_attr("guess_rate", [1])
    vector.close()
