"""Base of the formats in which a call and the answer are tagged blocks of one growing text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ...tools.base import FunctionSchema, ToolCall
from ..episode import Action, FormatFault, ParsedAction
from .common import PromptedFormat, string_argument
from .tags import boxed_or_whole, cut_after, scan


class TaggedFormat(PromptedFormat):
    """A text format with one kind of call, `<TAG>argument</TAG>`, and answers in `<answer>`.

    A text that was not generated with the stop strings is read as if it had been: it ends after the first of them.
    The first block that opens and closes before that point is what the agent did. What stands inside a block of the
    observation's tag was not said by the environment and is read as nothing. A closing call tag without an opening one
    is a call that cannot be read (the engine stopped there, and something must follow).

    Attributes:
        call_tag: Tag of a call.
        observation_tag: Tag of what the environment returns.
        function: Function that the call tag stands for.
        argument: Name of its one argument in the published system; an environment's function may name it otherwise.
    """

    call_tag: ClassVar[str]
    observation_tag: ClassVar[str]
    function: ClassVar[str]
    argument: ClassVar[str]

    def parse(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action."""
        argument = next((name for name in map(string_argument, functions) if name), self.argument)
        head = cut_after(action, self.stop)
        faults: list[FormatFault] = []
        readable = True
        for block in scan(head, (self.call_tag, "answer"), hidden=(self.observation_tag,)):
            if not block.closed:
                faults.append(FormatFault.UNCLOSED)
                readable = readable and block.tag != self.observation_tag
            elif block.tag == "answer":
                return self.reading(action, block.end, answer=self.read_answer(block.innermost))
            elif block.tag == self.call_tag:
                call, call_faults = self.read_call(block.innermost, argument)
                return self.reading(action, block.end, calls=[call], faults=call_faults)
        if readable and head.endswith(f"</{self.call_tag}>"):
            stray = self.bad_call(f"<{self.call_tag}> is missing")
            return self.reading(action, len(head), calls=[stray], faults=[FormatFault.BAD_CALL])
        if readable and head.endswith("</answer>"):
            faults.append(FormatFault.MISPLACED)
        return self.reading(action, len(head), faults=faults)

    def expresses(self, function: FunctionSchema) -> bool:
        """Whether it is the one function that the call tag stands for, with one string as its argument."""
        return function.name == self.function and string_argument(function) is not None

    def read_call(self, content: str, argument: str) -> tuple[ToolCall, list[FormatFault]]:
        """The call that a block's content stands for, and what is wrong with it."""
        value = content.strip()
        if not value:
            return self.bad_call("it is empty"), [FormatFault.BAD_CALL]
        return ToolCall(self.function, {argument: value}), []

    def bad_call(self, reason: str) -> ToolCall:
        """A call that could not be read."""
        return ToolCall(self.function, error=f"invalid {self.argument}: {reason}")

    def read_answer(self, content: str) -> str:
        r"""The answer in an answer block: its last `\boxed{}`, or the whole content if there is none."""
        return boxed_or_whole(content)
