"""What the tool runtime costs per call, and steps of an environment whose tool does nothing.

    python -m toolgym.benchmarks.tool_runtime

Processor time of one process, medians of interleaved rounds. A call with a timeout runs on a thread; its peer is the
plain way to do that, a new thread for each call.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..envs.env import ToolEnv
from ..envs.limits import Limits
from ..envs.task import Task, TaskSet
from ..tools import (
    FunctionSchema,
    StatelessSession,
    Tool,
    ToolCall,
    ToolPolicy,
    ToolResult,
    ToolRuntime,
    ToolSession,
    ToolStatus,
)
from ..trainers.run_folder import versions
from .measuring import run_command

RESULTS = Path(__file__).parent / "results" / "tool_runtime"
SEED = 0
CALL = ToolCall("search", {"query": "where?"})


class Echo(Tool):
    """Says its argument again."""

    functions = (
        FunctionSchema(
            "search",
            "Says it again.",
            {
                "type": "object",
                "properties": {"query": {"type": "string"}},
                "required": ["query"],
                "additionalProperties": False,
            },
        ),
    )

    def __init__(
        self, timeout: float | None = None, policy: ToolPolicy | None = None, *, cacheable: bool = False
    ) -> None:
        self.timeout, self.policy, self.cacheable = timeout, policy or ToolPolicy(), cacheable

    def open(self, seed: int = 0) -> ToolSession:
        """A session."""
        return _EchoSession()


class _EchoSession(StatelessSession):
    def call(self, call: ToolCall) -> ToolResult:
        return ToolResult(ToolStatus.OK, call.arguments["query"])


def main(
    rounds: Annotated[int, typer.Option(help="Rounds over all measurements; medians are reported.")] = 15,
    calls: Annotated[int, typer.Option(help="Calls per measurement and round.")] = 2000,
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = RESULTS,
) -> None:
    """Measures and writes the results."""
    measured: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, work in _calls().items():
            measured.setdefault(name, []).append(_seconds_each(work, calls))
        measured.setdefault("environment step", []).append(_seconds_per_step(calls))
    microseconds = {name: statistics.median(values) * 1e6 for name, values in measured.items()}
    result: dict[str, Any] = {
        "microseconds": microseconds,
        "environment_steps_per_second": 1e6 / microseconds["environment step"],
        "new_thread_over_timeout": microseconds["new thread per call"] / microseconds["timeout"],
        "rounds": rounds,
        "calls": calls,
        "seed": SEED,
        "versions": versions(),
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    typer.echo(json.dumps(result, indent=2))


def _calls() -> dict[str, Callable[[], object]]:
    """What is measured: one call each."""
    session = Echo().open()
    runtimes = {
        "no timeout": ToolRuntime([Echo()]),
        "timeout": ToolRuntime([Echo(timeout=30.0)]),
        "cache hit": ToolRuntime([Echo(timeout=30.0, cacheable=True)]),
        "limits": ToolRuntime([Echo(policy=ToolPolicy(max_concurrency=8, calls_per_second=1e9))]),
    }
    calls: dict[str, Callable[[], object]] = {"session alone": lambda: session.call(CALL)}
    for name, runtime in runtimes.items():
        calls[name] = lambda runtime=runtime: runtime.call(CALL)  # type: ignore[misc]
    calls["new thread per call"] = lambda: _on_new_thread(runtimes["no timeout"])
    return calls


def _on_new_thread(runtime: ToolRuntime) -> None:
    done = threading.Event()

    def run() -> None:
        runtime.call(CALL)
        done.set()

    threading.Thread(target=run, daemon=True).start()
    done.wait(30.0)


def _seconds_each(work: Callable[[], object], count: int) -> float:
    for _ in range(count // 10):
        work()
    started = time.process_time()
    for _ in range(count):
        work()
    return (time.process_time() - started) / count


def _seconds_per_step(count: int) -> float:
    """Steps of episodes of 100 calls, resets included."""
    tasks = TaskSet([Task("one", "Where?", ("there",))])
    env = ToolEnv(tasks, [Echo()], action_format="search_r1", limits=Limits(max_turns=101))
    started = time.process_time()
    for index in range(count):
        if index % 100 == 0:
            env.reset(seed=SEED)
        env.step("<search> where? </search>")
    return (time.process_time() - started) / count


if __name__ == "__main__":
    run_command(main)
