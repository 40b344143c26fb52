"""What a person sees while a run goes on: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

TIME_PARTS = {"generate": "cyan", "tools": "yellow", "train": "magenta", "sync": "blue"}
"""Parts of a step's time, as logged under `seconds/NAME`, and their colours."""
BARS = "▁▂▃▄▅▆▇█"
Clock = Callable[[], float]


def duration(seconds: float) -> str:
    """A duration for people: `0:42`, `12:05`, `3:07:09`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def number(value: float | None, digits: int = 3) -> str:
    """A number for people; a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if value != 0 and abs(value) < 10**-digits:
        return f"{value:.1e}"
    return f"{value:.{digits}f}"


def score_text(metrics: Mapping[str, float]) -> str:
    """A score with its 95 % interval: `0.80 [0.49, 0.94]`."""
    low, high = metrics.get("score_low"), metrics.get("score_high")
    interval = "" if low is None or high is None else f" [{number(low)}, {number(high)}]"
    return number(metrics.get("score")) + interval


def sparkline(values: Iterable[float], width: int = 32) -> str:
    """The last values as a row of bars."""
    shown = [value for value in values if not math.isnan(value)][-width:]
    if not shown:
        return ""
    low, span = min(shown), max(shown) - min(shown)
    return "".join(BARS[0 if span == 0 else round((value - low) / span * (len(BARS) - 1))] for value in shown)


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        plan: Steps of each stage in order; stages that were not announced are added when they start.
        stage: The stage in progress.
        step: Its last step.
        metrics: Numbers of the last step.
        evaluation: The last evaluation, and where it was made.
        rewards: Mean rewards of the stage so far.
        started: When the display began.
        stage_started: When the stage began, and at which step.
    """

    plan: dict[str, int] = field(default_factory=dict)
    stage: str = ""
    step: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    evaluation: tuple[str, int, Mapping[str, float]] | None = None
    rewards: deque[float] = field(default_factory=lambda: deque(maxlen=200))
    started: float = 0.0
    stage_started: tuple[float, int] = (0.0, 0)

    @property
    def steps(self) -> int:
        """Steps of the stage in progress."""
        return self.plan.get(self.stage, 0)

    def seconds_left(self, now: float) -> float | None:
        """Time left in the stage, from its pace so far; None before its first step."""
        began, first = self.stage_started
        done = self.step - first
        return None if done < 1 else (now - began) / done * (self.steps - self.step)

    def call_failures(self) -> float | None:
        """Share of the last step's tool calls that failed."""
        return self.metrics.get("call_failure_rate")

    def time_split(self) -> dict[str, float]:
        """Shares of the last step's time by part."""
        parts = {name: self.metrics.get(f"seconds/{name}", 0.0) for name in TIME_PARTS}
        total = sum(parts.values())
        return {name: value / total for name, value in parts.items() if value > 0} if total > 0 else {}


class Display:
    """An observer that shows a run; use it as a context manager.

    Args:
        console: Where to write.
        plan: Steps of each stage, if they are known before the run begins.
        title: What is running.
        clock: Source of time in seconds.
    """

    def __init__(
        self,
        console: Console,
        plan: Mapping[str, int] | None = None,
        title: str = "toolgym",
        clock: Clock = time.monotonic,
    ) -> None:
        self.console, self.title, self.clock = console, title, clock
        self.progress = Progress(dict(plan or {}))

    def __enter__(self) -> Self:
        self.progress.started = self.clock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    # The observer's protocol ------------------------------------------------------------------------------------

    def stage_started(self, name: str, steps: int, first_step: int) -> None:
        """Notes that a stage begins, or goes on after `first_step` steps of an earlier session."""
        progress = self.progress
        progress.plan[name] = steps
        progress.stage, progress.step, progress.metrics = name, first_step, {}
        progress.stage_started = (self.clock(), progress.step)
        progress.rewards.clear()

    def stepped(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """Notes a step's numbers."""
        self.progress.stage, self.progress.step, self.progress.metrics = stage, step, metrics
        if "reward_mean" in metrics:
            self.progress.rewards.append(metrics["reward_mean"])

    def evaluated(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """Notes an evaluation."""
        self.progress.evaluation = (stage, step, metrics)

    def message(self, text: str) -> None:
        """Shows a line above the panel."""
        self.console.print(Text(text))


class LiveDisplay(Display):
    """A panel that is redrawn in place."""

    def __enter__(self) -> Self:
        super().__enter__()
        self._live = Live(self, console=self.console, refresh_per_second=2, transient=False)
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def evaluated(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """Notes an evaluation and leaves a line about it above the panel."""
        super().evaluated(stage, step, metrics)
        tasks = metrics.get("tasks")
        of = f" on {tasks:.0f} held-out tasks" if tasks is not None else ""
        self.message(f"{stage} step {step}: score {score_text(metrics)}{of}")

    def __rich__(self) -> RenderableType:
        """The panel as it is now."""
        progress, now = self.progress, self.clock()
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(ratio=1)
        bar.add_column(justify="right", no_wrap=True)
        bar.add_row(
            ProgressBar(total=max(progress.steps, 1), completed=progress.step),
            Text(f"{progress.step}/{progress.steps}", style="bold"),
        )
        left = progress.seconds_left(now)
        times = f"elapsed {duration(now - progress.started)}"
        if left:
            times += f" · {duration(left)} left in this stage"
        return Panel(
            Group(self._stages(), bar, self._numbers(), Text(times, style="dim")),
            title=Text(self.title, style="bold"),
            title_align="left",
            border_style="cyan",
        )

    def _stages(self) -> Text:
        progress, text = self.progress, Text()
        names = list(progress.plan)
        current = names.index(progress.stage) if progress.stage in names else -1
        for index, name in enumerate(names):
            text.append("  " if index else "")
            done = index == current and progress.step >= progress.steps
            if index < current or done:
                text.append(f"✓ {name}", style="green")
            elif index == current:
                text.append(f"▶ {name}", style="bold cyan")
            else:
                text.append(f"· {name}", style="dim")
        return text if names else Text("preparing ...", style="dim")

    def _numbers(self) -> RenderableType:
        progress, metrics = self.progress, self.progress.metrics
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column()
        if "reward_mean" in metrics:
            spread = f" ± {number(metrics.get('reward_std'))}"
            grid.add_row("reward", Text(number(metrics["reward_mean"]) + spread + "  " + sparkline(progress.rewards)))
        elif "loss" in metrics:
            grid.add_row("loss", number(metrics["loss"]))
        if progress.evaluation is not None:
            stage, step, evaluation = progress.evaluation
            where = Text(f"  after {stage} step {step}", style="dim")
            grid.add_row("held-out score", Text(score_text(evaluation), style="bold green") + where)
        failures = progress.call_failures()
        if failures is not None:
            style = "red" if failures > 0.2 else ""
            calls = f"{failures:.1%} failed of {number(metrics.get('calls_mean'), 1)} calls per episode"
            grid.add_row("tool calls", Text(calls, style=style))
        if "tokens_per_second" in metrics:
            grid.add_row("tokens/s", f"{metrics['tokens_per_second']:,.0f}")
        split = progress.time_split()
        if split:
            grid.add_row("time", _split_bar(split))
        return grid


class PlainDisplay(Display):
    """One line now and then, for logs and pipes.

    Args:
        console: Where to write.
        plan: Steps of each stage, if they are known before the run begins.
        title: What is running.
        clock: Source of time in seconds.
        every: Least seconds between two lines about steps; first and last steps always get one.
    """

    def __init__(
        self,
        console: Console,
        plan: Mapping[str, int] | None = None,
        title: str = "toolgym",
        clock: Clock = time.monotonic,
        every: float = 5.0,
    ) -> None:
        super().__init__(console, plan, title, clock)
        self.every, self._last = every, -math.inf

    def stage_started(self, name: str, steps: int, first_step: int) -> None:
        """Says which stage begins."""
        super().stage_started(name, steps, first_step)
        goes_on = f", going on after step {first_step}" if first_step else ""
        self._last = -math.inf
        self._line(f"{name}: {steps} steps{goes_on}")

    def stepped(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """Says how a step went, if the last line is old enough."""
        super().stepped(stage, step, metrics)
        now = self.clock()
        if now - self._last < self.every and step != self.progress.steps:
            return
        self._last = now
        parts = [f"{stage} {step}/{self.progress.steps}"]
        if "reward_mean" in metrics:
            parts.append(f"reward {number(metrics['reward_mean'])} ± {number(metrics.get('reward_std'))}")
        elif "loss" in metrics:
            parts.append(f"loss {number(metrics['loss'])}")
        failures = self.progress.call_failures()
        if failures is not None:
            parts.append(f"failed calls {failures:.1%}")
        if "tokens_per_second" in metrics:
            parts.append(f"{metrics['tokens_per_second']:,.0f} tokens/s")
        split = self.progress.time_split()
        if split:
            parts.append(" ".join(f"{name} {share:.0%}" for name, share in split.items()))
        left = self.progress.seconds_left(now)
        if left is not None and step < self.progress.steps:
            parts.append(f"{duration(left)} left")
        self._line("  ".join(parts))

    def evaluated(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """Says what an evaluation found."""
        super().evaluated(stage, step, metrics)
        tasks = metrics.get("tasks")
        of = f" on {tasks:.0f} held-out tasks" if tasks is not None else ""
        self._line(f"{stage} {step}: held-out score {score_text(metrics)}{of}")

    def message(self, text: str) -> None:
        """Writes the line."""
        self._line(text)

    def _line(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=True)


def make_display(console: Console, plan: Mapping[str, int] | None = None, title: str = "toolgym") -> Display:
    """A live panel where the console is a terminal, plain lines elsewhere.

    Args:
        console: Where to write.
        plan: Steps of each stage, if they are known before the run begins.
        title: What is running.
    """
    kind = LiveDisplay if console.is_terminal and not console.is_dumb_terminal else PlainDisplay
    return kind(console, plan, title)


def _split_bar(split: Mapping[str, float], width: int = 24) -> Text:
    text = Text()
    for name, share in split.items():
        text.append("█" * max(1, round(share * width)), style=TIME_PARTS[name])
    for name, share in split.items():
        text.append("  ■ ", style=TIME_PARTS[name])
        text.append(f"{name} {share:.0%}")
    return text
