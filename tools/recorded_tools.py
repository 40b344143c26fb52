"""Tools whose calls are on a cassette, those with state included."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

from msgspec import structs

from .base import FunctionSchema, StatelessSession, Tool, ToolCall, ToolResult, ToolSession, ToolStatus
from .errors import ToolUnavailable
from .identity import identity_of
from .recordings import request_key
from .runtime import ToolRuntime


class ChangedAnswer(ToolUnavailable):
    """A session could not be brought back to where it stood: an earlier call of it now gives something else."""


class Tape(Protocol):
    """What recorded tools need of a cassette."""

    path: Path

    @property
    def replays(self) -> bool:
        """Whether it answers from the file alone."""

    def play(self, requests: Sequence[Mapping[str, Any]], ask: Callable[[list[int]], Sequence[Any]]) -> list[Any]:
        """The responses to requests: recorded ones, and what `ask` brings for the others."""

    def has(self, request: Mapping[str, Any]) -> bool:
        """Whether a request is recorded."""

    def note(self, request: Mapping[str, Any], response: Any) -> None:
        """Writes down what nobody had to be asked for."""

    def as_kept(self, response: Any) -> Any:
        """A response as it comes back from the file."""


class RecordedTool(Tool):
    """A tool whose calls are on a cassette. Make one with `Cassette.wrap`.

    The inner tool runs under a runtime of its own, with its own timeout, limits, retries and caps, so that what is
    recorded is the result as an episode sees it, a timeout or an exception included.

    Args:
        tape: The cassette.
        tool: The inner tool.
        identity: Says what results depend on.
    """

    timeout = None

    def __init__(self, tape: Tape, tool: Tool, identity: Callable[[], Mapping[str, Any]]) -> None:
        self.tape, self.tool, self._identity = tape, tool, identity
        self.max_output_characters = tool.max_output_characters
        self.draws = tool.draws
        self._state = _State(identity)
        self._functions: tuple[FunctionSchema, ...] | None = None

    @property
    def identity(self) -> Mapping[str, Any]:
        """What results depend on: the inner tool's own, as it is now, or the one that was given."""
        return self._identity()

    @property
    def functions(self) -> Sequence[FunctionSchema]:
        """The inner tool's; recorded, where it must ask for them."""
        if not self.tool.asks_for_functions:
            return self.tool.functions
        if self._functions is None:
            request = {"tool": self.identity, "list": "functions"}
            (functions,) = self.tape.play([request], lambda _: [[asdict(one) for one in self.tool.functions]])
            self._functions = tuple(FunctionSchema(**one) for one in functions)
        return self._functions

    def over(self, tool: Tool) -> Self:
        """The same with another inner tool of the same kind, such as the board of another puzzle."""
        twin = copy.copy(self)
        twin.tool, twin._identity = tool, partial(identity_of, tool)
        return twin

    def open(self, seed: int = 0) -> ToolSession:
        """A session; one of the inner tool is opened when a call has to go out."""
        return _RecordedSession(self, seed)

    def has_state(self, request: Mapping[str, Any]) -> bool:
        """Whether its sessions have state.

        A cassette says so of those that have. Where it says nothing, has no recording of a call without state, and may
        record, a session of the inner tool is opened to see.

        Args:
            request: What names a call of a session without state.
        """
        state, tape = self._state, self.tape
        if state.there is None:
            note = {"tool": state.identity(), "sessions": "state"}
            if tape.has(note):
                state.there = True
            elif tape.replays or tape.has(request):
                state.there = False
            else:
                session = self.tool.open()
                session.close()
                there = not isinstance(session, StatelessSession)
                if there:
                    tape.note(note, True)
                state.there = there
        return state.there

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Sets the inner tool's `timeout` and fields of its `policy`: a recorded answer needs neither."""
        self.tool.configure(settings)

    def close(self) -> None:
        """Closes the inner tool."""
        self.tool.close()

    def request(self, call: ToolCall, seed: int) -> dict[str, Any]:
        """What names a call of a session with that seed."""
        request: dict[str, Any] = {"tool": self.identity, "function": call.name, "arguments": dict(call.arguments)}
        if self.draws:
            request["seed"] = seed
        return request


@dataclass
class _State:
    """Whether the sessions of a kind of tool have state, once that is known.

    Attributes:
        identity: The name under which a cassette has it.
        there: Whether they have.
    """

    identity: Callable[[], Mapping[str, Any]]
    there: bool | None = None


@dataclass(frozen=True)
class _Made:
    """A call that a session made.

    Attributes:
        name: The function.
        arguments: Its arguments.
        digest: Digest of what it gave.
        lost: Whether it left the session as a fresh one.
    """

    name: str
    arguments: Mapping[str, Any]
    digest: str
    lost: bool


class _RecordedSession(ToolSession):
    """A session that is the list of its calls; one without state forgets them.

    Where there is state, a call's request names the request before it, and so all that led to the state. The inner
    session is opened when a call has to go out, and the calls that it has not seen yet are made in it first.
    """

    def __init__(self, tool: RecordedTool, seed: int) -> None:
        self._tool, self._seed = tool, seed
        self._made: list[_Made] = []
        self._last = ""
        self._inner: ToolRuntime | None = None
        self._seen = 0
        """How many of the calls led to the inner session's state."""

    def call(self, call: ToolCall) -> ToolResult:
        """The recorded answer, or that of the inner session.

        Raises:
            ChangedAnswer: If an earlier call had to be made again in the inner session, and gave something else.
        """
        request = self._tool.request(call, self._seed)
        play = self._play_with_state if self._tool.has_state(request) else self._play
        response = play(call, request)
        return ToolResult(**{**response, "status": ToolStatus(response["status"])})

    def _play(self, call: ToolCall, request: Mapping[str, Any]) -> Mapping[str, Any]:
        def ask(positions: list[int]) -> list[Any]:
            with ToolRuntime([self._tool.tool], self._seed) as runtime:
                return [structs.asdict(runtime.call(call))]

        (response,) = self._tool.tape.play([request], ask)
        played: Mapping[str, Any] = response
        return played

    def _play_with_state(self, call: ToolCall, request: Mapping[str, Any]) -> Mapping[str, Any]:
        tape, answers = self._tool.tape, list[Any]()

        def ask(positions: list[int]) -> list[Any]:
            answers.append(structs.asdict(self._prepared().call(call)))
            return answers

        request = {**request, "after": self._last}
        try:
            (response,) = tape.play([request], ask)
            digest = _digest(response)
            # Another process may have been first with another answer, which then counts.
            if answers and _digest(tape.as_kept(answers[0])) != digest:
                self.close()
        except BaseException:
            self.close()
            raise
        lost = response["metadata"].get("state_lost") is True
        self._made.append(_Made(call.name, dict(call.arguments), digest, lost))
        self._last = request_key(request)
        if answers and self._inner is not None:
            self._seen = len(self._made)
        played: Mapping[str, Any] = response
        return played

    def fork(self) -> ToolSession:
        """A session with the same calls behind it; the inner one, if there is one, is forked."""
        twin = _RecordedSession(self._tool, self._seed)
        twin._made, twin._last = list(self._made), self._last
        if self._inner is not None:
            twin._inner, twin._seen = self._inner.fork(), self._seen
        return twin

    def snapshot(self) -> bytes:
        """The calls as JSON."""
        made = [[one.name, one.arguments, one.digest, one.lost] for one in self._made]
        return json.dumps({"calls": made, "last": self._last}).encode()

    def restore(self, snapshot: bytes) -> None:
        """Closes the inner session; the snapshot's calls are made in a fresh one when the next has to go out."""
        state = json.loads(snapshot)
        self.close()
        self._made = [_Made(*one) for one in state["calls"]]
        self._last = state["last"]

    def close(self) -> None:
        """Closes the inner session."""
        inner, self._inner, self._seen = self._inner, None, 0
        if inner is not None:
            inner.close()

    def _prepared(self) -> ToolRuntime:
        """The inner session, in the state that the calls so far have led to."""
        fresh = max((number for number, made in enumerate(self._made, 1) if made.lost), default=0)
        if self._inner is not None and self._seen < fresh:
            self.close()
        if self._inner is None:
            self._inner, self._seen = ToolRuntime([self._tool.tool], self._seed), fresh
        for number, made in enumerate(self._made[self._seen :], self._seen + 1):
            result = self._inner.call(ToolCall(made.name, made.arguments))
            if _digest(self._tool.tape.as_kept(structs.asdict(result))) != made.digest:
                raise ChangedAnswer(
                    f"{self._tool.tape.path}: the session cannot be brought back to where it stood: its call {number} "
                    f"of {len(self._made)}, {made.name}({dict(made.arguments)!r:.200}), now gives {result.status} "
                    f"{result.output!r:.100} instead of what was recorded; a tool with state must give the same again"
                )
            self._seen = number
        return self._inner


def _digest(response: Mapping[str, Any]) -> str:
    """Digest of what the model sees of a response."""
    return request_key({"status": response["status"], "output": response["output"]})
