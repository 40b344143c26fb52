"""Episodes as JSON and back: nothing is lost, whatever stands in them."""

from __future__ import annotations

import json
from dataclasses import is_dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

import toolgym
from toolgym.envs import Action, Episode, Limits, StopReason, Task, TaskSet, Turn
from toolgym.envs.episode import FormatFault, ParsedAction
from toolgym.envs.episode_json import episode_from_json, episode_to_json, task_is_whole
from toolgym.envs.registration import ENTRY_POINTS, make_scoring_env, takes_option
from toolgym.tools import InputError, ToolCall, ToolResult, ToolStatus

TEXT = st.text(st.characters(exclude_categories=()), max_size=8) | st.sampled_from(
    ["\ud83d\ude00", "\ud83d", "a\ude00\ud83d\ude00", "\x00\r\n", "$tuple", "<|im_end|>", "'\"\\u0041", "²٣"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | st.binary(max_size=4)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(TEXT, inner, max_size=3)
        | st.dictionaries(st.integers() | st.tuples(TEXT), inner, max_size=2)
        | st.frozensets(SCALARS, max_size=3)
        | st.sets(SCALARS, max_size=3)
    ),
    max_leaves=8,
)
METADATA = st.dictionaries(TEXT, VALUES, max_size=3)
TASKS = st.builds(Task, TEXT, TEXT, st.lists(TEXT, max_size=2).map(tuple), METADATA)
CALLS = st.builds(ToolCall, TEXT, METADATA, st.none() | TEXT, TEXT)
RESULTS = st.builds(
    ToolResult,
    st.sampled_from(list(ToolStatus)),
    TEXT,
    st.floats(0, 9),
    st.integers(0, 9),
    METADATA,
    st.floats(0, 1),
    st.integers(0, 3),
    st.none() | st.booleans(),
)
ACTIONS = st.builds(Action, TEXT, st.sampled_from(["stop", "eos", "length"]), st.none() | st.integers(0, 99))
PARSED = st.builds(
    ParsedAction,
    TEXT,
    TEXT,
    st.lists(CALLS, max_size=2).map(tuple),
    st.none() | TEXT,
    st.lists(st.sampled_from(list(FormatFault)), max_size=2).map(tuple),
    st.none() | TEXT,
)
TURNS = st.builds(Turn, ACTIONS, PARSED, st.lists(RESULTS, max_size=2).map(tuple), TEXT)
MESSAGES = st.lists(st.dictionaries(st.sampled_from(["role", "content", "tool_calls"]), VALUES), max_size=3)
EPISODES = st.builds(
    Episode, TASKS, TEXT, MESSAGES, st.lists(TURNS, max_size=3), st.none() | st.sampled_from(list(StopReason))
)


def there_and_back(episode: Episode) -> Episode:
    text = json.dumps(episode_to_json(episode), allow_nan=False)
    text.encode("ascii")
    return episode_from_json(json.loads(text))


def exact(value: Any) -> Any:
    """What `==` does not see: types, and why an action ended."""
    if isinstance(value, Action):
        return (str(value), value.finish_reason, value.token_count)
    if isinstance(value, Struct) or is_dataclass(value):
        return type(value), [exact(getattr(value, name)) for name in type(value).__match_args__]
    if isinstance(value, dict):
        return dict, [(exact(key), exact(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [exact(item) for item in value]
    return type(value), repr(sorted(map(repr, value)) if isinstance(value, set | frozenset) else value)


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(EPISODES)
def test_an_episode_comes_back_as_it_was(episode: Episode) -> None:
    read = there_and_back(episode)
    assert read == episode
    assert exact(read) == exact(episode)


def test_two_surrogates_side_by_side_stay_two() -> None:
    text = "a\ud83d\ude00b"  # JSON's escapes of these two would be read as one character
    task = Task(text, text, (text,), {text: text})
    read = there_and_back(Episode(task, text, [{"role": "user", "content": text}]))
    assert read.task == task and read.prompt == read.messages[0]["content"] == text and len(read.prompt) == 4


@pytest.mark.parametrize("env_id", sorted(ENTRY_POINTS))
def test_episodes_of_every_environment(env_id: str, isolation: str) -> None:
    options = {"isolation": isolation} if takes_option(env_id, "isolation") else {}
    env = toolgym.make_env(env_id, limits=Limits(max_turns=4), **options)
    for seed, texts in enumerate(([], ["nonsense"], ["\ud800 <search> a </search>", "<answer>\x00</answer>"])):
        env.reset(seed=seed)
        policy, waiting = env.oracle(), list(texts)
        while env.episode.stop_reason is None:
            env.step(Action(waiting.pop(0) if waiting else policy(env.episode), "eos", 7))
        read = there_and_back(env.episode)
        assert exact(read) == exact(env.episode)
        scorer = make_scoring_env(env_id, TaskSet([read.task]), **options)
        (reward, score), (again, score_again) = env.assess(env.episode), scorer.assess(read)
        assert (again.reward, score_again, scorer.reward_function.name) == (
            reward.reward,
            score,
            env.reward_function.name,
        )
    env.close()


def test_the_shape_by_hand() -> None:
    task = Task("t", "Where?", ("here",), {"hops": 2, "pair": ("a", "b")})
    call = ToolCall("search", {"query": "x"}, id="c1")
    turn = Turn(Action("<search> x", "length", 3), ParsedAction("<search> x", calls=(call,)), (), "found")
    written = episode_to_json(Episode(task, "Q", [{"role": "user", "content": "Q"}], [turn], StopReason.MAX_TURNS))
    parsed = {"text": "<search> x", "surplus": "", "answer": None, "faults": [], "reply": None, "unfinished": False}
    metadata = {"hops": 2, "pair": {"$tuple": ["a", "b"]}}
    assert written == {
        "task": {"id": "t", "question": "Where?", "answers": ["here"], "metadata": metadata},
        "prompt": "Q",
        "messages": [{"role": "user", "content": "Q"}],
        "turns": [
            {
                "action": "<search> x",
                "finish_reason": "length",
                "token_count": 3,
                "parsed": {
                    **parsed,
                    "calls": [{"name": "search", "arguments": {"query": "x"}, "error": None, "id": "c1"}],
                },
                "results": [],
                "observation": "found",
            }
        ],
        "stop_reason": "max_turns",
    }  # fmt: skip


def test_values_that_rows_of_files_hold() -> None:
    metadata = {
        "array": np.array(["a", "b"]),
        "numbers": np.array([[1.5, 2.0], [0.1, np.inf]]),
        "objects": np.array(["a", None], dtype=object),
        "scalar": np.int64(3),
        "huge": 9**99_999,
        "float": np.float32(0.5),
    }
    read = there_and_back(Episode(Task("t", "q", (), metadata), "p")).task.metadata
    assert read["array"].tolist() == ["a", "b"] and read["numbers"].tolist() == [[1.5, 2.0], [0.1, float("inf")]]
    assert read["objects"].tolist() == ["a", None] and read["numbers"].dtype == np.float64
    assert (read["scalar"], read["huge"], read["float"]) == (3, 9**99_999, 0.5)


def deep(levels: int) -> Any:
    return [deep(levels - 1)] if levels else "bottom"


@pytest.mark.parametrize(
    ("value", "named"), [(object(), "a builtins.object"), (deep(500), "nested more than 100 levels"), (print, "print")]
)
def test_what_cannot_be_stored_is_named_when_it_is_needed(value: Any, named: str) -> None:
    whole, task = Task("t", "q", ("a",)), Task("t", "q", ("a",), {"odd": value})
    data = json.loads(json.dumps(episode_to_json(Episode(task, "p"))))
    assert not task_is_whole(data) and task_is_whole(episode_to_json(Episode(whole, "p")))
    with pytest.raises(InputError, match=f"task of the stored episode lacks .*{named}"):
        episode_from_json(data)
    assert episode_from_json(data, task).task is task
    result = ToolResult(ToolStatus.OK, "x", metadata={"odd": value})
    turns = [Turn(Action("x"), ParsedAction("x"), (result,))]
    with pytest.raises(InputError, match="turns of the stored episode lacks"):
        there_and_back(Episode(whole, "p", [], turns))


@pytest.mark.parametrize(
    "change", [{"turns": 3}, {"stop_reason": "bored"}, {"task": {}}, {"turns": [{}]}, {"task": None}]
)
def test_what_is_no_stored_episode_is_refused(change: dict[str, Any]) -> None:
    data = {**episode_to_json(Episode(Task("t", "q"), "p")), **change}
    with pytest.raises(InputError):
        episode_from_json(data)
    for key in list(data):
        with pytest.raises(InputError):
            episode_from_json({name: value for name, value in data.items() if name != key})
