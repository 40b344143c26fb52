"""Runs the calls of one episode: checks, limits and statuses around the sessions of its tools."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from dataclasses import replace
from typing import Any

from .arguments import describe, find_fault
from .base import FunctionSchema, StatelessSession, Tool, ToolCall, ToolResult, ToolSession, ToolStatus
from .errors import InputError
from .output import clean_text, keep_ends


class ToolRuntime:
    """The tools of one episode, one open session for each.

    A tool with a `timeout` runs on a thread of its own that is abandoned when the time is up: Python cannot stop a
    thread, so the late call may still run, but it holds only its old session and its own result, and neither is ever
    read again. A tool whose `timeout` is None runs on the caller's thread and must end by itself, as `PythonTool` does
    by killing its interpreter.

    Args:
        tools: The tools; their function names must differ.
        seed: Random seed of the episode, handed to every session.

    Raises:
        InputError: If two functions have the same name, or a tool's output cap is below 1.
    """

    def __init__(self, tools: Sequence[Tool], seed: int = 0) -> None:
        self._tools = tuple(tools)
        self._seed = seed
        self._functions, self._owners = _index_functions(self._tools)
        self._sessions: list[ToolSession] = []
        self._closed = False
        try:
            for tool in self._tools:
                self._sessions.append(tool.open(seed))
        except BaseException:
            self.close()
            raise

    @property
    def functions(self) -> tuple[FunctionSchema, ...]:
        """All functions of all tools, in order."""
        return tuple(self._functions.values())

    def call(self, call: ToolCall) -> ToolResult:
        """Runs one call. Nothing that a model can write makes this raise.

        Args:
            call: The call as the action format found it.

        Returns:
            The result, with a clean and capped text and the wall time in seconds.

        Raises:
            RuntimeError: If the runtime is closed: the caller's mistake, not the model's.
        """
        if self._closed:
            raise RuntimeError("this ToolRuntime is closed: open a new one for a new episode")
        start = time.perf_counter()
        name = call.name
        if not isinstance(name, str) or name not in self._functions:
            known = ", ".join(self._functions) or "none"
            text = f"Unknown tool {describe(name)}. Available tools: {known}."
            return _finish(ToolResult(ToolStatus.UNKNOWN_TOOL, text), start, Tool.max_output_characters)
        position = self._owners[name]
        tool = self._tools[position]
        fault = self._find_fault(call)
        if fault is not None:
            result = ToolResult(ToolStatus.BAD_ARGUMENTS, f"Bad arguments for {name}: {fault}.")
        elif tool.timeout is None:
            result = _call_session(self._sessions[position], call)
        else:
            result = self._call_within(tool.timeout, position, call)
        return _finish(result, start, tool.max_output_characters)

    def fork(self) -> ToolRuntime:
        """A new runtime over the same tools whose sessions are in the same state and independent of these."""
        twin = ToolRuntime((), self._seed)
        twin._tools, twin._functions, twin._owners = self._tools, self._functions, self._owners
        try:
            for session in self._sessions:
                twin._sessions.append(session.fork())
        except BaseException:
            twin.close()
            raise
        return twin

    def snapshot(self) -> bytes:
        """The state of all sessions as bytes (JSON) that `restore` of a runtime with the same tools accepts."""
        states = [base64.b64encode(session.snapshot()).decode("ascii") for session in self._sessions]
        return json.dumps({"functions": list(self._functions), "states": states}).encode()

    def restore(self, snapshot: bytes) -> None:
        """Sets all sessions to the state of `snapshot`.

        Raises:
            ValueError: If the snapshot was taken with other tools.
        """
        data = json.loads(snapshot)
        if data["functions"] != list(self._functions):
            raise ValueError(f"the snapshot has functions {data['functions']}, this runtime {list(self._functions)}")
        for session, state in zip(self._sessions, data["states"], strict=True):
            session.restore(base64.b64decode(state))

    def close(self) -> None:
        """Closes the sessions (not the tools, which other episodes share). May be called more than once."""
        self._closed = True
        while self._sessions:
            self._sessions.pop().close()

    def __enter__(self) -> ToolRuntime:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _find_fault(self, call: ToolCall) -> str | None:
        if call.error is not None:
            return str(call.error).rstrip(".")
        try:
            return find_fault(self._functions[call.name].parameters, call.arguments)
        except RecursionError:
            return "they are nested too deeply"

    def _call_within(self, seconds: float, position: int, call: ToolCall) -> ToolResult:
        session = self._sessions[position]
        worker = _AbandonableCall(session, call)
        result = worker.wait(seconds)
        if result is not None:
            return result
        text = f"Timed out after {seconds:g} seconds."
        stateful = not isinstance(session, StatelessSession)
        if stateful:
            text += " The tool's state was lost."
        # The late call keeps the old session to itself; the episode goes on with a fresh one.
        self._sessions[position] = self._tools[position].open(self._seed)
        return ToolResult(ToolStatus.TIMEOUT, text, metadata={"state_lost": stateful})


class _AbandonableCall:
    """One call on a daemon thread. Its result is read at most once, by the one who waits for it in time."""

    def __init__(self, session: ToolSession, call: ToolCall) -> None:
        self._session = session
        self._call = call
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._abandoned = False
        self._result: ToolResult | None = None
        context = copy_context()
        threading.Thread(target=context.run, args=(self._run,), name=f"tool-{call.name}", daemon=True).start()

    def wait(self, seconds: float) -> ToolResult | None:
        """The result, or None when it did not come in time: then the call is abandoned and closes its session."""
        self._done.wait(seconds)
        with self._lock:
            self._abandoned = self._result is None
            return self._result

    def _run(self) -> None:
        result = _call_session(self._session, self._call)
        with self._lock:
            if not self._abandoned:
                self._result = result
                self._done.set()
                return
        self._session.close()


def _index_functions(tools: Sequence[Tool]) -> tuple[dict[str, FunctionSchema], dict[str, int]]:
    functions: dict[str, FunctionSchema] = {}
    owners: dict[str, int] = {}
    for position, tool in enumerate(tools):
        if tool.max_output_characters < 1:
            raise InputError(
                f"{type(tool).__name__}.max_output_characters is {tool.max_output_characters}; use at least 1"
            )
        for function in tool.functions:
            if function.name in functions:
                raise InputError(f"two tools have a function named {function.name!r}; give one of them another name")
            functions[function.name] = function
            owners[function.name] = position
    return functions, owners


def _call_session(session: ToolSession, call: ToolCall) -> ToolResult:
    try:
        result: Any = session.call(call)
        if not isinstance(result, ToolResult):
            raise TypeError(f"the tool returned {describe(result)} instead of a ToolResult")
        return result
    except (Exception, SystemExit, GeneratorExit) as error:
        return ToolResult(ToolStatus.ERROR, _describe_error(error), metadata={"exception": type(error).__name__})


def _describe_error(error: BaseException) -> str:
    try:
        message = str(error)
    except Exception:  # an exception whose own text cannot be made
        message = ""
    kind = type(error).__name__
    return f"{kind}: {message}" if message else kind


def _finish(result: ToolResult, start: float, cap: int) -> ToolResult:
    text, omitted = keep_ends(clean_text(str(result.output)), cap)
    metadata: Mapping[str, Any] = result.metadata
    return replace(
        result,
        output=text,
        omitted_characters=result.omitted_characters + omitted,
        seconds=time.perf_counter() - start,
        metadata=dict(metadata),
    )
