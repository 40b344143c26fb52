"""What a tool is: function schemas, calls, results, and one session per episode.

Two kinds of failure are kept apart. What the model caused (an unknown name, bad arguments, code that raises, a time
limit) is a `ToolResult` with a status and a text that the model reads. What we caused raises.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import msgspec
from msgspec import Struct

from .arguments import ArgumentCheck
from .policy import ToolPolicy, changed_policy


class ToolStatus(StrEnum):
    """How a tool call ended. The set is closed: metrics and rewards may rely on it."""

    OK = "ok"
    UNKNOWN_TOOL = "unknown_tool"
    """The name is not one of the environment's functions."""
    BAD_ARGUMENTS = "bad_arguments"
    """The arguments do not fit the function's JSON schema, or could not be parsed."""
    TIMEOUT = "timeout"
    """The wall-clock limit passed."""
    ERROR = "error"
    """The tool ran and failed: an exception, a non-zero exit, a limit of the sandbox."""
    BUDGET = "budget"
    """The episode had no calls left."""


@dataclass(frozen=True)
class FunctionSchema:
    """One function that a model may call.

    Attributes:
        name: The name the model writes.
        description: What it does, in a sentence or two, for the model.
        parameters: JSON schema of the arguments (an object schema).
    """

    name: str
    description: str
    parameters: Mapping[str, Any]

    @cached_property
    def argument_check(self) -> ArgumentCheck:
        """What checks the arguments of a call; made once, on first use."""
        return ArgumentCheck(self.parameters)

    @cached_property
    def string_argument(self) -> str | None:
        """The name of the argument, if the function takes one string and needs nothing else; None otherwise."""
        required = self.parameters.get("required", ())
        if len(required) != 1:
            return None
        (name,) = required
        argument = self.parameters.get("properties", {}).get(name, {})
        return str(name) if argument.get("type") == "string" else None

    def as_openai(self) -> dict[str, Any]:
        """The schema in the form of OpenAI's `tools` list."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}


class ToolCall(Struct, frozen=True):
    """A call that an action format found in the model's text.

    Attributes:
        name: Function name as written by the model.
        arguments: Arguments as written, not validated yet.
        error: Why the arguments could not be read, or None. Such a call is answered with `BAD_ARGUMENTS`.
        id: Identifier that ties the result to the call in formats that have one.
    """

    name: str
    arguments: Mapping[str, Any] = msgspec.field(default_factory=dict)
    error: str | None = None
    id: str = ""


class ToolResult(Struct, frozen=True):
    """What came back from one call.

    Attributes:
        status: How the call ended.
        output: The text for the model, already capped.
        seconds: Wall time of the call, its retries included and its waiting excluded.
        queue_seconds: Time the call waited: for its turn under the tool's policy, and before retries.
        retries: How often it was tried again.
        cached: Whether the result comes from the tool's cache; None where there is no cache.
        omitted_characters: Characters that the output cap removed (0 when nothing was cut).
        metadata: JSON-able details for people, metrics and rewards; never shown to the model. Search puts the
            `passage_ids` it returned here.
    """

    status: ToolStatus
    output: str
    seconds: float = 0.0
    omitted_characters: int = 0
    metadata: Mapping[str, Any] = msgspec.field(default_factory=dict)
    queue_seconds: float = 0.0
    retries: int = 0
    cached: bool | None = None

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return self.status is ToolStatus.OK


class ToolSession(ABC):
    """A tool's state within one episode. Sessions are never shared between episodes."""

    @abstractmethod
    def call(self, call: ToolCall) -> ToolResult:
        """Runs one call whose arguments have been validated against the schema.

        May raise: `ToolRuntime` turns exceptions into results with status `ERROR`.

        Raises:
            TransientError: If what the tool stands on is gone for the moment. A stateless session is called again, as
                often as the tool's policy says; then it counts as `ToolUnavailable`.
            ToolUnavailable: If it is gone for good. The episode is lost, and no reward tells the model so.
        """

    @abstractmethod
    def fork(self) -> ToolSession:
        """A new, independent session in the same state."""

    @abstractmethod
    def snapshot(self) -> bytes:
        """The state as bytes that `restore` of a session of the same tool accepts."""

    @abstractmethod
    def restore(self, snapshot: bytes) -> None:
        """Sets the state to that of `snapshot`."""

    def close(self) -> None:
        """Frees what the session holds. May be called more than once."""
        return None


class Tool(ABC):
    """Something a model can call: one or several functions that share a session's state.

    Attributes:
        timeout: Wall-clock limit of one call in seconds; None means no limit.
        max_output_characters: Cap on the text of one result; the head and the tail are kept.
        policy: Limits, retries and cache over all episodes of the process. Whoever uses a tool may replace it:
            `tool.policy = ToolPolicy(max_concurrency=4)`.
        cacheable: Whether a successful result depends on the arguments alone (and, for a tool that `draws`, on the
            seed), so that the same call need not run twice. Only calls of stateless sessions are cached.
        draws: Whether results depend on the seed given to `open`.
        asks_for_functions: Whether `functions` must ask somebody, such as a server; a recording then has them too.
    """

    timeout: float | None = 30.0
    max_output_characters: int = 10_000
    policy: ToolPolicy = ToolPolicy()
    cacheable: bool = False
    draws: bool = False
    asks_for_functions: bool = False

    @property
    @abstractmethod
    def functions(self) -> Sequence[FunctionSchema]:
        """The functions the model may call."""

    @abstractmethod
    def open(self, seed: int = 0) -> ToolSession:
        """Opens a fresh session for one episode.

        Args:
            seed: Random seed of the episode, for tools that draw.
        """

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Sets `timeout` and fields of `policy`, for all who share the tool.

        Args:
            settings: Values by name: `{"timeout": 5.0, "max_concurrency": 4}`.

        Raises:
            InputError: If a setting is unknown or out of range.
        """
        self.policy = changed_policy(self.policy, settings)
        self.timeout = settings.get("timeout", self.timeout)

    def close(self) -> None:
        """Frees what all sessions share. May be called more than once."""
        return None


class StatelessSession(ToolSession):
    """Base of sessions without state: forks are new sessions, snapshots are empty."""

    def fork(self) -> ToolSession:
        """The session itself, since there is nothing to separate."""
        return self

    def snapshot(self) -> bytes:
        """Empty bytes."""
        return b""

    def restore(self, snapshot: bytes) -> None:
        """Nothing to restore.

        Raises:
            ValueError: If the snapshot holds state, and so belongs to another tool.
        """
        if snapshot:
            raise ValueError(f"a stateless session has no state, but the snapshot holds {len(snapshot)} bytes")
