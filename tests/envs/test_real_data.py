"""Small samples of the public data sets beside the checkout."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from toolgym.envs import KnightsAndKnavesEnv, PythonMathEnv, ReActQAEnv, SearchQAEnv, read_rows

pytestmark = pytest.mark.real_data
ROWS = 50


@pytest.mark.parametrize("name", ["hotpotqa_distractor", "2wikimultihopqa"])
def test_search_and_react(data: Path, name: str, evaluate: Callable[..., Any]) -> None:
    rows = list(islice(read_rows(data / name, "dev"), ROWS))
    corpus = data / "wiki_paragraphs" / "small.jsonl.gz"
    search = SearchQAEnv(rows, corpus)
    result = evaluate(search, search.oracle())
    assert result["scores"] == result["rewards"] == [1.0] * ROWS
    assert all(task.metadata["gold_passages"] and task.metadata["supporting"] for task in search.tasks)
    recall = search.retrieval_recall()
    assert 0.5 < recall["recall@5"] <= recall["recall@10"] <= 1
    react = ReActQAEnv(rows, corpus)
    assert evaluate(react, react.oracle())["scores"] == [1.0] * ROWS
    statuses = [turn.results[0].metadata["found"] for turn in react.episode.turns[:-1]]
    assert statuses and all(statuses)
    assert search.guess_rate < 0.2


def test_knights_and_knaves(data: Path, evaluate: Callable[..., Any]) -> None:
    rows = list(islice(read_rows(data / "logic_kk", "test"), ROWS))
    env = KnightsAndKnavesEnv(rows)
    assert evaluate(env, env.oracle()) == {"scores": [1.0] * ROWS, "rewards": [3.0] * ROWS}


def test_gsm8k(data: Path, evaluate: Callable[..., Any]) -> None:
    rows = list(islice(read_rows(data / "math_gsm8k", "test"), ROWS))
    env = PythonMathEnv(rows)
    scores = evaluate(env, env.oracle())["scores"]
    assert sum(scores) >= 0.85 * ROWS, "some solutions calculate their last step without an annotation"
    env.close()
