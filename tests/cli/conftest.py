"""The command line under test, and a run folder that no training made."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from toolgym.cli import app


@dataclass
class Ended:
    code: int
    stdout: str
    stderr: str

    @property
    def json(self):
        return json.loads(self.stdout)


@pytest.fixture
def toolgym() -> Callable[..., Ended]:
    """Runs a command in this process."""

    def run(*arguments: str, stdin: str | None = None) -> Ended:
        result = CliRunner().invoke(app, list(map(str, arguments)), input=stdin, prog_name="toolgym")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def process() -> Callable[..., Ended]:
    """Runs a command in a process of its own."""

    def run(*arguments: str, stdin: str = "", code: str | None = None, cwd: Path | None = None) -> Ended:
        source = str(Path(__file__).parents[2] / "src")
        command = [sys.executable, *(["-c", code] if code else ["-m", "toolgym"]), *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=120, env=environment, cwd=cwd, check=False
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """The module that makes run folders without training."""
    spec = importlib.util.spec_from_file_location("toolgym_synthetic_run", Path(__file__).with_name("synthetic_run.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def run_folder(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory):
    """A finished run."""
    return synthetic.make_run(tmp_path_factory.mktemp("runs") / "demo", cold=6, grpo=8)
