"""What confines the code at each level of isolation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import InputError

Isolation = Literal["process"]
ISOLATIONS: tuple[Isolation, ...] = ("process",)
"""The levels there are. "process" is a separate interpreter with limits and no wall around files or network."""


@dataclass(frozen=True)
class Layer:
    """One means of confinement.

    Attributes:
        name: Short name.
        active: Whether it holds at the level asked about, for this user on this machine.
        stops: What it stops, or what stays open without it.
    """

    name: str
    active: bool
    stops: str


def check_isolation(isolation: Any) -> Isolation:
    """Checks that a level of isolation was given and exists.

    Raises:
        InputError: If it is missing or unknown; the message names the levels.
    """
    if isolation not in ISOLATIONS:
        choices = ", ".join(repr(choice) for choice in ISOLATIONS)
        given = "no isolation was given" if isolation is None else f"unknown isolation {isolation!r}"
        raise InputError(
            f"{given}; choose from {choices}: untrusted code runs only at a level that was asked for by name "
            '("process" does not confine files or network)'
        )
    return isolation  # type: ignore[no-any-return]  # the line above is the check


def isolation_report(isolation: Any = "process") -> list[Layer]:
    """The layers of confinement at a level of isolation, active ones first.

    Args:
        isolation: The level.

    Raises:
        InputError: If the level is missing or unknown.
    """
    check_isolation(isolation)
    user = "root: the kernel does not limit root" if os.geteuid() == 0 else "bounds fork bombs that go around Python"
    return sorted(
        [
            Layer("separate interpreter", True, "crashes and changes of the trainer's own Python state"),
            Layer("wall clock", True, "endless runs: the process group is killed"),
            Layer("processor limit", True, "busy loops beyond the processor seconds (RLIMIT_CPU)"),
            Layer("memory limit", True, "address space beyond the limit (RLIMIT_AS)"),
            Layer("file size limit", True, "files beyond the limit (RLIMIT_FSIZE)"),
            Layer("output limit", True, "floods of output: bounded in memory and time"),
            Layer("empty environment", True, "reading tokens and keys from environment variables"),
            Layer("temporary folder", True, "files left in the working folder: it is removed"),
            Layer("process audit", True, "starting processes from Python; C code loaded by ctypes goes around it"),
            Layer("process limit", os.geteuid() != 0, f"too many processes and threads (RLIMIT_NPROC); {user}"),
            Layer("file system", False, "nothing: reads and writes every file that the user can"),
            Layer("network", False, "nothing: connects wherever the machine can"),
            Layer("system calls", False, "nothing: every system call of the user, signals to its processes included"),
        ],
        key=lambda layer: not layer.active,
    )
