"""What `check_env` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .trials import Trial

Verdict = Literal["green", "red", "skipped"]


class ChecksFailed(AssertionError):  # the name says it
    """An environment failed a check or let a canary win; `report` holds everything that was found."""

    def __init__(self, report: CheckReport) -> None:
        super().__init__(report.summary())
        self.report = report


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check.

    Attributes:
        name: Of the check.
        verdict: `green`, `red`, or `skipped` where it could not be made.
        reason: What is wrong, or why it was skipped; empty where it is green.
        seconds: Wall time.
    """

    name: str
    verdict: Verdict
    reason: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {"name": self.name, "verdict": self.verdict, "reason": self.reason, "seconds": self.seconds}


@dataclass(frozen=True)
class CheckReport:
    """All that `check_env` found of an environment.

    Attributes:
        environment: Its id, or its class where it has none.
        action_format: Name of its wire language.
        reward: Name of its reward.
        tasks: How many tasks were played.
        seed: What keyed the checks.
        guess_rate: The highest mean score that guessing may reach, as declared.
        wrong_ceiling: The highest reward of a wrong episode, as declared.
        seconds: Wall time of all of it.
        results: The checks.
        trials: The canaries.
    """

    environment: str
    action_format: str
    reward: str
    tasks: int
    seed: int
    guess_rate: float
    wrong_ceiling: float
    seconds: float
    results: tuple[CheckResult, ...]
    trials: tuple[Trial, ...]

    @property
    def ok(self) -> bool:
        """Whether no check is red and no canary won."""
        return not self.red and all(trial.ok for trial in self.trials)

    @property
    def red(self) -> tuple[CheckResult, ...]:
        """The checks that failed."""
        return tuple(result for result in self.results if result.verdict == "red")

    @property
    def gameability(self) -> float:
        """The largest share of what honest play is worth that a canary got: 0 is a guess, 1 is all of it."""
        return max((trial.gain for trial in self.trials), default=0.0)

    def counts(self) -> dict[str, int]:
        """How many checks are green, red and skipped, and how many canaries won nothing, won, and were not tried."""
        verdicts = [result.verdict for result in self.results]
        tried = [trial for trial in self.trials if trial.episodes or not trial.ok]
        return {
            "green": verdicts.count("green"),
            "red": verdicts.count("red"),
            "skipped": verdicts.count("skipped"),
            "canaries_quiet": sum(trial.ok for trial in tried),
            "canaries_won": sum(not trial.ok for trial in tried),
            "canaries_skipped": len(self.trials) - len(tried),
        }

    def summary(self) -> str:
        """What is wrong, a line each; a line that says that nothing is, otherwise."""
        lines = [f"check {result.name}: {result.reason}" for result in self.red]
        lines += [f"canary {trial.canary}: {trial.reason}" for trial in self.trials if not trial.ok]
        if not lines:
            return f"{self.environment}: nothing is wrong"
        return "\n".join([f"{self.environment}: {len(lines)} of its checks and canaries are red", *lines])

    def raise_if_failed(self) -> None:
        """Raises if anything is wrong.

        Raises:
            ChecksFailed: With everything that is.
        """
        if not self.ok:
            raise ChecksFailed(self)

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "environment": self.environment,
            "action_format": self.action_format,
            "reward": self.reward,
            "tasks": self.tasks,
            "seed": self.seed,
            "ok": self.ok,
            "guess_rate": self.guess_rate,
            "wrong_ceiling": self.wrong_ceiling,
            "gameability": self.gameability,
            "seconds": self.seconds,
            "counts": self.counts(),
            "checks": [result.as_json() for result in self.results],
            "canaries": [trial.as_json() for trial in self.trials],
        }
