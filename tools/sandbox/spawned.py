"""An interpreter started anew, without namespaces: isolation "process" and "none"."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path

from ..errors import ToolUnavailable
from ..output import BoundedText
from .channel import Bounds, Channel, Ended
from .inside.cleaning import remove_folder
from .limits import SandboxLimits

FLAGS = ("-S", "-s", "-P", "-B", "-X", "utf8")
ENVIRONMENT = {
    # Hashes, and so the order of sets, are the same in every interpreter: a replay of the same cells gives the same.
    "PYTHONHASHSEED": "0",
    # Thread pools of numeric libraries would eat the memory limit and the other episodes' processors.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_WORKER = Path(__file__).with_name("inside") / "worker.py"
_START_SECONDS = 60.0
_EXIT_SECONDS = 0.5
_SPARE_TASKS = 256
_NO_LIMIT = -1


class SpawnedInterpreter:
    """One worker process in its own session, with a temporary folder as working folder.

    Args:
        limits: What it may use.
        seed: Seed of its global random generators.
        bare: Whether the kernel is to hold none of the limits (isolation "none").

    Raises:
        ToolUnavailable: If it does not start.
    """

    def __init__(self, limits: SandboxLimits, seed: int, *, bare: bool = False) -> None:
        self._limits = limits
        self.owner = os.getpid()
        folder = tempfile.mkdtemp(prefix="toolgym-")
        control, theirs = socket.socketpair()
        output, their_output = os.pipe()
        self._channel = Channel(control, output)
        try:
            self._process = subprocess.Popen(
                [
                    os.path.realpath(sys.executable),
                    *FLAGS,
                    str(_WORKER),
                    str(theirs.fileno()),
                    *map(str, _numbers(limits, seed, bare)),
                    *package_folders(),
                ],
                stdin=subprocess.DEVNULL,
                stdout=their_output,
                stderr=their_output,
                cwd=folder,
                env=ENVIRONMENT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            self._channel.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise ToolUnavailable(f"the sandbox's interpreter {sys.executable} cannot be started: {error}") from error
        finally:
            theirs.close()
            os.close(their_output)
        # Also runs when the object is collected or the program ends: no process and no folder stays behind.
        self._finalizer = weakref.finalize(self, _end, self._process, self._channel, folder, self.owner)
        self._wait_until_ready()

    def exchange(self, code: bytes) -> tuple[Ended, BoundedText]:
        """Runs one cell.

        Args:
            code: Python source.

        Returns:
            How it ended, and what was printed meanwhile. After anything but `OK` and `RAISED`, only `close` is left.
        """
        output = BoundedText(self._limits.output_characters)
        bounds = Bounds(self._limits.wall_seconds, self._limits.output_bytes)
        return self._channel.exchange(code, bounds, output), output

    def close(self) -> int:
        """Kills the process and its group and removes the folder. May be called more than once.

        Returns:
            The exit code; the negative signal number when a signal ended the process.
        """
        self._finalizer()
        return self._process.returncode

    def close_dead(self) -> int:
        """As `close`, for a worker that hung up: waits a moment for its own exit code before it kills."""
        deadline = time.monotonic() + _EXIT_SECONDS
        # WNOWAIT leaves the zombie, so that its number stays taken until the group has been killed.
        while not os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if time.monotonic() > deadline:
                break
            time.sleep(0.001)
        return self.close()

    def _wait_until_ready(self) -> None:
        output = BoundedText(2_000)
        if self._channel.exchange(None, Bounds(_START_SECONDS), output) is not Ended.OK:
            exit_code = self.close_dead()
            raise ToolUnavailable(
                f"the sandbox's interpreter did not start (exit code {exit_code}): {output.take().text}"
            )


def package_folders() -> list[str]:
    """Folders of installed packages: `-S` leaves them out, so they are handed over."""
    return [folder for folder in sys.path if os.path.basename(folder) in ("site-packages", "dist-packages")]


def _numbers(limits: SandboxLimits, seed: int, bare: bool) -> list[int]:
    """The worker's numeric arguments."""
    if bare:
        return [seed, *[_NO_LIMIT] * 5]
    cpu_seconds = math.ceil(limits.cpu_seconds)
    return [seed, cpu_seconds, limits.memory_bytes, limits.file_bytes, limits.processes, _task_limit(limits)]


def _task_limit(limits: SandboxLimits) -> int:
    """How many tasks (processes and threads) the user may have; none for root, whom the kernel does not limit.

    The kernel counts all tasks of the user, those of other programs too, so the limit is what the machine runs now
    and some more. Where the kernel does not tell what runs (macOS), there is no limit either.
    """
    load = Path("/proc/loadavg")
    if os.geteuid() == 0 or not load.exists():
        return _NO_LIMIT
    running = load.read_text(encoding="ascii").split()[3].split("/")[1]
    return int(running) + limits.processes + _SPARE_TASKS


def _end(process: subprocess.Popen[bytes], channel: Channel, folder: str, owner: int) -> None:
    """Kills the process group, reaps the process, closes the pipes and removes the folder."""
    if os.getpid() != owner:  # a fork of the program: the interpreter is not its own
        channel.close()
        return
    with contextlib.suppress(ProcessLookupError):
        # Before the process is reaped: as long as it is not, its number cannot belong to another.
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    channel.close()
    remove_folder(folder)
