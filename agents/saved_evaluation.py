"""An evaluation as a folder: how it was set up, what it found, and its episodes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..tools.errors import InputError
from .evaluation import EvaluationResult
from .loading import EnvironmentSetup
from .stored_episodes import StoredEpisode, read_episodes, write_episodes

STAGE = "evaluation"
"""What stored episodes of an evaluation have in place of a stage."""


class EvaluationFolder:
    """A saved evaluation: `evaluation.json` (settings and result) and `episodes/`, as a run has them.

    Args:
        path: The folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: str | Path) -> EvaluationFolder:
        """A folder for a new evaluation.

        Raises:
            InputError: If there is something in it already, or it cannot be made.
        """
        folder = cls(path)
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
            if any(folder.path.iterdir()):
                raise InputError(f"{path}: there is something in this folder already; give a new one")
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}; give a folder that can be written") from error
        return folder

    @property
    def file(self) -> Path:
        """Settings and result."""
        return self.path / "evaluation.json"

    @property
    def episodes(self) -> Path:
        """Stored episodes, as `write_episodes` writes them."""
        return self.path / "episodes"

    @property
    def exists(self) -> bool:
        """Whether an evaluation is saved there."""
        return self.file.is_file()

    def write(self, setup: EnvironmentSetup, settings: Mapping[str, Any], result: EvaluationResult) -> int:
        """Saves an evaluation whose result kept its episodes.

        Args:
            setup: How the environment was made.
            settings: What else there is to know: agent, sampling, recall.
            result: What was found.

        Returns:
            How many episodes were stored.
        """
        environment = {
            "id": setup.env_id,
            "options": dict(setup.options),
            "limits": dict(setup.limits),
            "tools": {name: dict(values) for name, values in setup.tools.items()},
        }
        count = write_episodes(self.episodes / f"{STAGE}-000000.jsonl.gz", STAGE, 0, result.outcomes)
        document = {"environment": environment, **settings, "result": result.as_json()}
        self.file.write_text(json.dumps(document, indent=2, default=str) + "\n", encoding="utf-8")
        return count

    def read(self) -> dict[str, Any]:
        """Settings and result.

        Raises:
            InputError: If they cannot be read.
        """
        try:
            document: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
            return document
        except (OSError, ValueError) as error:
            raise InputError(f"{self.file}: no saved evaluation can be read there: {error}") from error

    def setup(self) -> EnvironmentSetup:
        """How the environment was made.

        Raises:
            InputError: If that is not written there.
        """
        try:
            written = self.read()["environment"]
            return EnvironmentSetup(written["id"], written["options"], written["limits"], written["tools"])
        except (KeyError, TypeError) as error:
            raise InputError(f"{self.file}: it does not say how the environment was made ({error})") from error

    def read_episodes(self) -> Iterator[StoredEpisode]:
        """The stored episodes, in the order in which the tasks were asked."""
        return read_episodes(sorted(self.episodes.glob("*.jsonl.gz")))
