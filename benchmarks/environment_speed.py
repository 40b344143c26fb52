"""Speed of environments: steps, episodes, vectors, imports, with peers.

    python -m toolgym.benchmarks.environment_speed steps --peers PYTHON
    python -m toolgym.benchmarks.environment_speed vectors --peers PYTHON
    python -m toolgym.benchmarks.environment_speed imports --peers PYTHON
    python -m toolgym.benchmarks.environment_speed table

PYTHON is an interpreter of its own with gem-llm, datasets, skyrl-gym, textarena, reasoning-gym and gymnasium.
Everything is timed in rounds that take turns with the peers'; a round's figure is the median of its blocks, and what
is reported is the median of the rounds. One thread, but for vectors on threads.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import typer
from rich.console import Console
from rich.table import Column, Table

from ..envs import Limits, Task, TaskSet, ToolEnv
from ..tools import FunctionSchema, StatelessSession, Tool, ToolCall, ToolResult, ToolSession, ToolStatus
from . import environment_workload as work
from .environment_vectors import SIZE, vector_figures
from .measuring import ask_peers, circumstances, run_command, write_result

RESULTS = Path(__file__).parent / "results" / "environments"
LIMITS = Limits(max_turns=21, max_calls=20, max_observation_characters=10_000)
STEPS = 10
"""Steps of a block."""
OURS, THEIRS = ("gymnasium", "toolgym.envs"), ("gem", "skyrl_gym", "textarena", "reasoning_gym")
"""Modules whose import is timed."""

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
Peers = Annotated[Path | None, typer.Option(help="Interpreter that has the peers installed.")]
Rounds = Annotated[int, typer.Option(min=1, help="How often everything is measured.")]
Blocks = Annotated[int, typer.Option(min=1, help="Blocks of each figure in a round.")]


class FunctionOfText(Tool):
    """A function of a text as the tool `search`, in the caller's thread or with a time limit on one of its own.

    Args:
        function: The function.
        timeout: Its limit in seconds.
    """

    functions = (
        FunctionSchema(
            "search",
            "Searches.",
            {
                "type": "object",
                "properties": {"query": {"type": "string"}},
                "required": ["query"],
                "additionalProperties": False,
            },
        ),
    )

    def __init__(self, function: Callable[[str], str], timeout: float | None = None) -> None:
        self.function, self.timeout = function, timeout

    def open(self, seed: int = 0) -> ToolSession:
        """A session."""
        return _Session(self.function)


class _Session(StatelessSession):
    def __init__(self, function: Callable[[str], str]) -> None:
        self._function = function

    def call(self, call: ToolCall) -> ToolResult:
        return ToolResult(ToolStatus.OK, self._function(call.arguments["query"]))


def make_env(function: Callable[[str], str], timeout: float | None = None, limits: Limits = LIMITS) -> ToolEnv:
    """The environment that is timed: Search-R1's format, limits of turns, calls and characters, everything recorded."""
    tasks = TaskSet([Task("one", work.QUESTION, (work.ANSWER,))])
    return ToolEnv(tasks, [FunctionOfText(function, timeout)], action_format="search_r1", limits=limits)


@app.command()
def steps(
    peers: Peers = None,
    rounds: Rounds = 21,
    blocks: Blocks = 50,
    output: Annotated[Path, typer.Option(help="Result file.")] = RESULTS / "steps.json",
) -> None:
    """Times steps that parse, call the same function and render what it says, and whole episodes."""
    measured = _rounds(rounds, partial(_steps, blocks), peers, "steps", blocks)
    medians = _medians(measured)
    result = {
        **_circumstances(peers),
        "settings": {"rounds": rounds, "blocks": blocks, "steps_per_block": STEPS, "searches_per_episode": work.CALLS},
        "per_second": {name: 1 / seconds for name, seconds in medians.items()},
        "toolgym_over": _ratios(measured),
        "rounds_microseconds": [{name: value * 1e6 for name, value in one.items()} for one in measured],
    }
    write_result(output, result)
    _show(result["per_second"], "a second", "{:,.0f}")
    _show(result["toolgym_over"], "toolgym's rate over a peer's", "{:.2f}")


@app.command()
def vectors(
    peers: Peers = None,
    rounds: Rounds = 7,
    blocks: Blocks = 20,
    output: Annotated[Path, typer.Option(help="Result file.")] = RESULTS / "vectors.json",
) -> None:
    """Times vectors: what they add to steps, and how far the latencies of tools overlap."""
    measured = _rounds(rounds, partial(vector_figures, make_env, blocks), peers, "vectors", blocks)
    medians = _medians(measured)
    overheads = {
        f"{kind}, {name} steps": _overhead(measured, f"{kind}: {name} step of {SIZE}", f"alone: {name} step")
        for kind in ("sync", "on threads")
        for name in ("quick", "busy", "nap")
    }
    for kind in ("gem sync", "gem async") if peers else ():
        step = f"{kind}: quick step of {SIZE}"
        overheads[f"{kind}, quick steps"] = _overhead(measured, step, "gem alone: quick step")
    overlaps = {name: work.LATENCY / value for name, value in medians.items() if name.endswith(f", {work.LATENCY} s")}
    result = {
        **_circumstances(peers),
        "settings": {"rounds": rounds, "blocks": blocks, "latency_seconds": work.LATENCY},
        "overhead": overheads,
        "share_of_ideal_overlap": overlaps,
        "rounds_microseconds": [{name: value * 1e6 for name, value in one.items()} for one in measured],
    }
    write_result(output, result)
    _show(overheads, "time that a vector adds to an environment's step", "{:+.0%}")
    _show(overlaps, "share of the ideal overlap", "{:.3f}")


@app.command()
def imports(
    peers: Peers = None,
    rounds: Rounds = 15,
    output: Annotated[Path, typer.Option(help="Result file.")] = RESULTS / "imports.json",
) -> None:
    """Times imports, each in a process of its own; `toolgym.envs` also over Gymnasium, which it needs."""
    measured: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name in (*OURS, *(THEIRS if peers is not None else ())):
            interpreter = peers if peers is not None and name in THEIRS else Path(sys.executable)
            measured.setdefault(name, []).append(_import_seconds(interpreter, "", name))
        measured.setdefault("toolgym.envs over gymnasium", []).append(
            _import_seconds(Path(sys.executable), "gymnasium", "toolgym.envs")
        )
    medians = {name: statistics.median(values) for name, values in measured.items()}
    result = {
        **_circumstances(peers),
        "settings": {"rounds": rounds},
        "seconds": medians,
        "least_seconds": {name: min(values) for name, values in measured.items()},
    }
    write_result(output, result)
    _show(medians, "seconds to import, medians", "{:.3f}")


@app.command()
def table(folder: Annotated[Path, typer.Option(help="Folder of the results.")] = RESULTS) -> None:
    """Shows the stored results."""
    for file, key, title, form in (
        ("steps", "per_second", "a second", "{:,.0f}"),
        ("steps", "toolgym_over", "toolgym's rate over a peer's", "{:.2f}"),
        ("vectors", "overhead", "time that a vector adds to an environment's step", "{:+.0%}"),
        ("vectors", "share_of_ideal_overlap", "share of the ideal overlap", "{:.3f}"),
        ("imports", "seconds", "seconds to import, medians", "{:.3f}"),
    ):
        path = folder / f"{file}.json"
        if path.is_file():
            _show(json.loads(path.read_text(encoding="utf-8"))[key], title, form)


def _circumstances(peers: Path | None) -> dict[str, Any]:
    """When and where, and with which versions, the peers' among them."""
    told = ask_peers(peers, "environment_peers.py", "versions") if peers else {}
    return {**circumstances("gymnasium", "numpy"), "peers": told}


def _rounds(
    rounds: int, ours: Callable[[], Mapping[str, Sequence[float]]], peers: Path | None, what: str, blocks: int
) -> list[dict[str, float]]:
    """For each round the median of each figure's blocks, in seconds; ours and the peers' take turns."""
    measured = []
    for number in range(rounds):
        typer.echo(f"round {number + 1} of {rounds}", err=True)
        found = dict(ours())
        if peers is not None:
            found |= ask_peers(peers, "environment_peers.py", what, blocks)
        measured.append({name: statistics.median(values) for name, values in found.items()})
    return measured


def _overhead(measured: Sequence[Mapping[str, float]], step: str, alone: str) -> float:
    return statistics.median(one[step] / one[alone] for one in measured) - 1


def _medians(measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in measured) for name in measured[0]}


def _steps(blocks: int) -> dict[str, list[float]]:
    """Seconds of a step and of an episode, one figure for each block."""
    found: dict[str, list[float]] = {}
    kinds = {"toolgym": None, "toolgym, time limit": 30.0}
    for (kind, timeout), (name, tool) in itertools.product(kinds.items(), work.TOOLS.items()):
        env = make_env(tool, timeout)
        for _ in range(blocks):
            env.reset()
            each = work.seconds_each(partial(env.step, work.SEARCHING), STEPS)
            found.setdefault(f"{kind}: step, {name}", []).append(each)
    env = make_env(work.lookup)
    for _ in range(blocks):
        found.setdefault("toolgym: episode", []).append(work.seconds_each(partial(_episode, env), 3))
    for name, action in (("FrozenLake-v1", 1), ("CartPole-v1", 0)):
        game = gym.make(name)
        for _ in range(blocks):
            game.reset(seed=0)
            found.setdefault(f"gymnasium: step, {name}", []).append(_play(game, action))
    return found


def _episode(env: ToolEnv) -> None:
    env.reset()
    for _ in range(work.CALLS):
        env.step(work.SEARCHING)
    _, reward, *_ = env.step(work.ANSWERING)
    if reward != 1:
        raise RuntimeError(f"the right answer earned {reward}")


def _play(game: gym.Env[Any, Any], action: int) -> float:
    """Seconds of a step of one of Gymnasium's games, its resets left out."""
    seconds, count = 0.0, 0
    while count < 5 * STEPS:
        seconds += work.seconds_each(partial(game.step, action), 5)
        count += 5
        game.reset()
    return seconds / (count / 5)


def _import_seconds(interpreter: Path, before: str, name: str) -> float:
    source = str(Path(__file__).resolve().parents[1] / "src")
    program = (
        f"import sys, time\nsys.path.insert(0, {source!r})\n{f'import {before}' if before else ''}\n"
        f"start = time.perf_counter()\nimport {name}\nsys.stderr.write(str(time.perf_counter() - start))"
    )
    done = subprocess.run([str(interpreter), "-c", program], capture_output=True, text=True, check=True)
    return float(done.stderr.splitlines()[-1])


def _ratios(measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """How many of toolgym's steps or episodes go into one of each peer's: medians of the rounds' ratios."""
    ratios = {}
    for name in measured[0]:
        peer, _, what = name.partition(": ")
        if not peer.startswith("toolgym") and f"toolgym: {what}" in measured[0]:
            ratios[name] = statistics.median(one[name] / one[f"toolgym: {what}"] for one in measured)
    return ratios


def _show(figures: Mapping[str, float], title: str, form: str) -> None:
    table = Table("", Column(title, justify="right"))
    for name, value in figures.items():
        table.add_row(name, form.format(value))
    Console().print(table)


if __name__ == "__main__":
    run_command(app)
