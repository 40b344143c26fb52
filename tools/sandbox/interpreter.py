"""The parent's side of one worker process: start, exchange of one cell, kill."""

from __future__ import annotations

import contextlib
import math
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from enum import Enum, auto
from functools import cache
from pathlib import Path

from ..output import BoundedText
from .limits import SandboxLimits

_WORKER = Path(__file__).with_name("worker.py")
_FLAGS = ("-S", "-s", "-P", "-B", "-X", "utf8")
_ENVIRONMENT = {
    # Hashes, and so the order of sets, are the same in every interpreter: a replay of the same cells gives the same.
    "PYTHONHASHSEED": "0",
    # Thread pools of numeric libraries would eat the memory limit and the other episodes' processors.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_START_SECONDS = 60.0
_EXIT_SECONDS = 0.5
_PIPE_BYTES = 1 << 16
_SPARE_TASKS = 256


class Ended(Enum):
    """How the exchange of a cell ended."""

    OK = auto()
    RAISED = auto()
    TIMEOUT = auto()
    FLOOD = auto()
    DIED = auto()


class Interpreter:
    """One worker process in its own session, with a temporary folder as working folder.

    Args:
        limits: What it may use.
        seed: Seed of its global random generators.

    Raises:
        RuntimeError: If it does not start.
    """

    def __init__(self, limits: SandboxLimits, seed: int) -> None:
        self._limits = limits
        folder = tempfile.mkdtemp(prefix="toolgym-")
        self._control, theirs = socket.socketpair()
        self._output, their_output = os.pipe()
        try:
            self._process = subprocess.Popen(
                [
                    os.path.realpath(sys.executable),
                    *_FLAGS,
                    str(_WORKER),
                    str(theirs.fileno()),
                    *_arguments(limits, seed),
                ],
                stdin=subprocess.DEVNULL,
                stdout=their_output,
                stderr=their_output,
                cwd=folder,
                env=_ENVIRONMENT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            self._control.close()
            os.close(self._output)
            shutil.rmtree(folder, ignore_errors=True)
            raise RuntimeError(f"the sandbox's interpreter {sys.executable} cannot be started: {error}") from error
        finally:
            theirs.close()
            os.close(their_output)
        # Also runs when the object is collected or the program ends: no process and no folder stays behind.
        self._finalizer = weakref.finalize(self, _end, self._process, self._control, self._output, folder)
        self._control.setblocking(False)
        self._wait_until_ready()

    def exchange(self, code: str) -> tuple[Ended, BoundedText]:
        """Runs one cell.

        Args:
            code: Python source.

        Returns:
            How it ended, and what was printed meanwhile. After anything but `OK` and `RAISED`, only `close` is left.
        """
        output = BoundedText(self._limits.output_characters)
        data = code.encode("utf-8", "surrogatepass")
        return self._exchange(len(data).to_bytes(8, "little") + data, self._limits.wall_seconds, output), output

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
        if self._exchange(b"", _START_SECONDS, output) is not Ended.OK:
            exit_code = self.close_dead()
            raise RuntimeError(f"the sandbox's interpreter did not start (exit code {exit_code}): {output.take().text}")

    def _exchange(self, request: bytes, seconds: float, output: BoundedText) -> Ended:
        """Sends bytes and reads output until the worker answers, dies, or a limit passes."""
        control, pending, printed = self._control.fileno(), memoryview(request), 0
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        poll.register(control, select.POLLIN | (select.POLLOUT if pending else 0))
        deadline = time.monotonic() + seconds
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return Ended.TIMEOUT
            events = dict(poll.poll(math.ceil(remaining * 1000)))
            if self._output in events:
                data = os.read(self._output, _PIPE_BYTES)
                if not data:
                    poll.unregister(self._output)  # the code closed its side
                output.feed(data)
                printed += len(data)
                if printed > self._limits.output_bytes:
                    return Ended.FLOOD
            event = events.get(control, 0)
            try:
                if event & ~select.POLLOUT:
                    answer = self._control.recv(1)
                    self._drain(output)
                    return {b"r": Ended.OK, b"k": Ended.OK, b"e": Ended.RAISED}.get(answer, Ended.DIED)
                if event & select.POLLOUT:
                    pending = pending[self._control.send(pending) :]
                    if not pending:
                        poll.modify(control, select.POLLIN)
            except (BrokenPipeError, ConnectionResetError):
                self._drain(output)
                return Ended.DIED

    def _drain(self, output: BoundedText) -> None:
        """Reads what was printed before the answer: it lies in the pipe already, and is no more than fits into it."""
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        read = 0
        while read < _PIPE_BYTES and any(event & select.POLLIN for _, event in poll.poll(0)):
            data = os.read(self._output, _PIPE_BYTES - read)
            read += len(data)
            output.feed(data)


def _arguments(limits: SandboxLimits, seed: int) -> list[str]:
    numbers = (
        seed,
        math.ceil(limits.cpu_seconds),
        limits.memory_bytes,
        limits.file_bytes,
        limits.processes,
        _task_limit(limits),
    )
    return [*map(str, numbers), *_package_folders()]


@cache
def _package_folders() -> tuple[str, ...]:
    """Folders of installed packages: `-S` leaves them out, so they are handed over."""
    return tuple(folder for folder in sys.path if os.path.basename(folder) in ("site-packages", "dist-packages"))


def _task_limit(limits: SandboxLimits) -> int:
    """How many tasks (processes and threads) the user may have; 0 for root, whom the kernel does not limit.

    The kernel counts all tasks of the user, those of other programs too, so the limit is what the machine runs now
    and some more.
    """
    if os.geteuid() == 0:
        return 0
    running = Path("/proc/loadavg").read_text(encoding="ascii").split()[3].split("/")[1]
    return int(running) + limits.processes + _SPARE_TASKS


def _end(process: subprocess.Popen[bytes], control: socket.socket, output: int, folder: str) -> None:
    """Kills the process group, reaps the process, closes the pipes and removes the folder."""
    with contextlib.suppress(ProcessLookupError):
        # Before the process is reaped: as long as it is not, its number cannot belong to another.
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    control.close()
    os.close(output)
    _remove(folder)


def _remove(folder: str) -> None:
    """Removes a folder, also when the code took its own permissions away."""
    shutil.rmtree(folder, ignore_errors=True)
    if not os.path.exists(folder):
        return
    os.chmod(folder, 0o700)
    for place, folders, _ in os.walk(folder):
        for path in (os.path.join(place, name) for name in folders):
            if not os.path.islink(path):  # what a link points to is not ours
                os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
