"""What a run tells whoever watches it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Observer(Protocol):
    """Watches a run: a terminal display, a log, a test."""

    def stage_started(self, name: str, steps: int, first_step: int) -> None:
        """A stage begins (or goes on, after a resume, at `first_step`)."""

    def stepped(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """A training step is done; `step` counts from 1 within the stage."""

    def evaluated(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """An evaluation is done: `score`, `score_low`, `score_high`, `reward`, `tasks`."""

    def message(self, text: str) -> None:
        """Something a person should know, in one line."""


class Silent:
    """An observer that ignores everything."""

    def stage_started(self, name: str, steps: int, first_step: int) -> None:
        """Ignores it."""

    def stepped(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """Ignores it."""

    def evaluated(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """Ignores it."""

    def message(self, text: str) -> None:
        """Ignores it."""
