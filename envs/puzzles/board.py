"""Boards: tools with one function of one text, and a JSON state."""

from __future__ import annotations

import copy
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from ...tools.base import FunctionSchema, Tool, ToolCall, ToolResult, ToolSession, ToolStatus
from ...tools.identity import type_name
from ...tools.recordings import request_key
from ..episode import Episode
from ..task import Task

State = dict[str, Any]
"""What a board holds: JSON values only, the hidden part of the puzzle included."""

LONGEST_MOVE = 1_000
"""Characters of a move that are read."""


class BoardTool(Tool):
    """The board of a puzzle. A board without a task knows its function, but cannot be played.

    Attributes:
        function: Name of the function.
        argument: Name of its one argument, a string, so that every action format can write it.
        description: What the function does, for the model.
        meaning: What the argument is, for the model.
    """

    timeout = None  # a move is a few microseconds of Python
    function: ClassVar[str]
    argument: ClassVar[str]
    description: ClassVar[str]
    meaning: ClassVar[str]

    def __init__(self) -> None:
        self.task: Task | None = None

    def bound(self, task: Task) -> Self:
        """The board of a task."""
        twin = copy.copy(self)
        twin.task = task
        return twin

    @property
    def identity(self) -> Mapping[str, Any]:
        """What results depend on, for recordings: the kind of board, and how it stands before the first move."""
        start = {} if self.task is None else self.start(self.task)
        return {"board": type_name(self), "start": request_key(start)}

    @property
    def functions(self) -> Sequence[FunctionSchema]:
        """The one function."""
        argument = {"type": "string", "description": self.meaning}
        parameters = {
            "type": "object",
            "properties": {self.argument: argument},
            "required": [self.argument],
            "additionalProperties": False,
        }
        return (FunctionSchema(self.function, self.description, parameters),)

    def open(self, seed: int = 0) -> BoardSession:
        """A session at the task's beginning."""
        return BoardSession(self, {} if self.task is None else self.start(self.task))

    def write(self, move: str) -> ToolCall:
        """The call that makes a move."""
        return ToolCall(self.function, {self.argument: move})

    def replay(self, episode: Episode) -> State:
        """The board as an episode left it: what the environment executed, not what the agent says of it."""
        state = self.start(episode.task)
        for turn in episode.turns:
            for call, result in zip(turn.parsed.calls, turn.results, strict=False):
                if call.name == self.function and result.ok:
                    self.play(state, call.arguments[self.argument][:LONGEST_MOVE])
        return state

    @abstractmethod
    def start(self, task: Task) -> State:
        """The board of a task before the first move."""

    @abstractmethod
    def play(self, state: State, move: str) -> ToolResult:
        """Makes a move: changes the state and says what is seen. What cannot be done is `illegal`, and changes nothing.

        Args:
            state: The board.
            move: What the model wrote, at most `LONGEST_MOVE` characters of it.
        """


class BoardSession(ToolSession):
    """A board in play."""

    def __init__(self, tool: BoardTool, state: State) -> None:
        self._tool = tool
        self._state = state

    def call(self, call: ToolCall) -> ToolResult:
        """Makes a move.

        Raises:
            RuntimeError: If no puzzle is on the board.
        """
        if not self._state:
            raise RuntimeError("no puzzle is on this board: it is set up by the reset of its environment")
        return self._tool.play(self._state, call.arguments[self._tool.argument][:LONGEST_MOVE])

    def fork(self) -> BoardSession:
        """The same board in the same state."""
        return BoardSession(self._tool, copy.deepcopy(self._state))

    def snapshot(self) -> bytes:
        """The state as JSON, the puzzle included."""
        return json.dumps(self._state).encode()

    def restore(self, snapshot: bytes) -> None:
        """Sets the board up as it was."""
        self._state = json.loads(snapshot)


def illegal(reason: str) -> ToolResult:
    """What a move that cannot be made returns."""
    return ToolResult(ToolStatus.ERROR, f"Error: {reason}")


def seen(text: str) -> ToolResult:
    """What a move that was made returns."""
    return ToolResult(ToolStatus.OK, text)
