"""A Python interpreter for the model: state kept from call to call, confined at a level asked for by name."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .base import FunctionSchema, Tool, ToolCall, ToolResult, ToolSession, ToolStatus
from .sandbox import Isolation, Outcome, Sandbox, SandboxLimits, check_isolation

_STATUS = {
    Outcome.OK: ToolStatus.OK,
    Outcome.ERROR: ToolStatus.ERROR,
    Outcome.TIMEOUT: ToolStatus.TIMEOUT,
    Outcome.KILLED: ToolStatus.ERROR,
}


class PythonTool(Tool):
    """Runs Python code: one function with `code`; prints, the value of a last expression and tracebacks come back.

    Every session has an interpreter of its own, started with the first call, with an empty environment, a temporary
    working folder and the limits given. The tool enforces its wall limit itself, by killing the interpreter; the
    session then goes on with a fresh one and tells the model so.

    Isolation "process" is for code that is wrong rather than hostile. It does **not** confine: files (the code reads
    and writes whatever the user can, anywhere), the network, system calls and signals to the user's other processes,
    and C code that starts processes through ctypes; a process that leaves its session outlives the kill, and as root
    the number of processes has no limit of the kernel. `isolation_report()` lists each layer. Run code that may be
    hostile in a container or a virtual machine.

    Args:
        isolation: Must be given: "process".
        limits: What a call may use.
        name: Name of the function for the model.

    Raises:
        InputError: If the isolation is missing or unknown.
    """

    def __init__(
        self, *, isolation: Isolation | None = None, limits: SandboxLimits | None = None, name: str = "python"
    ) -> None:
        self.isolation = check_isolation(isolation)
        self.limits = limits or SandboxLimits()
        self.timeout = None  # the sandbox enforces its own, and can kill what a thread could only abandon
        self.max_output_characters = self.limits.output_characters
        self._schema = FunctionSchema(
            name,
            "Runs Python code in a session that keeps its variables, and returns what it prints.",
            {
                "type": "object",
                "properties": {"code": {"type": "string", "description": "Python source code."}},
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
        return PythonSession(self, seed)


class PythonSession(ToolSession):
    """An interpreter and the cells that led to its state.

    An interpreter cannot be copied, so forks and restored sessions replay the cells before their next call. That gives
    the same state because hashes and the global random generators are fixed; code that depends on the time, the
    network, files outside its folder, or generators made without a seed may differ. A cell that killed the interpreter
    is not replayed: it left a fresh one.
    """

    def __init__(self, tool: PythonTool, seed: int) -> None:
        self._tool = tool
        self._seed = seed
        self._sandbox = Sandbox(tool.isolation, tool.limits, seed)
        self._cells: list[str] = []
        self._replayed = 0

    def call(self, call: ToolCall) -> ToolResult:
        """Runs `code`.

        Raises:
            RuntimeError: If the interpreter cannot be started, or an earlier cell dies when it is replayed.
        """
        self._replay()
        code = call.arguments["code"]
        execution = self._sandbox.run(code)
        if execution.state_lost:
            self._cells.clear()
        else:
            self._cells.append(code)
        self._replayed = len(self._cells)
        return ToolResult(
            _STATUS[execution.outcome],
            execution.output,
            omitted_characters=execution.omitted_characters,
            metadata={"outcome": execution.outcome.value, "state_lost": execution.state_lost},
        )

    def fork(self) -> PythonSession:
        """A session that will replay this one's cells in its own interpreter."""
        twin = PythonSession(self._tool, self._seed)
        twin._cells = list(self._cells)
        return twin

    def snapshot(self) -> bytes:
        """The cells and the seed as JSON."""
        return json.dumps({"cells": self._cells, "seed": self._seed}).encode()

    def restore(self, snapshot: bytes) -> None:
        """Drops the interpreter; the snapshot's cells are replayed in a fresh one before the next call."""
        state = json.loads(snapshot)
        self.close()
        self._seed = state["seed"]
        self._sandbox = Sandbox(self._tool.isolation, self._tool.limits, self._seed)
        self._cells = list(state["cells"])

    def close(self) -> None:
        """Kills the interpreter. A later call would replay the cells in a new one."""
        self._sandbox.close()
        self._replayed = 0

    def _replay(self) -> None:
        while self._replayed < len(self._cells):
            execution = self._sandbox.run(self._cells[self._replayed])
            if execution.state_lost:
                number, total = self._replayed + 1, len(self._cells)
                self._replayed = 0
                raise RuntimeError(f"the session's state is lost: cell {number} of {total} died in the replay")
            self._replayed += 1
