"""A Python interpreter of its own with limits, whose state lasts from run to run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum

from .interpreter import Ended, Interpreter
from .limits import SandboxLimits
from .report import Isolation, check_isolation


class Outcome(StrEnum):
    """How a run ended."""

    OK = "ok"
    ERROR = "error"
    """The code raised; the traceback is in the output. The state is kept."""
    TIMEOUT = "timeout"
    """The wall or processor limit passed. The state is lost."""
    KILLED = "killed"
    """The output limit passed, or the interpreter died. The state is lost."""


@dataclass(frozen=True)
class Execution:
    """What one run gave.

    Attributes:
        outcome: How it ended.
        output: What was printed (standard output and error as written), the value of a last expression, a traceback,
            and for `TIMEOUT` and `KILLED` a last line that says why. Capped.
        omitted_characters: How many characters of the output were cut.
        seconds: Wall time of the run, without the start of the interpreter.
    """

    outcome: Outcome
    output: str
    omitted_characters: int
    seconds: float

    @property
    def state_lost(self) -> bool:
        """Whether variables and files are gone."""
        return self.outcome in (Outcome.TIMEOUT, Outcome.KILLED)


class Sandbox:
    """Runs pieces of Python code in one separate interpreter.

    The interpreter starts with the first run (about 20 ms) and keeps its variables, and its files in a temporary
    working folder, until `close` or until a limit kills it; the next run then starts a fresh one. String hashes are
    the same in every interpreter, and `random` and `numpy.random` start from the seed.

    Args:
        isolation: Level of isolation; there is no default. See `isolation_report`.
        limits: What a run may use.
        seed: Seed of the global random generators inside.

    Raises:
        InputError: If the isolation is missing or unknown.
    """

    def __init__(self, isolation: Isolation, limits: SandboxLimits | None = None, seed: int = 0) -> None:
        self.isolation = check_isolation(isolation)
        self.limits = limits or SandboxLimits()
        self._seed = seed
        self._interpreter: Interpreter | None = None

    @property
    def running(self) -> bool:
        """Whether an interpreter is open."""
        return self._interpreter is not None

    def run(self, code: str) -> Execution:
        """Runs code and waits for it.

        Args:
            code: Python source; the value of a last expression is shown, as in a notebook.

        Returns:
            What came of it, whatever the code does.

        Raises:
            RuntimeError: If the interpreter cannot be started.
        """
        if self._interpreter is None:
            self._interpreter = Interpreter(self.limits, self._seed)
        start = time.perf_counter()
        try:
            ended, output = self._interpreter.exchange(code)
        except BaseException:
            self.close()  # interrupted in the middle: the interpreter's state is unknown
            raise
        seconds = time.perf_counter() - start
        if ended in (Ended.OK, Ended.RAISED):
            text, omitted = output.take()
            return Execution(Outcome.OK if ended is Ended.OK else Outcome.ERROR, text, omitted, seconds)
        interpreter, self._interpreter = self._interpreter, None
        exit_code = interpreter.close_dead() if ended is Ended.DIED else interpreter.close()
        outcome, note = self._explain(ended, exit_code)
        note += " The interpreter was restarted: its variables and files are lost."
        text, omitted = output.take(reserve=len(note) + 1)
        if text and not text.endswith("\n"):
            text += "\n"
        return Execution(outcome, text + note, omitted, seconds)

    def close(self) -> None:
        """Kills the interpreter and removes its folder. May be called more than once; a later run starts afresh."""
        if self._interpreter is not None:
            self._interpreter.close()
            self._interpreter = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _explain(self, ended: Ended, exit_code: int) -> tuple[Outcome, str]:
        import signal

        limits = self.limits
        if ended is Ended.TIMEOUT:
            return Outcome.TIMEOUT, f"TimeoutError: killed after {limits.wall_seconds:g} seconds."
        if ended is Ended.FLOOD:
            return Outcome.KILLED, f"OutputLimitError: killed after printing {limits.output_bytes:,} bytes."
        if exit_code == -signal.SIGXCPU:
            return Outcome.TIMEOUT, f"TimeoutError: killed after {limits.cpu_seconds:g} seconds of processor time."
        if exit_code < 0:
            return Outcome.KILLED, f"InterpreterError: killed by signal {signal.Signals(-exit_code).name}."
        return Outcome.KILLED, f"InterpreterError: the interpreter ended with exit code {exit_code}."
