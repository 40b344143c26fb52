"""Speed of the Python sandbox with all layers on, and whether 10,000 calls leave anything behind.

    python -m toolgym.benchmarks.sandbox speed --peers PYTHON     # PYTHON: an interpreter with gem-llm and skyrl-gym
    python -m toolgym.benchmarks.sandbox growth                   # exit code 1 if anything grew

The peers run each call in a fresh interpreter without confinement; they are timed in the same rounds. Figures are
medians over rounds of each round's median or percentile.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..tools.sandbox import Outcome, Sandbox, SandboxLimits, isolation_report
from . import sandbox_growth
from .measuring import ask_peers, circumstances, run_command, write_result

RESULTS = Path(__file__).parent / "results" / "sandbox"
LIMITS = SandboxLimits()
STEP = "x = x * 5 % 97\nx"
NUMERIC = "import numpy as np\nprint(int(np.arange(7).sum()))"
WARM_UP = 20

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)


@app.command()
def speed(
    peers: Annotated[Path | None, typer.Option(help="Interpreter that has gem-llm and skyrl-gym installed.")] = None,
    rounds: Annotated[int, typer.Option(help="How often everything is measured.")] = 5,
    calls: Annotated[int, typer.Option(help="Calls per round in an open session.")] = 2_000,
    fresh: Annotated[int, typer.Option(help="Fresh interpreters per round, back to back.")] = 200,
    peer_calls: Annotated[int, typer.Option(help="Calls per round, tool and kind of code of the peers.")] = 50,
    threads: Annotated[int, typer.Option(help="Threads with a session each, for calls per second.")] = 2,
    output: Annotated[Path, typer.Option(help="Result file.")] = RESULTS / "speed.json",
) -> None:
    """Times calls in an open session, fresh interpreters, calls per second, and the peers."""
    console = Console()
    measured: list[dict[str, float]] = []
    versions: dict[str, str] = {}
    for number in range(rounds):
        console.print(f"round {number + 1} of {rounds}")
        figures = {**_open_session(calls), **_fresh_interpreters(fresh), **_throughput(calls, threads)}
        if peers is not None:
            told = ask_peers(peers, "sandbox_peers.py", peer_calls)
            versions |= {name: str(one.pop("version")) for name, one in told.items()}
            for name, one in told.items():
                for kind, times in one.items():
                    figures |= _summary(f"{name} {kind.removesuffix('_milliseconds')}", times)
        measured.append(figures)
    result = {
        **_circumstances(),
        "peers": versions,
        "settings": {"rounds": rounds, "calls": calls, "fresh": fresh, "peer_calls": peer_calls, "threads": threads},
        "medians": {name: statistics.median(one[name] for one in measured) for name in measured[0]},
        "rounds": measured,
    }
    write_result(output, result)
    table = Table("figure", "median of rounds", "lowest", "highest", title="Python sandbox, all layers on")
    for name, value in result["medians"].items():
        values = [one[name] for one in measured]
        table.add_row(name, f"{value:.3f}", f"{min(values):.3f}", f"{max(values):.3f}")
    console.print(table)


@app.command()
def growth(
    calls: Annotated[int, typer.Option(help="Calls in all.")] = 10_000,
    per_session: Annotated[int, typer.Option(help="Calls per session, as an episode makes.")] = 10,
    output: Annotated[Path, typer.Option(help="Result file.")] = RESULTS / "growth.json",
) -> None:
    """Makes calls in sessions that are opened and closed, some of which time out or die, and counts what is left."""
    result = sandbox_growth.measure(calls, per_session, lambda text: typer.echo(text))
    write_result(output, {**_circumstances(), **result})
    table = Table("count", "before", "after", "allowed growth", title=f"{calls:,} calls in sessions of {per_session}")
    for name, allowed in sandbox_growth.ALLOWED.items():
        table.add_row(name, *(f"{value:,}" for value in (result["before"][name], result["after"][name], allowed)))
    Console().print(table)
    typer.echo(f"outcomes: {result['outcomes']}; wrong answers: {len(result['wrong'])}; {result['seconds']:.0f} s")
    if result["grown"] or result["wrong"]:
        typer.echo(
            f"grown: {', '.join(result['grown']) or 'nothing'}; wrong: {'; '.join(result['wrong'][:5]) or 'nothing'}"
        )
        raise typer.Exit(1)


def _open_session(calls: int) -> dict[str, float]:
    with Sandbox("sandbox", LIMITS) as sandbox:
        sandbox.run("x = 1")
        _steps(sandbox, WARM_UP)
        return _summary("call in an open session", _steps(sandbox, calls))


def _steps(sandbox: Sandbox, calls: int) -> list[float]:
    """Milliseconds of each call."""
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        execution = sandbox.run(STEP)
        times.append((time.perf_counter() - start) * 1e3)
        if execution.outcome is not Outcome.OK:
            raise RuntimeError(f"a call failed: {execution}")
    return times


def _fresh_interpreters(count: int) -> dict[str, float]:
    """Open, use numpy, close, back to back: what refills the pool meanwhile is in the mean, so the mean counts."""
    times: list[float] = []

    def once() -> None:
        start = time.perf_counter()
        with Sandbox("sandbox", LIMITS) as sandbox:
            execution = sandbox.run(NUMERIC)
        times.append((time.perf_counter() - start) * 1e3)
        if execution.output != "21\n":
            raise RuntimeError(f"a fresh interpreter failed: {execution}")

    for _ in range(WARM_UP):
        once()
    times.clear()
    start = time.perf_counter()
    for _ in range(count):
        once()
    total = (time.perf_counter() - start) * 1e3
    return {
        **_summary("fresh interpreter with numpy", times),
        "fresh interpreter with numpy, total/count ms": total / count,
    }


def _throughput(calls: int, threads: int) -> dict[str, float]:
    """Calls per second of several sessions, each in a thread of the host."""

    def work(_: int) -> None:
        with Sandbox("sandbox", LIMITS) as sandbox:
            sandbox.run("x = 1")
            _steps(sandbox, calls)

    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        list(pool.map(work, range(threads)))
        return {f"calls per second, {threads} sessions": threads * calls / (time.perf_counter() - start)}


def _summary(name: str, times: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return {f"{name}, median ms": cuts[49], f"{name}, p90 ms": cuts[89], f"{name}, p99 ms": cuts[98]}


def _circumstances() -> dict[str, Any]:
    """When, where, and under which layers."""
    return {
        **circumstances("numpy"),
        "user": "root" if os.geteuid() == 0 else "ordinary user",
        "layers": {layer.name: layer.active for layer in isolation_report("sandbox")},
    }


if __name__ == "__main__":
    run_command(app)
