"""What a person sees of the checks."""

from __future__ import annotations

import io

from rich.console import Console

from toolgym.envs.checks import CheckReport, CheckResult, Trial
from toolgym.envs.checks.report import Verdict
from toolgym.envs.checks.tables import CheckProgress, overview, report_tables


def report(name: str, verdict: Verdict, reason: str = "", trial: Trial | None = None) -> CheckReport:
    trials = (
        Trial("empty", True, "", 4, 0.125, 1.0, 0.25, -0.5, 1.5, 0.0),
        trial or Trial("early_stop", True, "no way"),
    )
    results = (CheckResult("fork", verdict, reason, 0.25), CheckResult("oracle", "green", "", 1.0))
    return CheckReport(name, "hermes", "f1", 4, 0, 0.333, 0.1, 2.0, results, trials)


GREEN = report("a/Green-v0", "green")
RED = report(
    "a/Red-v0", "red", "shares [a] tool", Trial("early_stop", False, "scores 1.000", 4, 1.0, 0.0, 1.0, None, 0.0, 1.0)
)


def console(terminal: bool = False) -> Console:
    environment = {"TERM": "xterm"}
    return Console(file=io.StringIO(), force_terminal=terminal, width=140, color_system=None, _environ=environment)


def shown(*parts: object) -> str:
    out = console()
    out.print(*parts)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def cells(text: str, word: str) -> list[str]:
    """The cells of the first row that holds a word."""
    row = next(line for line in text.splitlines() if line.startswith("│") and word in line)
    return [cell.strip() for cell in row.strip("│").split("│")]


def test_one_environment() -> None:
    text = shown(report_tables(GREEN))
    assert text.startswith("a/Green-v0: 4 tasks, seed 0, format hermes, reward f1\n")
    assert cells(text, "fork") == ["fork", "green", "0.25", ""]
    assert cells(text, "empty") == ["empty", "green", "4", "0.125", "0.250", "-0.5", "1.5", "0.00", ""]
    assert cells(text, "early_stop") == ["early_stop", "skipped", *[""] * 6, "no way"]
    assert "guess rate 0.33, ceiling of a wrong answer 0.1, gameability 0.00" in text
    assert text.splitlines()[-1].startswith(
        "a/Green-v0: 2 checks green, 0 red, 0 skipped; 1 canaries won nothing, 0 won"
    )


def test_reasons_are_shown_as_they_are() -> None:
    assert "shares [a] tool" in shown(report_tables(RED))


def test_several_environments() -> None:
    text = shown(overview([GREEN, RED]))
    figures = ["4", "1", "1", "0", "1/2", "0.33", "-0.5", "0.1", "1.00", "2.0"]
    assert cells(text, "a/Red-v0") == ["2", "a/Red-v0", *figures]
    assert cells(text, "fork") == ["fork", "✓", "✗"]
    assert cells(text, "empty") == ["empty", ".12", ".12"]
    assert cells(text, "early_stop") == ["early_stop", "–", "1"]
    assert cells(text, "declared") == ["declared guess rate", ".33", ".33"]
    assert "a/Red-v0: fork red: shares [a] tool" in text and "a/Red-v0: early_stop won: scores 1.000" in text


def progress(out: Console) -> str:
    with CheckProgress(out, 2, 4) as bar:
        for one in (GREEN, RED):
            bar.environment(one.environment)
            for result in (*one.results, *one.trials):
                bar.result(result)
            bar.done(one)
        bar.skipped("a/Other-v0", "needs [extra]")
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_progress_is_plain_lines_without_a_terminal() -> None:
    assert progress(console()).splitlines() == [
        "a/Green-v0: 2 checks green, 0 red, 0 skipped; 1 canaries won nothing, 0 won; gameability 0.00 (2.0 s)",
        "a/Red-v0: fork red: shares [a] tool",
        "a/Red-v0: canary early_stop red: scores 1.000",
        "a/Red-v0: 1 checks green, 1 red, 0 skipped; 1 canaries won nothing, 1 won; gameability 1.00 (2.0 s)",
        "a/Other-v0: not checked: needs [extra]",
    ]


def test_progress_is_a_bar_on_a_terminal() -> None:
    text = progress(console(terminal=True))
    assert "8/8" in text and "a/Red-v0: canary early_stop red: scores 1.000" in text
    assert "checks green" not in text
