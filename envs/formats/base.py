"""The wire language between model and environment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from msgspec.structs import replace

from ...tools.base import FunctionSchema, ToolCall, ToolResult
from ...tools.errors import InputError
from ..episode import Action, FormatFault, Message, ParsedAction
from ..limits import Limits
from ..task import Task

PromptStyle = Literal["full", "question"]

Cut = Callable[[str], str]
"""Shortens the payload of an observation to the episode's cap; marks around it stay whole."""


def whole(text: str) -> str:
    """The cut that cuts nothing."""
    return text


class ActionFormat(ABC):
    r"""Owns the prompt, the stop strings, parsing, and the rendering of observations.

    A format is stateless and shared: the same instance serves any number of episodes.

    Attributes:
        name: Public name.
        transcript: `text` when observations continue the assistant's own text (one growing string), `chat` when they
            come back as messages under the chat template.
        stop: Strings after which generation stops; they stay in the action's text.
        final_stop: The same where calls are over (`Limits.surplus_calls`, `Limits.last_turn_calls`).
        observation_marks: Strings that only the environment may write; in an action they are a forged observation.
        prefill: Text that the framework puts at the start of the agent's first turn; never an action, never trained.
        prefills_every_turn: Whether it does so in the later turns of a chat, too.
        native_tools: Whether an endpoint gets the functions as `tools` and gives back `tool_calls`, and a chat template
            gets both.
        limits: Bounds of the published system. Environments take over those that need no tokenizer; all of them with
            `limits="published"`.

    Args:
        prompt: `full` for the published instruction, `question` for the bare question (small models trained from
            scratch on demonstrations need no instruction).
    """

    name: ClassVar[str]
    transcript: ClassVar[Literal["text", "chat"]] = "text"
    stop: ClassVar[tuple[str, ...]] = ()
    observation_marks: ClassVar[tuple[str, ...]] = ()
    prefill: ClassVar[str] = ""
    prefills_every_turn: ClassVar[bool] = False
    native_tools: ClassVar[bool] = False
    limits: ClassVar[Limits] = Limits()

    def __init__(self, prompt: PromptStyle = "full") -> None:
        if prompt not in ("full", "question"):
            raise InputError(f"format {self.name!r}: prompt must be 'full' or 'question', not {prompt!r}")
        self.prompt = prompt

    @property
    def final_stop(self) -> tuple[str, ...]:
        """Stop strings of a turn whose calls do not run; the usual ones by default."""
        return self.stop

    def expresses(self, function: FunctionSchema) -> bool:
        """Whether the format can write a call of a function; of any, by default."""
        return True

    @abstractmethod
    def messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """The prompt as chat messages, for models with a chat template."""

    @abstractmethod
    def text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """The prompt as one text, for base models."""

    @abstractmethod
    def parse(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action. Never raises, whatever the text.

        Args:
            action: What the agent wrote.
            functions: What may be called; without, the tool of the published system.
        """

    def parse_in_place(self, action: Action, functions: Sequence[FunctionSchema], before: str) -> ParsedAction:
        """Reads an action where it stands. Never raises; `parse` by default, which needs to know nothing more.

        Args:
            action: What the agent wrote.
            functions: What may be called.
            before: What stands before it: the prompt, or the last action and its observation. A framework that writes
                the start of the agent's lines has written it at the end of that.
        """
        return self.parse(action, functions)

    def parse_final(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action whose calls do not run: for its answer alone."""
        parsed = self.parse(action, functions)
        if parsed.calls and (answer := self.result_answer(parsed, ())) is not None:
            return replace(parsed, calls=(), answer=answer)
        if parsed.answer is not None or not (parsed.calls or parsed.reply is not None):
            return parsed
        faults = dict.fromkeys((FormatFault.NO_ACTION, *parsed.faults))
        return ParsedAction(parsed.text, parsed.surplus, faults=tuple(faults))

    @abstractmethod
    def render(self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole) -> str:
        """The observation text for results, exactly as it is appended to the transcript.

        Args:
            calls: The calls that were made.
            results: Their results, in the same order.
            cut: Applied to what the tools returned, inside the format's marks.
        """

    def render_messages(
        self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole
    ) -> list[Message]:
        """The observation as chat messages. Formats of the `text` kind return one user message with the same text."""
        return [{"role": "user", "content": self.render(calls, results, cut)}]

    def render_reply(self, parsed: ParsedAction) -> str:
        """The observation text for an action that the format itself answers; `parsed.reply` by default."""
        return parsed.reply or ""

    def result_answer(self, parsed: ParsedAction, results: Sequence[ToolResult]) -> str | None:
        """The final answer of an action that makes calls, in systems where it or its program may give one.

        Args:
            parsed: The action.
            results: What its calls returned, if the agent is going to see it.

        Returns:
            The answer, which ends the episode; None where there is none.
        """
        return None

    def closing_text(self, reward: float) -> str:
        """What the environment says after the final answer; nothing in most systems."""
        return ""

    def assistant_message(self, action: Action, parsed: ParsedAction) -> Message:
        """The action as a chat message, with a prefill that every turn has."""
        return {"role": "assistant", "content": (self.prefill if self.prefills_every_turn else "") + action}

    @abstractmethod
    def write_call(self, thought: str, call: ToolCall, turn: int) -> str:
        """An action that makes a call, as a well-behaved agent writes it (for oracles and demonstrations).

        Args:
            thought: Reasoning to put before it.
            call: The call.
            turn: Position of the action in the episode, from 1.
        """

    @abstractmethod
    def write_answer(self, thought: str, answer: str, turn: int) -> str:
        """An action that gives the final answer, as a well-behaved agent writes it."""

    def forged(self, text: str) -> bool:
        """Whether an action's text holds a mark that only the environment may write."""
        for mark in self.observation_marks:  # noqa: SIM110  # a generator costs twice as much, at every step
            if mark in text:
                return True
        return False
