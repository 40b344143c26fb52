"""An evaluation is repeated without its tools, whoever acts: a script, an endpoint, a model."""

from __future__ import annotations

import hashlib
import json

import pytest

from toolgym.agents import OpenAIEngine, SamplingParams, ScriptedEngine, TextCodec
from toolgym.agents.evaluation import evaluate
from toolgym.agents.rollout import AllEpisodesFailed
from toolgym.agents.rollout_statistics import abandoned_calls
from toolgym.envs.episode_json import episode_to_json
from toolgym.tools import ToolCall, ToolRuntime, ToolStatus
from toolgym.tools.cassettes import Cassette, MissingRecording


def words(text: str) -> str:
    """A text that depends on every character of another one."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return digest[: 4 + int(digest[0], 16) % 4]


@pytest.fixture
def played(toy_tasks, letters_run, fake_openai):
    """Plays twelve episodes of an environment whose tools say something else every time."""
    run = letters_run(environment="tests/Rumours-v0", limits={"max_turn_tokens": 5})
    limits = run.environment().limits

    def play(agent: str, cassette: Cassette | None):
        env = toy_tasks.Rumours()
        if cassette is not None:
            env.record(cassette)
        options = {"samples": 3, "seed": 5, "schedule": "deterministic", "keep_episodes": True, "workers": 4}
        if agent == "script":
            codec = TextCodec()
            engine = ScriptedEngine(lambda episode: words(episode.prompt + episode.response), codec)
            return evaluate(engine, codec, env, **options)
        if agent == "endpoint":
            with fake_openai(lambda body: words(json.dumps(body["messages"]))) as server:
                engine = OpenAIEngine(server.url, "tiny")
                try:
                    return evaluate(engine, TextCodec(), env, **options)
                finally:
                    engine.close()
        env.limits = limits
        return evaluate(run.engine(), run.codec, env, sampling=SamplingParams(temperature=1.0), **options)

    return play


def essence(result) -> list:
    """Every word of every episode, without times."""
    episodes = []
    for outcome in result.outcomes:
        data = episode_to_json(outcome.episode)
        for turn in data["turns"]:
            for call in turn["results"]:
                del call["seconds"], call["queue_seconds"]
        episodes.append((outcome.episode_id, outcome.reward, outcome.score, data))
    return episodes


@pytest.mark.parametrize("agent", ["script", "endpoint", "model"])
def test_an_evaluation_is_replayed(played, toy_tasks, tmp_path, monkeypatch, agent: str) -> None:
    path = tmp_path / "tape.jsonl"
    recorded = played(agent, Cassette(path, "record"))
    monkeypatch.setattr(toy_tasks.Rumour, "reachable", False)
    tape = path.read_bytes()
    cassette = Cassette(path, "replay")
    replayed = played(agent, cassette)
    assert essence(replayed) == essence(recorded) and replayed.failed == 0
    assert cassette.misses == 0 and cassette.hits == 24 and path.read_bytes() == tape
    monkeypatch.setattr(toy_tasks.Rumour, "reachable", True)
    assert essence(played(agent, None)) != essence(recorded)  # the tools would have said something else


def test_what_is_not_on_the_cassette_loses_its_episode(toy_tasks, tmp_path) -> None:
    path, codec = tmp_path / "tape.jsonl", TextCodec()

    def play(mode, text):
        env = toy_tasks.Rumours()
        env.record(Cassette(path, mode))
        return evaluate(ScriptedEngine(lambda episode: text(episode), codec), codec, env)

    play("record", lambda episode: "abc")
    result = play("replay", lambda episode: "abc" if episode.task.id.endswith("a") else "new")
    assert result.failed == 3 and len(result.valid) == 1
    assert all(MissingRecording.__name__ in record.error for record in result.records if record.failed)
    with pytest.raises(AllEpisodesFailed, match="has no recording of"):
        play("replay", lambda episode: "new")


def test_calls_that_the_recorded_tool_gave_up_are_counted(unruly, tmp_path) -> None:
    hanging = unruly.Hanging()
    inner = unruly.ActTool(hanging)
    inner.timeout = 0.05
    wrapped = Cassette(tmp_path / "tape.jsonl").wrap(inner)
    with ToolRuntime([wrapped]) as runtime:
        assert runtime.call(ToolCall("act", {"x": "a"})).status is ToolStatus.TIMEOUT
        assert abandoned_calls([wrapped]) == abandoned_calls([inner]) == 1
    hanging.release.set()
