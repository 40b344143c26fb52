"""Search on real passages: how fast, how large, and how much of what it should find.

    python -m toolgym.benchmarks.retrieval quality --data DATA --encoder MINILM --work WORK    # an hour on one core
    python -m toolgym.benchmarks.retrieval timing core --data DATA --encoder MINILM --work WORK
    python -m toolgym.benchmarks.retrieval timing all --data DATA --work WORK                  # within 4 GiB
    python -m toolgym.benchmarks.retrieval table                       # the README's tables, from the stored results

DATA is the folder of public data sets (`wiki_paragraphs`, `hotpotqa_distractor`, ...), MINILM a checkpoint folder of
all-MiniLM-L6-v2, WORK a folder for the indexes; what is there already is used again, and an embedding that was stopped
goes on.
"""

from __future__ import annotations

import gzip
import json
import random
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from ..envs.sources import read_rows
from ..tools.errors import InputError
from ..tools.retrievers.base import Retriever
from ..tools.retrievers.encoders import TransformersEncoder
from ..tools.retrievers.hybrid import HybridRetriever
from ..tools.retrievers.index_folder import build_index, open_index
from ..trainers.run_folder import versions
from .measuring import run_command
from .ranking_quality import JudgedQuestion, check_gold, ranking_quality, read_judged_questions
from .retrieval_timing import in_own_process

RESULTS = Path(__file__).parent / "results" / "retrieval"
CORPUS = {"core": ("core",), "all": ("core", "background")}
SETS = {
    "HotpotQA": "hotpotqa_distractor/dev.jsonl.gz",
    "2WikiMultihopQA": "2wikimultihopqa/dev.jsonl.gz",
    "MuSiQue": "musique/dev.jsonl.gz",
    "NQ": "nq_oracle/data.jsonl.gz",
    "SQuAD v1.1": "squad_v1.1/dev.jsonl.gz",
}
COLLECTIONS = {"Cranfield": "ir_cranfield", "CISI": "ir_cisi"}
KINDS = ("bm25", "dense", "hybrid")
TIMED_QUESTIONS = SETS["HotpotQA"]

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)

Data = Annotated[Path, typer.Option(help="Folder of the data sets.")]
Work = Annotated[Path, typer.Option(help="Folder for the indexes.")]
Results = Annotated[Path, typer.Option(help="Where the results lie.")]


@app.command()
def quality(
    data: Data,
    encoder: Annotated[str, typer.Option(help="Checkpoint folder of the dense encoder.")],
    work: Work = Path("runs/retrieval"),
    limit: Annotated[int | None, typer.Option(help="A seeded sample of so many questions of each set; all.")] = None,
    seed: Annotated[int, typer.Option(help="Of that sample.")] = 0,
    results: Results = RESULTS,
) -> None:
    """Recall over the core passages and nDCG on the two collections, for BM25, dense and hybrid."""
    model = _RememberingEncoder(encoder, threads=1, batch_size=8)
    command = (
        f"python -m toolgym.benchmarks.retrieval quality --data DATA --encoder MINILM --limit {limit} --seed {seed}"
    )
    sets: dict[str, Any] = {}
    result = {"command": command, "encoder": dict(model.description), "sets": sets, "seed": seed}
    core = _corpus_file(data, work, "core")
    retrievers = _retrievers(core, work / "quality-core", model)
    for name, path in SETS.items():
        judged = read_judged_questions(data / path)
        sets[name] = {"file": path, **_measure(name, judged, retrievers, limit, seed)}
        _write(results / "quality.json", result)
    for name, folder in COLLECTIONS.items():
        source, empty = _without_empty(data / folder / "corpus.jsonl.gz", work / f"{folder}.jsonl.gz")
        retrievers = _retrievers(source, work / f"quality-{folder}", model)
        queries, qrels = data / folder / "queries.jsonl.gz", data / folder / "qrels.jsonl.gz"
        judged = read_judged_questions(queries, qrels, skip_unjudged=True)
        kept = [_without(question, empty) for question in judged]
        dropped = sum(len(question.grades) for question in judged) - sum(len(question.grades) for question in kept)
        about = {"file": folder, "empty_documents_left_out": len(empty), "their_judgements_left_out": dropped}
        sets[name] = {**about, **_measure(name, kept, retrievers, None, seed)}
        _write(results / "quality.json", result)


@app.command()
def timing(
    passages: Annotated[str, typer.Argument(help="core (82,466 passages) or all (with background, 268,029).")],
    data: Data,
    encoder: Annotated[str | None, typer.Option(help="Checkpoint of the encoder; without, no dense index.")] = None,
    work: Work = Path("runs/retrieval"),
    questions: Annotated[int, typer.Option(help="Questions of HotpotQA to search for, drawn with the seed.")] = 100,
    rounds: Annotated[int, typer.Option(help="Rounds in which the engines take turns.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the sample of questions.")] = 0,
    results: Results = RESULTS,
) -> None:
    """Build time, size on disk, peak memory and queries per second; every build in a process of its own."""
    if passages not in CORPUS:
        raise InputError(f"unknown passages {passages!r}; choose from {', '.join(CORPUS)}")
    source = str(_corpus_file(data, work, passages))
    folder = work / f"timing-{passages}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    asked = {"questions": str(data / TIMED_QUESTIONS), "count": questions, "rounds": rounds, "seed": seed}
    builds = {
        kind: in_own_process("build", source=source, folder=str(folder / kind), kind=kind) for kind in ("bm25", "disk")
    }
    builds["rank_bm25"] = in_own_process("build_rank_bm25", source=source)
    builds["bm25s"] = in_own_process("build_bm25s", source=source, folder=str(folder / "bm25s"))
    result: dict[str, Any] = {"passages": builds["bm25"]["passages"], "source_bytes": Path(source).stat().st_size}
    result["build"] = builds
    result["search"] = {
        "words": in_own_process("search_words", source=source, folder=str(folder / "bm25"), **asked),
        "bm25": in_own_process("search_index", folder=str(folder / "bm25"), **asked),
        "disk": in_own_process("search_index", folder=str(folder / "disk"), **asked),
    }
    if encoder is not None:
        dense = work / f"quality-{passages}"  # made by the quality command: embedding is timed there
        for part, kind in ((1, "dense"), (None, "hybrid")):
            result["search"][kind] = in_own_process("search_index", folder=str(dense), part=part, **asked)
        result["vectors"] = in_own_process(
            "search_vectors", folder=str(dense), encoder=encoder, kinds=["flat", "hnsw", "ivf_pq"], **asked
        )
    command = f"python -m toolgym.benchmarks.retrieval timing {passages} --data DATA --questions {questions}"
    _write(
        results / f"timing-{passages}.json",
        {"command": f"{command} --rounds {rounds} --seed {seed}", "seed": seed, **result},
    )


@app.command()
def table(results: Results = RESULTS) -> None:
    """Prints the stored results as Markdown."""
    for name in CORPUS:
        path = results / f"timing-{name}.json"
        if path.exists():
            typer.echo("\n".join(_timing_lines(json.loads(path.read_text()))) + "\n")
    if (results / "quality.json").exists():
        typer.echo("\n".join(_quality_lines(json.loads((results / "quality.json").read_text()))))


class _RememberingEncoder(TransformersEncoder):
    """Encodes a question once, for dense and hybrid."""

    def __init__(self, model: str, **options: Any) -> None:
        super().__init__(model, **options)
        self._seen: dict[str, Any] = {}

    def encode_queries(self, texts: Sequence[str]) -> Any:
        """One row per query."""
        import numpy as np

        missing = [text for text in dict.fromkeys(texts) if text not in self._seen]
        self._seen.update(zip(missing, super().encode_queries(missing), strict=True))
        return np.stack([self._seen[text] for text in texts])


def _retrievers(source: Path, folder: Path, encoder: TransformersEncoder) -> dict[str, Retriever]:
    """The three kinds, out of one hybrid index."""

    def show(step: str, done: int, total: int | None) -> None:
        typer.echo(f"{folder.name}: {step} {done}/{total or '?'}", err=True)

    build_index(source, folder, "hybrid", encoder=encoder, progress=show)
    hybrid = open_index(folder, encoder=encoder)
    assert isinstance(hybrid, HybridRetriever)
    return dict(zip(KINDS, (*hybrid.retrievers, hybrid), strict=True))


def _measure(
    name: str, judged: Sequence[JudgedQuestion], retrievers: Mapping[str, Retriever], limit: int | None, seed: int
) -> dict[str, Any]:
    corpus = retrievers["bm25"].corpus  # type: ignore[attr-defined]
    check_gold(judged, corpus, name)
    gold = {passage for question in judged for passage in question.grades}
    chosen = random.Random(seed).sample(list(judged), limit) if limit and limit < len(judged) else list(judged)
    known = sum(passage.id in gold for passage in corpus)
    found = {"questions": len(chosen), "of": len(judged), "gold_passages": len(gold), "gold_in_corpus": known}
    for kind, retriever in retrievers.items():
        typer.echo(f"{name}: {kind}", err=True)
        found[kind] = ranking_quality(retriever, chosen).as_json()  # type: ignore[assignment]
    return found


def _corpus_file(data: Path, work: Path, passages: str) -> Path:
    """One file with the passages."""
    parts = [data / "wiki_paragraphs" / f"{part}.jsonl.gz" for part in CORPUS[passages]]
    if len(parts) == 1:
        return parts[0]
    path = work / f"{passages}.jsonl.gz"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        with gzip.open(draft, "wb", compresslevel=1) as file:
            for part in parts:
                with gzip.open(part, "rb") as rows:
                    shutil.copyfileobj(rows, file)
        draft.replace(path)
    return path


def _without_empty(source: Path, target: Path) -> tuple[Path, set[str]]:
    """The documents that have a text, and the ids of those that have none: two of Cranfield, one of them judged."""
    rows = list(read_rows(source))
    full = [row for row in rows if row["text"].strip()]
    target.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(target, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in full)
    return target, {str(row["id"]) for row in rows if not row["text"].strip()}


def _without(question: JudgedQuestion, left_out: Collection[str]) -> JudgedQuestion:
    grades = {passage: grade for passage, grade in question.grades.items() if passage not in left_out}
    return replace(question, grades=grades)


def _write(path: Path, result: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**result, "versions": _versions()}, indent=2) + "\n", encoding="utf-8")
    typer.echo(f"wrote {path}")


def _versions() -> dict[str, Any]:
    """Versions of what the results depend on, and the hardware."""
    return {**versions(), **{package: version(package) for package in ("rank-bm25", "faiss-cpu", "tantivy")}}


def _timing_lines(result: Mapping[str, Any]) -> list[str]:
    builds, words = result["build"], result["search"]["words"]
    names = {"bm25": "BM25", "disk": "on disk (tantivy)", "rank_bm25": "rank_bm25 alone", "bm25s": "bm25s alone"}
    lines = [f"{result['passages']:,} passages, one thread", ""]
    lines += ["| index | build | on disk | peak memory of the build |", "|---|---|---|---|"]
    for kind, name in names.items():
        build = builds[kind]
        size = "–" if build["total_bytes"] is None else f"{build['total_bytes'] / 1e6:,.0f} MB"
        peak = build["peak_memory_bytes"] / 2**30
        lines.append(f"| {name} | {build['total_seconds']:.1f} s | {size} | {peak:.2f} GiB |")
    speeds, over = words["queries_per_second"], words["speed_over"]
    lines += ["", "| queries a second, k = 10 | one by one | in a batch |", "|---|---|---|"]
    lines.append(f"| BM25Retriever | {speeds['toolgym']:,.0f} | {speeds['toolgym batch']:,.0f} |")
    lines.append(f"| bm25s alone | {speeds['bm25s']:,.0f} | {speeds['bm25s batch']:,.0f} |")
    lines.append(f"| rank_bm25 | {speeds['rank_bm25']:.1f} | |")
    searched = {"disk": names["disk"], "dense": "dense (MiniLM, flat, encoding included)", "hybrid": "hybrid of both"}
    for kind, name in searched.items():
        if kind in result["search"]:
            each = result["search"][kind]["queries_per_second"]
            lines.append(f"| {name} | {each['one by one']:,.0f} | {each['batch']:,.0f} |")
    lines += ["", f"BM25Retriever: {over['rank_bm25']:,.0f} times rank_bm25, {over['bm25s']:.2f} times bm25s alone"]
    lines[-1] += f" ({over['bm25s batch']:.2f} in a batch); the first ten equal rank_bm25's, scores included, for "
    lines[-1] += f"{words['identical_top_10']} of {words['questions']} questions"
    return lines + (["", *_vector_lines(result["vectors"])] if "vectors" in result else [])


def _vector_lines(result: Mapping[str, Any]) -> list[str]:
    count, dimension = result["vectors"]
    lines = [f"{count:,} vectors of {dimension} ({result['vector_bytes'] / 1e6:,.0f} MB), queries encoded before", ""]
    lines += [
        "| vector index | build | beside the vectors | queries a second | of the exact ten |",
        "|---|---|---|---|---|",
    ]
    for kind, about in result["kinds"].items():
        size, speed = about["bytes_beside_vectors"] / 1e6, about["queries_per_second"]
        lines.append(
            f"| {kind} | {about['build_seconds']:.1f} s | {size:,.0f} MB | {speed:,.0f} | {about['found']:.3f} |"
        )
    speeds = result["queries_per_second"]
    lines.append(f"| faiss IndexFlatIP alone | | | {speeds['faiss IndexFlatIP']:,.0f} | 1.000 |")
    encoded = f"encoding: {result['passages_encoded_per_second']:,.0f} passages or {speeds['encoding the query']:,.0f} "
    return [*lines, "", encoded + "queries (one by one) a second"]


def _quality_lines(result: Mapping[str, Any]) -> list[str]:
    columns = ("recall@5", "recall@10", "recall@20", "mrr", "ndcg@10")
    lines = ["| questions | retriever | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for name, found in result["sets"].items():
        for kind in KINDS:
            head = f"{name} ({found['questions']:,})" if kind == KINDS[0] else ""
            best = {column: max(found[each][column] for each in KINDS) for column in columns}
            cells = [f"**{v:.3f}**" if (v := found[kind][c]) == best[c] else f"{v:.3f}" for c in columns]
            lines.append(f"| {head} | {kind} | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    run_command(app)
