"""Evaluations on a terminal: the progress while they run, the table of what they found."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ..tools.base import ToolStatus
from .evaluation import EvaluationResult
from .intervals import Interval
from .trajectory import Outcome

MISSED_SHOWN = 8
_FAILURES = (*(status.value for status in ToolStatus if status is not ToolStatus.OK), "unavailable")


def evaluation_table(
    result: EvaluationResult, title: str, recall: Mapping[str, float], missed_shown: int = MISSED_SHOWN
) -> RenderableType:
    """An evaluation for a terminal: the score with its interval, how episodes ended, and what was missed.

    Args:
        result: What was found.
        title: Who played what.
        recall: The retriever's recall of gold passages, if it was measured.
        missed_shown: Most missed episodes in the list.
    """
    numbers = result.metrics()
    table = Table(show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row("score", Text(_with_interval(result.score, result.interval), style="bold"))
    if result.samples > 1:
        table.add_row(f"best of {result.samples}", f"{result.best_score:.3f}")
    table.add_row("reward", _with_interval(result.reward, result.reward_interval))
    for name, value in result.reward_terms.items():
        table.add_row(f"  {name}", f"{value:.3f}")
    table.add_row("tasks", f"{result.tasks}" + (f" x {result.samples} samples" if result.samples > 1 else ""))
    table.add_row("stop reasons", _counts(result.by_stop_reason))
    table.add_row("calls", _counts(result.calls) or "none")
    if result.faults:
        table.add_row("format faults", _counts(result.faults))
    if result.statistics.abandoned_calls:
        abandoned = f"{result.statistics.abandoned_calls} passed their timeout and still run"
        table.add_row("abandoned calls", Text(abandoned, style="red"))
    if result.failed:
        table.add_row("failed", Text(f"{result.failed} episodes lost to the infrastructure, in no mean", style="red"))
    table.add_row("turns", f"{numbers['turns_mean']:.2f} per episode")
    table.add_row("tokens", f"{numbers['action_tokens_mean']:.1f} written per episode")
    table.add_row("speed", f"{numbers['tokens_per_second']:,.0f} tokens/s, {numbers['seconds']:.1f} s")
    table.add_row("hidden tool time", f"{numbers['hidden_tool_share']:.0%}")
    for name, value in recall.items():
        table.add_row(f"retriever {name}", f"{value:.3f}")
    parts: list[RenderableType] = [Text(title, style="bold"), table]
    tools = {name: tool.as_json() for name, tool in result.statistics.tools.items()}
    if any(tool["calls"] or tool["unavailable"] for tool in tools.values()):
        parts.append(tool_table(tools))
    if result.missed:
        parts += _missed_table(result, missed_shown)
    return Group(*parts)


def tool_table(tools: Mapping[str, Mapping[str, Any]]) -> Table:
    """The calls of each function for a terminal: how they ended, how long they took, what was saved.

    Args:
        tools: By function, what `ToolStatistics.as_json` gives.
    """
    table = Table(title="tools", title_justify="left", title_style="bold")
    for column in ("function", "calls", "failed", "p50", "p95", "queued", "cached"):
        table.add_column(column, justify="left" if column in ("function", "failed") else "right")
    for name, tool in tools.items():
        failed = {kind: int(tool[kind]) for kind in _FAILURES if tool[kind]}
        seconds, hit_rate = tool["seconds"], tool.get("cache_hit_rate")
        table.add_row(
            Text(name),
            f"{tool['calls']:.0f}",
            Text(_counts(failed) or "none", style="" if not failed else "red"),
            _milliseconds(seconds.get("latency_p50")),
            _milliseconds(seconds.get("latency_p95")),
            f"{seconds['queue']:.1f} s",
            "–" if hit_rate is None else f"{hit_rate:.0%}",
        )
    return table


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _missed_table(result: EvaluationResult, shown: int) -> list[RenderableType]:
    missed = result.missed
    title = f"missed: {len(missed)} of {len(result.records)}"
    if len(missed) > shown:
        title += f", the first {shown} shown (--missed FILE writes all)"
    table = Table()
    for column in ("task", "reason", "answer", "gold", "question"):
        table.add_column(column, overflow="ellipsis", no_wrap=True, max_width=48)
    for record in missed[:shown]:
        cells = (record.task_id, record.reason, record.answer or "", " | ".join(record.gold), record.question)
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    return [Text(title, style="bold"), table]


def one_line(text: str) -> str:
    """What a model wrote, on one line that any terminal can show: lone surrogates become question marks."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _with_interval(value: float, interval: Interval) -> str:
    return f"{value:.3f}  [{interval.low:.3f}, {interval.high:.3f}]  95 %, {interval.method}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


class EvaluationProgress:
    """Shows how far an evaluation is: a bar on a terminal, plain lines elsewhere. Use it as a context manager.

    Args:
        console: Where to write.
        total: Episodes to come.
        every: Least seconds between two plain lines.
    """

    def __init__(self, console: Console, total: int, every: float = 5.0) -> None:
        self.console, self.total, self.every = console, total, every
        self.done, self.score_sum, self.valid = 0, 0.0, 0
        self._bar: Progress | None = None
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self.console, transient=True)
            self._task = self._bar.add_task("score –", total=self.total)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def episode(self, outcome: Outcome) -> None:
        """Counts a finished episode."""
        self.done += 1
        if not outcome.failed:
            self.valid, self.score_sum = self.valid + 1, self.score_sum + outcome.score
        score = f"score {self.score_sum / self.valid:.3f}" if self.valid else "score –"
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, description=score)
        elif time.monotonic() - self._last >= self.every:
            self._last = time.monotonic()
            self.console.print(Text(f"{self.done}/{self.total} episodes, {score}"), soft_wrap=True)
