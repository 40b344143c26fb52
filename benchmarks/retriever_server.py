"""What `toolgym serve retriever` does under 64 concurrent clients of each published protocol.

    python -m toolgym.benchmarks.retriever_server CORPUS_OR_INDEX QUESTIONS.jsonl.gz

The questions (field `question`) are asked one per request, each client waiting for its answer, by a process beside the
server's; the answers of all protocols must be the local retriever's passages. The same questions put to the retriever
within a process, one after the other and in one batch, are the limit that a server can come near to.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from ..tools.retrievers import HttpRetriever, open_retriever
from ..tools.retrievers.base import Retriever
from ..tools.retrievers.protocols import PROTOCOLS, RetrieverProtocol
from ..trainers.run_folder import versions
from .measuring import run_command

RESULTS = Path(__file__).parent / "results" / "retriever_server"
K = 3


def main(
    spec: Annotated[str, typer.Argument(help="A corpus file, or the folder of an index.")],
    questions: Annotated[Path, typer.Argument(help="JSON lines with a field `question`.")],
    clients: Annotated[int, typer.Option(help="Concurrent clients.")] = 64,
    limit: Annotated[int, typer.Option(help="A seeded sample of so many questions.")] = 2000,
    runs: Annotated[int, typer.Option(help="Runs; medians are reported.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    output: Annotated[Path, typer.Option(help="Result file.")] = RESULTS / "bm25.json",
) -> None:
    """Measures, prints and writes the result."""
    asked = _sample(questions, limit, seed)
    retriever = open_retriever(spec)
    command = [sys.executable, "-m", "toolgym", "serve", "retriever", spec, "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        about = json.loads(server.stdout.readline())
        try:
            rounds = [_round(retriever, about["url"], asked, clients) for _ in range(runs)]
        finally:
            server.terminate()
    result: dict[str, Any] = {
        "passages": about["passages"],
        "questions": len(asked),
        "clients": clients,
        "k": K,
        "runs": runs,
        "seed": seed,
        "load": [round(value, 1) for value in os.getloadavg()],
        "medians": {way: _medians([each[way] for each in rounds]) for way in rounds[0]},
        "versions": versions(),
    }
    text = json.dumps(result, indent=2) + "\n"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    typer.echo(text)


def _sample(questions: Path, limit: int, seed: int) -> list[str]:
    opened = gzip.open if questions.suffix == ".gz" else open
    with opened(questions, "rt", encoding="utf-8") as lines:
        texts = [str(json.loads(line)["question"]) for line in lines]
    return random.Random(seed).sample(texts, min(limit, len(texts)))


def _round(retriever: Retriever, url: str, questions: Sequence[str], clients: int) -> dict[str, dict[str, float]]:
    """Every way of asking once, one after the other."""
    start = time.perf_counter()
    local = [retriever.search(question, K) for question in questions]
    one_by_one = time.perf_counter() - start
    start = time.perf_counter()
    retriever.search_batch(questions, K)
    ways = {
        "local, one by one": {"per_second": len(questions) / one_by_one},
        "local, one batch": {"per_second": len(questions) / (time.perf_counter() - start)},
    }
    for name, protocol in PROTOCOLS.items():
        start = time.perf_counter()
        answers = asyncio.run(_ask_all(url, protocol, questions, clients))
        rate = len(questions) / (time.perf_counter() - start)
        for (_, body), row in zip(answers, local, strict=True):
            (found,) = protocol.parse(json.loads(body), 1, K)
            assert [hit.passage.text for hit in found] == [hit.passage.text for hit in row]
        seconds = sorted(seconds for seconds, _ in answers)
        latency = {f"p{share}_ms": 1000 * seconds[len(seconds) * share // 100] for share in (50, 95, 99)}
        ways[name] = {"per_second": rate, **latency, "share_of_local": rate * one_by_one / len(questions)}
    with HttpRetriever(url, cache_size=0) as remote:
        start = time.perf_counter()
        assert remote.search_batch(questions, K) == local
        ways["HttpRetriever, one batch"] = {"per_second": len(questions) / (time.perf_counter() - start)}
    return ways


async def _ask_all(
    url: str, protocol: RetrieverProtocol, questions: Sequence[str], clients: int
) -> list[tuple[float, bytes]]:
    """Seconds and answer of each question."""
    answers: list[tuple[float, bytes]] = [(0.0, b"")] * len(questions)
    waiting = iter(range(len(questions)))

    async def client() -> None:
        # Bare sockets: on a machine with few cores a client library would take as much time as the server.
        host, port = urlsplit(url).hostname, urlsplit(url).port
        reader, writer = await asyncio.open_connection(host, port)
        for position in waiting:
            body = json.dumps(protocol.request([questions[position]], K)).encode()
            head = f"POST {protocol.route} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
            start = time.perf_counter()
            writer.write(head.encode() + body)
            headers = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            assert headers.startswith("http/1.1 200"), headers
            length = int(headers.split("content-length:")[1].split("\r\n")[0])
            answer = await reader.readexactly(length)
            answers[position] = (time.perf_counter() - start, answer)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers


def _medians(rounds: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {name: round(statistics.median(each[name] for each in rounds), 3) for name in rounds[0]}


if __name__ == "__main__":
    run_command(main)
