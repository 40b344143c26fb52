"""What a person sees while a run goes on."""

import io

import pytest
from rich.console import Console

from toolgym.trainers.display import LiveDisplay, PlainDisplay, duration, make_display, number, sparkline

STEP = {
    "reward_mean": 0.25,
    "reward_std": 0.4,
    "call_failure_rate": 0.125,
    "calls_mean": 2.0,
    "tokens_per_second": 1234.5,
    "seconds/generate": 3.0,
    "seconds/tools": 0.0,
    "seconds/train": 1.0,
}
SCORE = {"score": 0.8, "score_low": 0.49, "score_high": 0.943, "tasks": 10}


class Time:
    now = 0.0

    def __call__(self):
        return self.now


def console(terminal):
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=120, color_system=None, _environ={"TERM": "xterm"}
    )


def test_plain_lines_come_now_and_then():
    time, out = Time(), console(False)
    with PlainDisplay(out, {"grpo": 100}, clock=time) as display:
        display.stage_started("grpo", 100, 0)
        for step in range(1, 101):
            time.now += 1.0
            display.stepped("grpo", step, STEP)
        display.evaluated("grpo", 100, SCORE)
    lines = out.file.getvalue().splitlines()
    assert lines[0] == "grpo: 100 steps"
    assert lines[1] == (
        "grpo 1/100  reward 0.250 ± 0.400  failed calls 12.5%  1,234 tokens/s  generate 75% train 25%  1:39 left"
    )
    assert 20 <= len(lines) <= 23
    assert lines[-2].startswith("grpo 100/100") and "left" not in lines[-2]
    assert lines[-1] == "grpo 100: held-out score 0.800 [0.490, 0.943] on 10 held-out tasks"


def test_resumed_stage_estimates_from_its_own_steps():
    time, out = Time(), console(False)
    display = PlainDisplay(out, clock=time)
    display.stage_started("grpo", 100, 80)
    time.now = 10.0
    display.stepped("grpo", 81, {"loss": 0.5})
    assert out.file.getvalue().splitlines() == [
        "grpo: 100 steps, going on after step 80",
        "grpo 81/100  loss 0.500  3:10 left",
    ]


def test_live_panel():
    time, out = Time(), console(True)
    with make_display(out, {"cold_start": 5, "grpo": 100}, "my run") as display:
        assert isinstance(display, LiveDisplay)
        display.clock = time
        display.stage_started("cold_start", 5, 0)
        display.stage_started("grpo", 100, 0)
        time.now = 30.0
        display.stepped("grpo", 10, STEP)
        display.evaluated("grpo", 10, SCORE)
    shown = out.file.getvalue()
    for text in (
        "my run",
        "✓ cold_start",
        "▶ grpo",
        "10/100",
        "0.800 [0.490, 0.943]",
        "12.5% failed",
        "generate 75%",
        "4:30 left",
    ):
        assert text in shown


def test_no_terminal_means_plain_lines():
    assert isinstance(make_display(console(False)), PlainDisplay)


def test_messages_are_shown_as_they_are():
    out = console(False)
    PlainDisplay(out).message("[bold]not markup[/bold] \\")
    assert out.file.getvalue() == "[bold]not markup[/bold] \\\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (42.4, "0:42"), (725, "12:05"), (11229, "3:07:09"), (-1, "0:00")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_number_and_sparkline():
    assert [number(value) for value in (None, float("nan"), 0.0, 0.12345, 2e-6)] == [
        "–",
        "–",
        "0.000",
        "0.123",
        "2.0e-06",
    ]
    assert sparkline([0, 1, 2]) == "▁▅█" and sparkline([1, 1]) == "▁▁" and sparkline([]) == ""
