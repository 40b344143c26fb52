from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolgym.envs import Limits, SearchQAEnv, World
from toolgym.tools import InputError
from toolgym.tools.retrievers import BM25Retriever, Corpus, Passage

PASSAGES = [
    Passage("p1", "Danube", "The Danube flows through Ulm and Vienna."),
    Passage("p2", "Ulm", "Ulm has a minster."),
    Passage("p3", "Vienna", "Vienna is the capital of Austria."),
]
ROWS = [
    {
        "id": 7,
        "question": "What flows through Ulm?",
        "answers": ["Danube", "The river Danube"],
        "supporting_pids": ["p1"],
    },
    {"question": "Vienna is the capital of what?", "golden_answers": ["Austria"], "supporting_pids": ["p3", "p2"]},
    {"question": "Does Ulm have a minster?", "answer": "yes", "supporting": ["Ulm", "Ulm", "Danube"]},
]


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_walks_the_chain(hops: int, split: str, evaluate: Callable[..., Any]) -> None:
    env = SearchQAEnv(hops=hops, split=split, size=10, k=1)
    assert evaluate(env, env.oracle())["rewards"] == [1.0] * 10
    assert len(env.episode.turns) == hops + 1
    found = [turn.results[0].metadata["passage_ids"] for turn in env.episode.turns[:-1]]
    assert found == [[passage] for passage in env.episode.task.metadata["gold_passages"]]
    subject, relation, _ = env.episode.task.metadata["chain"][0]
    assert f"I need the {relation} of {subject}." in env.episode.turns[0].action


def test_thoughts_use_only_what_was_seen(play: Callable[..., Any]) -> None:
    env = SearchQAEnv(hops=3, size=20, k=1)
    for seed in range(10):
        play(env, env.demonstrator(), seed=seed)
        seen = env.episode.task.question
        for turn in env.episode.turns:
            for person in {name for link in env.episode.task.metadata["chain"] for name in (link[0], link[2])}:
                assert person not in turn.action or person in seen
            seen += turn.observation


def test_the_demonstrator_stops_early_on_a_share_of_the_tasks(evaluate: Callable[..., Any]) -> None:
    env = SearchQAEnv(hops=2, size=80)
    assert evaluate(env, env.demonstrator())["scores"] == [1.0] * 80
    some = evaluate(env, env.demonstrator(stop_early=0.3, seed=1))["scores"]
    assert 0.55 < sum(some) / 80 < 0.85
    assert evaluate(env, env.demonstrator(stop_early=0.3, seed=1))["scores"] == some
    assert evaluate(env, env.demonstrator(stop_early=0.3, seed=2))["scores"] != some
    assert evaluate(env, env.demonstrator(stop_early=1.0))["scores"] == [0.0] * 80
    assert env.episode.answer == env.episode.task.metadata["chain"][0][2]
    assert len(env.episode.turns) == 2


def test_the_demonstrator_finishes_some_relations(play: Callable[..., Any]) -> None:
    env = SearchQAEnv(hops=2, size=60)
    policy = env.demonstrator(stop_early=1.0, finishes=["mother", "boss"])
    lasts = set()
    for task in env.tasks:
        _, info = play(env, policy, options={"task_id": task.id})
        last = task.metadata["chain"][-1][1]
        lasts.add(last)
        assert info["score"] == float(last in ("mother", "boss"))
    assert len(lasts) == 5
    with pytest.raises(InputError, match="not \\['aunt'\\]"):
        env.demonstrator(finishes=["aunt"])


def test_one_hop_questions_have_no_early_stop(evaluate: Callable[..., Any]) -> None:
    env = SearchQAEnv(hops=1, size=10)
    assert evaluate(env, env.demonstrator(stop_early=1.0))["scores"] == [1.0] * 10


def test_without_a_corpus_nothing_is_found(evaluate: Callable[..., Any]) -> None:
    env = SearchQAEnv(empty_corpus=True, size=20)
    assert evaluate(env, env.demonstrator())["scores"] == [0.0] * 20
    assert env.episode.turns[0].results[0].metadata["passage_ids"] == []
    assert env.episode.answer == "unknown"
    assert env.retriever.search_batch(["a", "b"], 3) == [[], []]


def test_shuffled_answers_cannot_be_earned(evaluate: Callable[..., Any]) -> None:
    env, plain = SearchQAEnv(shuffle_answers=0, size=50), SearchQAEnv(size=50)
    result = evaluate(env, env.oracle())
    assert sum(result["scores"]) <= 1
    assert sorted(task.answers for task in env.tasks) == sorted(task.answers for task in plain.tasks)
    assert [task.id for task in env.tasks] == [task.id for task in plain.tasks]
    first = SearchQAEnv(shuffle_answers=0, size=50)
    assert list(first.tasks) == list(env.tasks)


def test_the_oracle_of_shuffled_rows_gives_the_true_answers(evaluate: Callable[..., Any]) -> None:
    env = SearchQAEnv(ROWS, empty_corpus=True, shuffle_answers=3)
    assert evaluate(env, env.oracle())["scores"] == [0.0] * 3
    assert env.episode.answer == "yes" and env.episode.task.answers != ("yes",)


def test_rows_with_a_corpus(tmp_path: Path, evaluate: Callable[..., Any]) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"id": p.id, "title": p.title, "text": p.text}) + "\n" for p in PASSAGES))
    env = SearchQAEnv(ROWS, corpus)
    assert [task.id for task in env.tasks] == ["7", "rows-1", "rows-2"]
    assert evaluate(env, env.oracle())["scores"] == [1.0] * 3
    assert [turn.parsed.calls[0].arguments["query"] for turn in env.episode.turns[:-1]] == [
        "Does Ulm have a minster?",
        "Ulm",
        "Danube",
    ]
    assert env.guess_rate == pytest.approx(1 / 3)
    assert env.retriever is SearchQAEnv(ROWS, str(corpus)).retriever, "one index per process and file"
    assert SearchQAEnv(ROWS, Corpus(PASSAGES)).tools[0] is not env.tools[0]
    with pytest.raises(InputError, match="known hops"):
        env.demonstrator(stop_early=0.1)
    with pytest.raises(InputError, match="share from 0 to 1"):
        env.demonstrator(stop_early=1.1)


def test_the_oracle_leaves_a_turn_for_the_answer(evaluate: Callable[..., Any]) -> None:
    env = SearchQAEnv(ROWS, Corpus(PASSAGES), limits=Limits(max_turns=2))
    assert evaluate(env, env.oracle())["scores"] == [1.0] * 3


def test_retrieval_recall() -> None:
    env = SearchQAEnv(ROWS, retriever=BM25Retriever(Corpus(PASSAGES)))
    assert env.retrieval_recall(ks=(1, 3)) == {"recall@1": 0.75, "recall@3": 0.75}
    assert env.retrieval_recall(ks=(1,), limit=1) == {"recall@1": 1.0}
    with pytest.raises(InputError, match="gold passages"):
        SearchQAEnv(ROWS[2:], empty_corpus=True).retrieval_recall()


def test_worlds_share_their_index() -> None:
    assert SearchQAEnv().retriever is SearchQAEnv(split="test").retriever
    assert SearchQAEnv(world_seed=1).retriever is not SearchQAEnv().retriever
    world = World(5, people=60)
    env = SearchQAEnv(world, size=5)
    assert env.tasks[0].metadata["chain"][0][0] in world.people["train"]
    assert list(SearchQAEnv(task_seed=1, size=5).tasks) != list(SearchQAEnv(size=5).tasks)


def test_mistakes(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"tasks": ROWS}, "give corpus=PATH"),
        ({"corpus": Corpus(PASSAGES), "empty_corpus": True}, "exclude each other"),
        ({"corpus": tmp_path / "no.jsonl"}, "does not exist"),
        ({"tasks": [{"question": "q"}], "empty_corpus": True}, "no field 'answer'"),
        ({"tasks": [{"question": "q", "answers": []}], "empty_corpus": True}, "at least one text"),
        ({"tasks": [{"question": "q", "answers": [None]}], "empty_corpus": True}, "at least one text"),
        ({"tasks": [{"question": "q", "answer": True}], "empty_corpus": True}, "at least one text"),
        ({"hops": 9}, "hops"),
        ({"prompt": "long"}, "prompt"),
    ]
    for options, message in cases:
        with pytest.raises(InputError, match=message):
            SearchQAEnv(**options)
