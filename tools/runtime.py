"""Runs the calls of one episode: checks, limits and statuses around the sessions of its tools."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Hashable, Sequence
from functools import partial

from msgspec.structs import replace

from .arguments import describe
from .base import FunctionSchema, StatelessSession, Tool, ToolCall, ToolResult, ToolSession, ToolStatus
from .cache import cache_key
from .errors import InputError, ToolUnavailable, TransientError
from .guard import answer, close_sessions, describe_error, guarded_call
from .policy import Clock
from .shared import SharedState, shared_state
from .workers import WORKERS, Job


class ToolRuntime:
    """The tools of one episode, one open session for each.

    A tool with a `timeout` runs on a thread that is abandoned when the time is up: Python cannot stop a thread, so the
    late call may still run, but it holds only its old session and its own result, and neither is ever read again. A
    tool whose `timeout` is None runs on the caller's thread and must end by itself, as `PythonTool` does by killing
    its interpreter.

    What a tool's `policy` limits, it limits over all runtimes of the process: they share the tool.

    Attributes:
        functions: All functions of all tools, in order.

    Args:
        tools: The tools; their function names must differ.
        seed: Random seed of the episode, handed to every session.
        clock: The time that queues and retries go by.

    Raises:
        InputError: If two functions have the same name, a tool's output cap is below 1, or a tool calls itself
            cacheable although its sessions have state.
    """

    def __init__(self, tools: Sequence[Tool], seed: int = 0, clock: Clock | None = None) -> None:
        self._tools = tuple(tools)
        self._seed = seed
        self._clock = clock or Clock()
        self._functions, self._owners = _index_functions(self._tools)
        self.functions = tuple(self._functions.values())
        self._sessions: list[ToolSession] = []
        self._closed = False
        self._open_sessions()

    def call(self, call: ToolCall) -> ToolResult:
        """Runs one call. Nothing that a model can write makes this raise.

        Args:
            call: The call as the action format found it.

        Returns:
            The result, with a clean and capped text and its times.

        Raises:
            ToolUnavailable: If what the tool stands on is gone; the episode cannot go on.
            RuntimeError: If the runtime is closed: the caller's mistake, not the model's.
        """
        if self._closed:
            raise RuntimeError("this ToolRuntime is closed: open a new one for a new episode")
        start = time.perf_counter()
        name = call.name
        position = self._owners.get(name) if isinstance(name, str) else None
        if position is None:
            known = ", ".join(self._functions) or "none"
            text = f"Unknown tool {describe(name)}. Available tools: {known}."
            return answer(ToolStatus.UNKNOWN_TOOL, text, Tool.max_output_characters, start)
        tool = self._tools[position]
        if call.error is None:
            fault = self._functions[name].argument_check.find_fault(call.arguments)
        else:
            fault = str(call.error).rstrip(".")
        if fault is not None:
            text = f"Bad arguments for {name}: {fault}."
            return answer(ToolStatus.BAD_ARGUMENTS, text, tool.max_output_characters, start)
        policy = tool.policy
        try:
            if tool.cacheable and policy.cache_entries:
                return self._call_cached(position, call, start)
            if policy.queues or policy.retries:
                return self._call_with_retries(position, call)
            if tool.timeout is not None:  # asked here, too: a tool without limits is called without two detours
                return self._call_once(position, call)
            return guarded_call(self._sessions[position], call, tool.max_output_characters)
        except ToolUnavailable as error:
            error.function = error.function or name
            raise

    def unlimited(self, function: str) -> tuple[Tool, ToolSession] | None:
        """The tool that has a function, and its session, if `call` hands a sound call to that as it is.

        None where a cache, a queue, retries or a timeout stand between the two.
        """
        position = self._owners[function]
        tool = self._tools[position]
        policy = tool.policy
        if (tool.cacheable and policy.cache_entries) or policy.queues or policy.retries or tool.timeout is not None:
            return None
        return tool, self._sessions[position]

    def fork(self) -> ToolRuntime:
        """A new runtime over the same tools whose sessions are in the same state and independent of these."""
        twin = ToolRuntime((), self._seed, self._clock)
        twin._tools, twin._functions, twin._owners = self._tools, self._functions, self._owners
        twin.functions = self.functions
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
        return json.dumps({"functions": list(self._functions), "seed": self._seed, "states": states}).encode()

    def restore(self, snapshot: bytes) -> None:
        """Sets all sessions, and the seed of those to come, to the state of `snapshot`.

        Raises:
            ValueError: If the snapshot was taken with other tools.
        """
        data = json.loads(snapshot)
        if data["functions"] != list(self._functions):
            raise ValueError(f"the snapshot has functions {data['functions']}, this runtime {list(self._functions)}")
        if data["seed"] != self._seed:
            self._seed = data["seed"]
            self._close_sessions()
            self._open_sessions()
        for session, state in zip(self._sessions, data["states"], strict=True):
            session.restore(base64.b64decode(state))

    def close(self) -> None:
        """Closes the sessions (not the tools, which other episodes share). May be called more than once."""
        self._closed = True
        self._close_sessions()

    def __enter__(self) -> ToolRuntime:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # Inside ---------------------------------------------------------------------------------------------------

    def _open_sessions(self) -> None:
        try:
            for tool in self._tools:
                self._sessions.append(_open_session(tool, self._seed))
                if tool.cacheable and not isinstance(self._sessions[-1], StatelessSession):
                    raise InputError(
                        f"{type(tool).__name__} is cacheable, but its sessions have state; "
                        "set cacheable = False, or derive its session from StatelessSession"
                    )
        except BaseException:
            self.close()
            raise

    def _close_sessions(self) -> None:
        sessions, self._sessions = self._sessions, []
        close_sessions(reversed(sessions))

    def _call_cached(self, position: int, call: ToolCall, start: float) -> ToolResult:
        tool = self._tools[position]
        key: Hashable | None = cache_key(call, self._seed if tool.draws else None)
        if key is None:
            return self._call_with_retries(position, call)
        cache = shared_state(tool).cache
        kept = cache.get(key)
        if kept is not None:
            return replace(kept, seconds=time.perf_counter() - start, cached=True)
        result = self._call_with_retries(position, call)
        cache.put(key, result, tool.policy.cache_entries, tool.policy.cache_bytes)
        return replace(result, cached=False)

    def _call_with_retries(self, position: int, call: ToolCall) -> ToolResult:
        """Runs a call, in its turn, as often as the tool's policy wants."""
        tool = self._tools[position]
        policy = tool.policy
        if not policy.queues and not policy.retries:
            return self._call_once(position, call)
        queue = shared_state(tool).queue if policy.queues else None
        retries = policy.retries if isinstance(self._sessions[position], StatelessSession) else 0
        queued, spent = 0.0, 0.0
        for retry in range(retries + 1):
            queued += queue.enter(policy, self._clock) if queue else 0.0
            began = time.perf_counter()
            try:
                result = self._call_once(position, call)
            except TransientError:
                if retry == retries:
                    raise
            else:
                if result.status is not ToolStatus.TIMEOUT or not policy.retry_timeouts:
                    break
            finally:
                spent += time.perf_counter() - began
                if queue:
                    queue.leave()
            if retry < retries:
                queued += self._sleep(policy.wait_before_retry(retry))
        return replace(result, seconds=spent, queue_seconds=queued, retries=retry)

    def _call_once(self, position: int, call: ToolCall) -> ToolResult:
        tool, session = self._tools[position], self._sessions[position]
        if tool.timeout is None:
            return guarded_call(session, call, tool.max_output_characters)
        state = shared_state(tool)
        if state.abandoned >= tool.policy.max_abandoned:
            raise ToolUnavailable(
                f"{state.abandoned} calls of {call.name} passed their timeout of {tool.timeout:g} seconds and still "
                "run; find out why they hang, or raise ToolPolicy.max_abandoned"
            )
        start = time.perf_counter()
        run = partial(guarded_call, session, call, tool.max_output_characters)
        job: Job[ToolResult] = Job(run, partial(_end_late, state, session))
        WORKERS.get().start(job)
        if job.wait(tool.timeout):
            return job.result()
        state.abandon(1)
        # The late call keeps the old session to itself; the episode goes on with a fresh one.
        self._reopen(position)
        text = f"Timed out after {tool.timeout:g} seconds."
        stateful = not isinstance(session, StatelessSession)
        if stateful:
            text += " The tool's state was lost."
        return replace(
            answer(ToolStatus.TIMEOUT, text, tool.max_output_characters, start), metadata={"state_lost": stateful}
        )

    def _reopen(self, position: int) -> None:
        del self._sessions[position]
        try:
            self._sessions.insert(position, _open_session(self._tools[position], self._seed))
        except Exception as error:
            self.close()  # an episode without one of its tools cannot go on
            if isinstance(error, ToolUnavailable):
                raise
            raise ToolUnavailable(f"no new session after a timeout: {describe_error(error)}") from error

    def _sleep(self, seconds: float) -> float:
        """Waits; returns how long it took."""
        began = self._clock.now()
        self._clock.sleep(seconds)
        return self._clock.now() - began


def _open_session(tool: Tool, seed: int) -> ToolSession:
    try:
        return tool.open(seed)
    except ToolUnavailable as error:
        error.function = error.function or ", ".join(function.name for function in tool.functions)
        raise


def _end_late(state: SharedState, session: ToolSession) -> None:
    """Runs on its thread when an abandoned call has come to its end after all."""
    state.abandon(-1)
    close_sessions([session])


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
