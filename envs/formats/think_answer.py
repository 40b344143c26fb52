"""The format of Logic-RL and R1-Zero: `<think>` and `<answer>`, no tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from ...tools.base import FunctionSchema, ToolCall, ToolResult
from ..episode import Action, FormatFault, Message, ParsedAction
from ..task import Task
from .base import Cut, whole
from .common import PromptedFormat
from .tags import scan

_INSTRUCTION = (
    "You are a helpful assistant. You first reason about the problem in your mind and then give the user the answer. "
    "The reasoning stands in <think> </think> and the answer in <answer> </answer>, that is, <think> reasoning here "
    "</think> <answer> answer here </answer>. If the problem asks who several characters are, state the identity of "
    "each of them, one by one, for example <answer> (1) Zoey is a knight\n(2) Oliver is a knight\n(3)... </answer>."
)
_CLOSE = "</think>"


class ThinkAnswerFormat(PromptedFormat):
    """Logic-RL (arXiv 2502.14768; Unakar/Logic-RL), the form of DeepSeek-R1-Zero (arXiv 2501.12948).

    The framework writes the opening `<think>`; an action goes on from there. The answer is the first `<answer>` block
    after the first `</think>`. Where the thought is never closed, the first block counts all the same and is
    misplaced.
    """

    name: ClassVar[str] = "think_answer"
    transcript: ClassVar[Literal["text", "chat"]] = "text"
    prefill: ClassVar[str] = "<think>"

    def expresses(self, function: FunctionSchema) -> bool:
        """Never: there are no calls."""
        return False

    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """The instruction as the system message, the problem as the user's."""
        return [{"role": "system", "content": _INSTRUCTION}, {"role": "user", "content": task.question}]

    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """The instruction and the problem; the prefill is put after it by whoever generates."""
        return f"{_INSTRUCTION}\n\nUser:{task.question}\nAssistant: "

    def parse(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action, which does not hold the prefill."""
        thought, close, _ = action.partition(_CLOSE)
        start = len(thought) + len(close) if close else 0
        faults = [] if close else [FormatFault.MISPLACED]
        for block in scan(action[start:], ("answer",)):
            if block.closed:
                return self.reading(action, start + block.end, answer=block.innermost.strip(), faults=faults)
            faults.append(FormatFault.UNCLOSED)
        return self.reading(action, len(action), faults=faults if close else [FormatFault.UNCLOSED])

    def render(self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole) -> str:
        """Nothing: there are no calls."""
        return ""

    def write_call(self, thought: str, call: ToolCall, turn: int) -> str:
        """Always fails: there are no calls.

        Raises:
            InputError: Always.
        """
        return self.only_argument(call)

    def write_answer(self, thought: str, answer: str, turn: int) -> str:
        """The rest of a thought, and the answer."""
        return self.checked_answer(f" {thought} {_CLOSE}\n<answer> {answer} </answer>", answer)
