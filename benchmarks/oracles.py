"""Oracles over real data sets: every task played to its end, and every one below the highest score explained.

    python -m toolgym.benchmarks.oracles --data FOLDER [--only hotpotqa --only fever]

An oracle knows the answers and plays honestly: it writes actions in the environment's format, calls the tools, and
gives the accepted answer. What it misses is a fault of a row, of a tool, of a format or of the score; the table counts
the reasons, and the result file lists every such row.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from ..agents.engines.base import SamplingParams
from ..agents.evaluation import EvaluationResult, evaluate
from ..agents.loading import AgentChoice, load_agent
from ..agents.results import EvaluationProgress
from ..envs.registration import make_env
from ..tools.errors import InputError
from .measuring import circumstances, run_command, write_result

RESULTS = Path(__file__).parent / "results" / "oracles.json"
CORPUS = "wiki_paragraphs/core.jsonl.gz"
_NO_BOUND = 1 << 20


@dataclass(frozen=True)
class RealSet:
    """A set of rows and the environment that plays it.

    Attributes:
        name: For the table.
        environment: Id of the environment.
        tasks: Its file, below the data folder.
        searches: What the corpus is to the environment: its `retriever`, its `pages`, or nothing.
        options: Further options.
    """

    name: str
    environment: str
    tasks: str
    searches: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


SETS = (
    RealSet("hotpotqa", "toolgym/SearchQA-v0", "hotpotqa_distractor/dev.jsonl.gz", "retriever"),
    RealSet("2wikimultihopqa", "toolgym/SearchQA-v0", "2wikimultihopqa/dev.jsonl.gz", "retriever"),
    RealSet("musique", "toolgym/SearchQA-v0", "musique/dev.jsonl.gz", "retriever"),
    RealSet("nq", "toolgym/SearchQA-v0", "nq_oracle/data.jsonl.gz", "retriever"),
    RealSet("squad", "toolgym/SearchQA-v0", "squad_v1.1/dev.jsonl.gz", "retriever"),
    RealSet("hotpotqa-react", "toolgym/ReActQA-v0", "hotpotqa_distractor/dev.jsonl.gz", "pages"),
    RealSet("fever", "toolgym/ReActFever-v0", "fever_evidence/data.jsonl.gz", "pages"),
    RealSet("fever-paper-dev", "toolgym/ReActFever-v0", "fever_evidence/paper_dev_9999.jsonl.gz", "pages"),
    RealSet("gsm8k-train", "toolgym/PythonMath-v0", "math_gsm8k/train.jsonl.gz"),
    RealSet("gsm8k-test", "toolgym/PythonMath-v0", "math_gsm8k/test.jsonl.gz"),
    RealSet("math500", "toolgym/PythonMath-v0", "math_competition/math500.jsonl.gz"),
    RealSet("humaneval", "toolgym/PythonCode-v0", "code_humaneval/data.jsonl.gz"),
    RealSet("mbpp", "toolgym/PythonCode-v0", "code_mbpp/data.jsonl.gz", options={"timeout": 60.0}),  # one row needs it
    RealSet("knights-and-knaves-train", "toolgym/KnightsAndKnaves-v0", "logic_kk/train.jsonl.gz"),
    RealSet("knights-and-knaves-test", "toolgym/KnightsAndKnaves-v0", "logic_kk/test.jsonl.gz"),
    RealSet("countdown-train", "toolgym/Countdown-v0", "logic_countdown/train.jsonl.gz"),
    RealSet("countdown-test", "toolgym/Countdown-v0", "logic_countdown/test.jsonl.gz"),
    RealSet("game24", "toolgym/Game24-v0", "logic_game24/data.jsonl.gz"),
)


def main(
    data: Annotated[Path, typer.Option(help="Folder of the data sets.")],
    only: Annotated[list[str] | None, typer.Option(help="Only this set; repeatable.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first rows of each set.")] = None,
    output: Annotated[Path | None, typer.Option(help="Result file; by default none is written for a part.")] = None,
) -> None:
    """Plays the oracle of each environment over its real sets and says what it missed."""
    known = [one.name for one in SETS]
    unknown = sorted(set(only or ()) - set(known))
    if unknown:
        raise InputError(f"there is no set {unknown[0]!r}; there are: {', '.join(known)}")
    console = Console(stderr=True)
    corpus = _Corpus(data / CORPUS)
    results: dict[str, Any] = {}
    for one in SETS:
        if only and one.name not in only:
            continue
        results[one.name] = play(one, data, corpus, limit, console)
        row = results[one.name]
        typer.echo(f"{one.name}: score {row['score']:.4f}, {row['missed']} of {row['rows']} below 1; {row['reasons']}")
    output = output or (None if only or limit else RESULTS)
    if output is not None:
        write_result(output, {**circumstances("toolgym", "math-verify", "sympy"), "sets": results})
    Console(width=150).print(table(results))


def play(one: RealSet, data: Path, corpus: _Corpus, limit: int | None, console: Console) -> dict[str, Any]:
    """Plays the oracle over a set.

    Returns:
        Counts, the score, the reward, and every row below the highest score with its reason.
    """
    made: dict[str, Callable[[], Any]] = {"retriever": corpus.retriever, "pages": corpus.pages}
    options = dict(one.options)
    if one.searches:
        options["corpus" if one.searches == "pages" else "retriever"] = made[one.searches]()
    env = make_env(one.environment, tasks=data / one.tasks, **options)
    engine, codec = load_agent(AgentChoice("oracle"), env)
    started = time.perf_counter()
    count = min(limit or len(env.tasks), len(env.tasks))
    with EvaluationProgress(console, count) as progress:
        result = evaluate(
            engine,
            codec,
            env,
            limit=limit,
            sampling=SamplingParams(temperature=0.0, max_tokens=_NO_BOUND),
            on_episode=progress.episode,
            explain=env.oracle_gap,
        )
    env.close()
    return {"environment": one.environment, "tasks": one.tasks, **_found(result), "seconds": _since(started)}


def _found(result: EvaluationResult) -> dict[str, Any]:
    missed = [{"id": record.task_id, "reason": record.reason, "answer": record.answer} for record in result.missed]
    return {
        "rows": len(result.records),
        "score": result.score,
        "reward": result.reward,
        "missed": len(missed),
        "reasons": dict(Counter(str(one["reason"]).partition(":")[0] for one in missed)),
        "rows_missed": missed,
    }


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 1)


def table(results: Mapping[str, Mapping[str, Any]]) -> Table:
    """The results for a terminal."""
    numbers = [Column(name, justify="right") for name in ("rows", "score", "below 1")]
    shown = Table("set", "environment", *numbers, "why")
    for name, row in results.items():
        counts = (f"{row['rows']:,}", f"{row['score']:.4f}", f"{row['missed']:,}")
        why = "; ".join(f"{count} x {reason}" for reason, count in row["reasons"].items())
        shown.add_row(name, row["environment"], *counts, why)
    return shown


class _Corpus:
    """The passages, read once, as a retriever and as pages."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made: dict[str, Any] = {}

    def retriever(self) -> Any:
        """BM25 over the passages."""
        from ..tools.retrievers import BM25Retriever

        return self._once("retriever", lambda: BM25Retriever(self._passages()))

    def pages(self) -> Any:
        """The passages of each title as a page."""
        from ..tools import PageStore

        return self._once("pages", lambda: PageStore.from_corpus(self._passages()))

    def _passages(self) -> Any:
        from ..tools.retrievers import Corpus

        return self._once("passages", lambda: Corpus.from_jsonl(self._path))

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]


if __name__ == "__main__":
    run_command(main)
