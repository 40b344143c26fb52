"""The red and green tables of `toolgym check`, and its progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from .report import CheckReport, CheckResult, Verdict
from .trials import Trial

_STYLES: Mapping[Verdict, str] = {"green": "green", "red": "bold red", "skipped": "yellow"}
_SIGNS: Mapping[Verdict, str] = {"green": "✓", "red": "✗", "skipped": "–"}


def report_tables(report: CheckReport) -> RenderableType:
    """Everything of one environment: its checks, its canaries, its counts."""
    title = (
        f"{report.environment}: {report.tasks} tasks, seed {report.seed}, "
        f"format {report.action_format}, reward {report.reward}"
    )
    parts: list[RenderableType] = [Text(title, style="bold")]
    if report.results:
        checks = Table("check", "verdict", Column("seconds", justify="right"), Column("reason", overflow="fold"))
        for result in report.results:
            verdict = Text(result.verdict, style=_STYLES[result.verdict])
            checks.add_row(result.name, verdict, f"{result.seconds:.2f}", Text(result.reason))
        parts.append(checks)
    if report.trials:
        parts.append(_canary_table(report))
    parts.append(Text(counts_line(report), style="green" if report.ok else "bold red"))
    return Group(*parts)


def _canary_table(report: CheckReport) -> Table:
    right = ("episodes", "score", "reward", "wrong, at most", "calls", "gain")
    table = Table("canary", "verdict", *(Column(name, justify="right") for name in right), "reason")
    for trial in report.trials:
        verdict = verdict_of(trial)
        cells = [""] * len(right)
        if trial.episodes:
            most = "–" if trial.wrong_reward is None else f"{trial.wrong_reward:.3g}"
            cells = [str(trial.episodes), f"{trial.score:.3f}", f"{trial.reward:.3f}", most]
            cells += [f"{trial.calls:.1f}", f"{trial.gain:.2f}"]
        table.add_row(trial.canary, Text(verdict, style=_STYLES[verdict]), *cells, Text(trial.reason))
    table.caption = (
        f"guess rate {report.guess_rate:.2g}, ceiling of a wrong answer {report.wrong_ceiling:.3g}, "
        f"gameability {report.gameability:.2f}"
    )
    return table


def verdict_of(trial: Trial) -> Verdict:
    """A canary's verdict in the words of the checks."""
    return "red" if not trial.ok else "green" if trial.episodes else "skipped"


def counts_line(report: CheckReport) -> str:
    """Counts of one environment in a line."""
    counts = report.counts()
    checks = f"{counts['green']} checks green, {counts['red']} red, {counts['skipped']} skipped"
    canaries = f"{counts['canaries_quiet']} canaries won nothing, {counts['canaries_won']} won"
    return f"{report.environment}: {checks}; {canaries}; gameability {report.gameability:.2f}"


def overview(reports: Sequence[CheckReport]) -> RenderableType:
    """Several environments side by side: a column for each, named by its number in the list of environments."""
    numbers = [str(number) for number in range(1, len(reports) + 1)]
    parts: list[RenderableType] = [_environment_table(reports)]
    if any(report.results for report in reports):
        checks = Table(
            "check", *(Column(number, justify="center") for number in numbers), title="checks", padding=(0, 0)
        )
        for results in zip(*(report.results for report in reports), strict=True):
            cells = (Text(_SIGNS[result.verdict], style=_STYLES[result.verdict]) for result in results)
            checks.add_row(results[0].name, *cells)
        parts.append(checks)
    if any(report.trials for report in reports):
        title = "mean scores of the canaries"
        canaries = Table(
            "canary", *(Column(number, justify="right") for number in numbers), title=title, padding=(0, 0)
        )
        for trials in zip(*(report.trials for report in reports), strict=True):
            cells = (Text(_score(trial), style=_STYLES[verdict_of(trial)]) for trial in trials)
            canaries.add_row(trials[0].canary, *cells)
        guesses = (Text(_short(report.guess_rate), style="bold") for report in reports)
        canaries.add_section()
        canaries.add_row(Text("declared guess rate", style="bold"), *guesses)
        parts.append(canaries)
    remarks = [line for report in reports for line in _remarks(report)]
    return Group(*parts, *remarks)


def _environment_table(reports: Sequence[CheckReport]) -> Table:
    right = ("tasks", "green", "red", "skipped", "won", "guess rate", "earned", "ceiling", "gameability", "seconds")
    columns = (Column(name, justify="right") for name in right)
    table = Table("", Column("environment", no_wrap=True), *columns, padding=(0, 0, 0, 1))
    table.caption = "won: canaries that won, of those that could be tried; earned: most for a wrong answer"
    for number, report in enumerate(reports, start=1):
        counts = report.counts()
        most = max((trial.wrong_reward for trial in report.trials if trial.wrong_reward is not None), default=None)
        tried = counts["canaries_quiet"] + counts["canaries_won"]
        cells = [str(report.tasks), *(str(counts[verdict]) for verdict in ("green", "red", "skipped"))]
        cells += [
            f"{counts['canaries_won']}/{tried}",
            f"{report.guess_rate:.2g}",
            "–" if most is None else f"{most:.3g}",
        ]
        cells += [f"{report.wrong_ceiling:.3g}", f"{report.gameability:.2f}", f"{report.seconds:.1f}"]
        table.add_row(str(number), Text(report.environment, style=_STYLES["green" if report.ok else "red"]), *cells)
    return table


def _remarks(report: CheckReport) -> list[Text]:
    """Why checks and canaries are red, and why checks were skipped."""
    lines = []
    for result in report.results:
        if result.verdict != "green":
            style = _STYLES[result.verdict]
            lines.append(Text(f"{report.environment}: {result.name} {result.verdict}: {result.reason}", style=style))
    for trial in report.trials:
        if not trial.ok:
            lines.append(Text(f"{report.environment}: {trial.canary} won: {trial.reason}", style=_STYLES["red"]))
    return lines


def _score(trial: Trial) -> str:
    return _short(trial.score) if trial.episodes else "✗" if not trial.ok else "–"


def _short(share: float) -> str:
    """A share in few characters: `0`, `.33`, `1`."""
    return f"{share:.2f}".lstrip("0").replace(".00", "") or "0" if share < 0.995 else "1"


class CheckProgress:
    """Shows how far the checks are: a bar on a terminal, plain lines elsewhere. Use it as a context manager.

    Args:
        console: Where to write.
        environments: How many environments are checked.
        each: Checks and canaries of each.
    """

    def __init__(self, console: Console, environments: int, each: int) -> None:
        self._console, self._environments, self._each = console, environments, each
        self._bar: Progress | None = None
        self._name, self._number = "", 0

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=self._environments * self._each)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def environment(self, name: str) -> None:
        """The next environment begins."""
        self._name, self._number = name, self._number + 1
        if self._bar is not None:
            done = (self._number - 1) * self._each
            self._bar.update(self._task, completed=done, description=f"{name} ({self._number}/{self._environments})")

    def result(self, result: CheckResult | Trial) -> None:
        """A check or a canary is done; what is red is told at once."""
        name = result.name if isinstance(result, CheckResult) else f"canary {result.canary}"
        red = result.verdict == "red" if isinstance(result, CheckResult) else not result.ok
        if red:
            self._console.print(Text(f"{self._name}: {name} red: {result.reason}", style="red"), soft_wrap=True)
        if self._bar is not None:
            self._bar.update(self._task, advance=1, description=f"{self._name}: {name}")

    def done(self, report: CheckReport) -> None:
        """An environment is done."""
        if self._bar is None:
            self._console.print(Text(f"{counts_line(report)} ({report.seconds:.1f} s)"), soft_wrap=True)

    def skipped(self, name: str, reason: str) -> None:
        """An environment cannot be made here."""
        self._console.print(Text(f"{name}: not checked: {reason}", style="yellow"), soft_wrap=True)
