"""What benchmarks do alike: note circumstances, ask peers, write."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer

from ..tools.errors import InputError

_SCHEDULING = {os.SCHED_OTHER: "ordinary", os.SCHED_FIFO: "before all others (FIFO)", os.SCHED_RR: "before all others"}


def run_command(command: typer.Typer | Callable[..., object]) -> None:
    """Runs a benchmark's command line; what is wrong with the input is said in one line, with exit code 2."""
    try:
        if isinstance(command, typer.Typer):
            command()
        else:
            typer.run(command)
    except InputError as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        raise SystemExit(2) from None


def circumstances(*packages: str) -> dict[str, Any]:
    """When and where, and with which versions of these packages."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join([f"python -m toolgym.benchmarks.{Path(sys.argv[0]).stem}", *map(_short, sys.argv[1:])]),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "scheduling": _SCHEDULING.get(os.sched_getscheduler(0), "another"),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        **{package: version(package) for package in packages},
    }


def processor() -> str:
    """The processor's own name, or its architecture."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def ask_peers(interpreter: Path, script: str, *arguments: object) -> Any:
    """Runs a script of this folder with another interpreter, in which the peers are installed.

    Args:
        interpreter: The interpreter.
        script: Name of the script, which prints JSON.
        *arguments: Its arguments.

    Returns:
        What it printed.

    Raises:
        BadParameter: If it failed; says with what.
    """
    command = [str(interpreter), str(Path(__file__).with_name(script).resolve()), *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:  # GEM makes its folders where it is started
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise typer.BadParameter(f"{interpreter} could not time the peers: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Writes a result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _short(argument: str) -> str:
    """A path by its last name: where things lie is of no interest."""
    return "PYTHON" if argument.endswith(("/python", "/python3")) else argument
