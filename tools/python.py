"""A Python interpreter for the model: state kept from call to call, confined by all the layers there are."""

from __future__ import annotations

from collections.abc import Sequence

from .base import FunctionSchema, Tool, ToolCall, ToolResult, ToolSession, ToolStatus
from .sandbox import Isolation, Outcome, Sandbox, SandboxLimits

_STATUS = {
    Outcome.OK: ToolStatus.OK,
    Outcome.ERROR: ToolStatus.ERROR,
    Outcome.TIMEOUT: ToolStatus.TIMEOUT,
    Outcome.KILLED: ToolStatus.ERROR,
}


class PythonTool(Tool):
    """Runs Python code: one function with `code`; prints, the value of a last expression and tracebacks come back.

    Every session has an interpreter of its own, opened with the first call, with an empty environment, a temporary
    working folder and the limits given. The tool enforces its wall limit itself, by killing the interpreter; the
    session then goes on with a fresh one and tells the model so.

    Isolation "sandbox" confines files, network and processes; `toolgym.tools.sandbox` lists what it does and does not
    hold back. Where the machine cannot give it, the tool refuses and says which layer is missing and how to get it.
    Isolation "process" is for code that is wrong rather than hostile: it does **not** confine files (the code reads and
    writes whatever the user can, anywhere), the network, system calls and signals to the user's other processes, and C
    code that starts processes through ctypes; a process that leaves its session outlives the kill, and as root the
    number of processes has no limit of the kernel. Isolation "none" is a bare separate interpreter.
    `isolation_report()` lists each layer.

    Args:
        isolation: "sandbox", "process" or "none".
        limits: What a call may use.
        name: Name of the function for the model.

    Raises:
        InputError: If the isolation is unknown or not to be had on this machine, or the limits do not suit it.
    """

    draws = True  # `random` and `numpy.random` start from the seed

    def __init__(
        self, *, isolation: Isolation = "sandbox", limits: SandboxLimits | None = None, name: str = "python"
    ) -> None:
        sandbox = Sandbox(isolation, limits)  # refuses what cannot be; its interpreter would open with a first run
        self.isolation = sandbox.isolation
        self.limits = sandbox.limits
        self.timeout = None  # the sandbox enforces its own, and can kill what a thread could only abandon
        self.max_output_characters = self.limits.output_characters
        self._schema = FunctionSchema(
            name,
            "Runs Python code in a session that keeps its variables, and returns what it prints.",
            {
                "type": "object",
                "properties": {
                    "code": {
                        "type": "string",
                        "description": "Python source code.",
                        "contentMediaType": "text/x-python",
                    }
                },
                "required": ["code"],
                "additionalProperties": False,
            },
        )

    @property
    def functions(self) -> Sequence[FunctionSchema]:
        """The one function."""
        return (self._schema,)

    def open(self, seed: int = 0) -> PythonSession:
        """A session; its interpreter starts with the first call, with `random` and `numpy.random` seeded."""
        return PythonSession(Sandbox(self.isolation, self.limits, seed))


class PythonSession(ToolSession):
    """A sandbox as a session. Forks and restored snapshots replay the cells; see `Sandbox` for what that gives.

    Where a replayed cell printed something else than the first time, the results' metadata names its number, from 1, in
    `replay_differs`.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def call(self, call: ToolCall) -> ToolResult:
        """Runs `code`.

        Raises:
            ToolUnavailable: If the interpreter cannot be started.
            RuntimeError: If an earlier cell dies when it is replayed.
        """
        execution = self._sandbox.run(call.arguments["code"])
        metadata: dict[str, object] = {"outcome": execution.outcome.value, "state_lost": execution.state_lost}
        if execution.differing:
            metadata["replay_differs"] = list(execution.differing)
        return ToolResult(
            _STATUS[execution.outcome],
            execution.output,
            omitted_characters=execution.omitted_characters,
            metadata=metadata,
        )

    def fork(self) -> PythonSession:
        """A session that will replay this one's cells in its own interpreter."""
        return PythonSession(self._sandbox.fork())

    def snapshot(self) -> bytes:
        """The cells, digests of what they gave, and the seed, as JSON."""
        return self._sandbox.snapshot()

    def restore(self, snapshot: bytes) -> None:
        """Drops the interpreter; the snapshot's cells are replayed in a fresh one before the next call."""
        self._sandbox.restore(snapshot)

    def close(self) -> None:
        """Kills the interpreter. A later call would replay the cells in a new one."""
        self._sandbox.close()
