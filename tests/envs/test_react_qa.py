from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toolgym.envs import Limits, ReActQAEnv, StopReason, World
from toolgym.tools import InputError, PageStore
from toolgym.tools.retrievers import Corpus, Passage

ROWS = [
    {
        "question": "Of which country is the other city on the Danube the capital?",
        "answers": ["Austria"],
        "supporting": ["Danube", "Vienna"],
    },
    {"question": "Does Ulm have a minster?", "answer": "yes"},
]
PASSAGES = [
    Passage("1", "Danube", "The Danube flows through Ulm and Vienna."),
    Passage("2", "Vienna", "Vienna is the capital of Austria."),
    Passage("3", "Vienna", "It is old."),
]


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
def test_the_oracle_opens_one_page_per_hop(hops: int, evaluate: Callable[..., Any]) -> None:
    env = ReActQAEnv(hops=hops, size=10, split="test")
    assert evaluate(env, env.oracle())["rewards"] == [1.0] * 10
    calls = [turn.parsed.calls[0] for turn in env.episode.turns[:-1]]
    chain = env.episode.task.metadata["chain"]
    assert [(call.name, call.arguments["entity"]) for call in calls] == [("search", subject) for subject, *_ in chain]


def test_the_oracle_looks_up_what_the_head_of_the_page_hides(evaluate: Callable[..., Any]) -> None:
    relations = ("mother", "boss", "friend", "teacher", "neighbour", "cousin", "baker", "tailor")
    env = ReActQAEnv(World(relations=relations), size=40, hops=2)
    assert evaluate(env, env.oracle())["scores"] == [1.0] * 40
    names: list[str] = []
    for task in env.tasks:
        env.reset(options={"task_id": task.id})
        while env.episode.stop_reason is None:
            env.step(env.oracle()(env.episode))
        names += [turn.parsed.calls[0].name for turn in env.episode.turns[:-1]]
    assert "lookup" in names
    assert names.count("search") == 80


def test_thoughts_use_only_what_was_read(play: Callable[..., Any]) -> None:
    env = ReActQAEnv(hops=2, size=10)
    for seed in range(5):
        play(env, env.oracle(), seed=seed)
        seen = env.episode.task.question
        for turn in env.episode.turns:
            for _, _, person in env.episode.task.metadata["chain"]:
                assert person not in turn.action or person in seen
            seen += turn.observation


def test_rows_with_pages(evaluate: Callable[..., Any]) -> None:
    for pages in (Corpus(PASSAGES), PageStore({"Danube": "x", "Vienna": "y"})):
        env = ReActQAEnv(ROWS, pages)
        assert evaluate(env, env.oracle())["scores"] == [1.0, 1.0]
    env = ReActQAEnv(ROWS, Corpus(PASSAGES))
    env.reset(options={"task_id": "rows-0"})
    env.step(env.oracle()(env.episode))
    observation, *_ = env.step(env.oracle()(env.episode))
    assert "Vienna is the capital of Austria.. It is old.." in observation


def test_seven_turns() -> None:
    env = ReActQAEnv(size=3)
    assert env.limits.max_turns == 7
    assert ReActQAEnv(size=3, action_format="hermes").limits.max_turns == 7
    published = ReActQAEnv(size=3, limits="published")
    assert published.limits == replace(published.action_format.limits, max_turns=7)
    assert ReActQAEnv(size=3, limits=Limits(max_turns=3)).limits == Limits(max_turns=3)
    with pytest.raises(InputError, match="not 'all'"):
        ReActQAEnv(size=3, limits="all")  # type: ignore[arg-type]
    env.reset(seed=0)
    for turn in range(1, 8):
        *_, truncated, info = env.step(f" I try.\nAction {turn}: Search[nobody]")
    assert truncated and info["stop_reason"] == StopReason.MAX_TURNS


def test_files_of_pages_are_read_once(tmp_path: Path) -> None:
    path = tmp_path / "pages.jsonl"
    path.write_text('{"id": "1", "title": "Ulm", "text": "Ulm has a minster."}\n')
    first, second = ReActQAEnv(ROWS, path), ReActQAEnv(ROWS, str(path))
    assert first.tools[0].store is second.tools[0].store  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="give corpus=PATH"):
        ReActQAEnv(ROWS)
    with pytest.raises(InputError, match="does not exist"):
        ReActQAEnv(ROWS, tmp_path / "no.jsonl")


def test_pages_of_a_corpus_store(tmp_path: Path) -> None:
    Corpus(PASSAGES).save(tmp_path / "store")
    env = ReActQAEnv(ROWS, tmp_path / "store")
    assert env.pages["Vienna"] == "Vienna is the capital of Austria.\nIt is old."


def test_gaps_of_the_oracle(evaluate: Callable[..., Any]) -> None:
    env = ReActQAEnv([*ROWS, {"question": "q", "answer": "two\nObservation 1: lines"}], PageStore({"Danube": "x"}))
    gaps = [env.oracle_gap(task) for task in env.tasks]
    assert gaps == [
        "there is no page 'Vienna'",
        "no supporting page is known",
        "the answer cannot be written in the format 'react'",
    ]
    assert evaluate(env, env.oracle())["scores"] == [1.0, 1.0, 0.0]
    assert {ReActQAEnv(size=5).oracle_gap(task) for task in ReActQAEnv(size=5).tasks} == {""}


def test_an_environment_can_be_pickled(play: Callable[..., Any]) -> None:
    env = ReActQAEnv(size=3)
    env.reset(seed=4)
    twin = pickle.loads(pickle.dumps(env))
    assert play(twin, twin.oracle(), seed=4)[0] == play(env, env.oracle(), seed=4)[0] == 1
    assert twin.episode.task == env.episode.task


def test_an_oracle_without_its_pages_still_ends(evaluate: Callable[..., Any]) -> None:
    env = ReActQAEnv(World(), PageStore({"Nobody": "x"}), size=5)
    assert evaluate(env, env.oracle())["scores"] == [1.0] * 5
    assert len(env.episode.turns) == 2
