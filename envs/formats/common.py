"""What the formats share: prompts in two styles, the record of a reading, and checked writing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from ...tools.base import FunctionSchema, ToolCall, ToolResult
from ...tools.errors import InputError
from ..episode import Action, FormatFault, Message, ParsedAction
from ..task import Task
from .base import ActionFormat
from .tags import is_blank


class PromptedFormat(ActionFormat):
    """A format whose prompt is an instruction with a question, or the bare question."""

    @abstractmethod
    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """The instruction and the question as chat messages."""

    @abstractmethod
    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """The instruction and the question as one text."""

    def question_text(self, task: Task) -> str:
        """The bare question as one text."""
        return f"{task.question}\n"

    def messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """The prompt as chat messages, complete in itself."""
        if self.prompt == "question":
            return [{"role": "user", "content": task.question}]
        return self.full_messages(task, functions)

    def text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """The prompt as one text."""
        return self.question_text(task) if self.prompt == "question" else self.full_text(task, functions)

    def reading(
        self,
        action: Action,
        kept: int,
        *,
        after: int | None = None,
        calls: Sequence[ToolCall] = (),
        answer: str | None = None,
        reply: str | None = None,
        faults: Sequence[FormatFault] = (),
    ) -> ParsedAction:
        """The record of what was read in an action; adds the faults that are judged alike in every format.

        Args:
            action: The whole action.
            kept: Position at which the part that counts ends.
            after: Position after the block that the agent acted with; `kept` by default. What follows it, whether it
                counts or not, is text after the action.
            calls: Calls that were found.
            answer: Answer that was found.
            reply: What the format itself answers.
            faults: What else is wrong. Without calls and answer an action has the fault `NO_ACTION`, unless it holds a
                call that cannot be read.
        """
        rest = action[kept if after is None else after :]
        follows = rest != "" and not self.negligible(rest)
        forged = self.forged(action)
        if not (follows or forged or faults) and (calls or answer is not None):  # as most are: nothing is wrong
            return ParsedAction(action[:kept], action[kept:], tuple(calls), answer, (), reply)
        found = [*faults]
        if not calls and answer is None and FormatFault.BAD_CALL not in found:
            found.insert(0, FormatFault.NO_ACTION)
        if forged:
            found.append(FormatFault.FORGED_OBSERVATION)
        if follows:
            found.append(FormatFault.TEXT_AFTER_ACTION)
        return ParsedAction(action[:kept], action[kept:], tuple(calls), answer, tuple(dict.fromkeys(found)), reply)

    def negligible(self, surplus: str) -> bool:
        """Whether what follows an action is no text of its own: whitespace, end-of-turn marks, a stop string."""
        return is_blank(surplus)

    def checked_call(self, action: str, call: ToolCall) -> str:
        """The action, if this format reads it as that call and nothing else.

        Raises:
            InputError: If the call or the thought holds something that the format cannot express.
        """
        read = self.parse(Action(action), (_schema_of(call),))
        calls = [_bare(found) for found in read.calls]
        if read.faults or read.answer is not None or calls != [_bare(call)]:
            raise InputError(f"format {self.name!r} cannot express the call {call.name}({dict(call.arguments)!r:.200})")
        return action

    def checked_answer(self, action: str, answer: str) -> str:
        """The action, if this format reads it as that answer and nothing else.

        Raises:
            InputError: If the answer or the thought holds something that the format cannot express.
        """
        read = self.parse(Action(action))
        if read.faults or read.calls or read.answer != answer.strip():
            raise InputError(f"format {self.name!r} cannot express the answer {answer!r:.200}")
        return action

    def only_argument(self, call: ToolCall) -> str:
        """The text of a call whose function takes one string.

        Raises:
            InputError: For other arguments, or a function that the format cannot express.
        """
        value = next(iter(call.arguments.values()), None)
        if not isinstance(value, str) or len(call.arguments) != 1 or not self.expresses(_schema_of(call)):
            raise InputError(
                f"format {self.name!r} cannot express a call {call.name}({', '.join(map(str, call.arguments))})"
            )
        return value


def _schema_of(call: ToolCall) -> FunctionSchema:
    """A schema that takes just what a call gives: what the call is read against, after it was written."""
    kinds = {name: {"type": "string"} if isinstance(value, str) else {} for name, value in call.arguments.items()}
    return FunctionSchema(call.name, "", {"type": "object", "properties": kinds, "required": list(kinds)})


def _bare(call: ToolCall) -> ToolCall:
    """A call without its identifier and the whitespace around its texts, which no format keeps."""
    stripped: dict[str, Any] = {
        name: value.strip() if isinstance(value, str) else value for name, value in call.arguments.items()
    }
    return replace(call, id="", arguments=stripped)


def passages_of(result: ToolResult) -> list[tuple[str, str]]:
    """Titles and texts of the passages that a search returned; empty for other results and for failed calls."""
    passages = result.metadata.get("passages")
    if not passages or not result.ok:
        return []
    return [(str(passage["title"]), str(passage["text"])) for passage in passages]
