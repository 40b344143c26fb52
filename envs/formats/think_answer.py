"""The format of Logic-RL and R1-Zero: `<think>` and `<answer>`, no tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from ...tools.base import FunctionSchema, ToolCall, ToolResult
from ..episode import Action, FormatFault, Message, ParsedAction
from ..limits import Limits
from ..task import Task
from .base import Cut, whole
from .common import PromptedFormat
from .tags import scan

_CLOSE = "</think>"
_INSTRUCTION = (
    "You are a helpful assistant. You first reason about the problem in your mind and then give the user the answer. "
    "The reasoning stands in <think> </think> and the answer in <answer> </answer>, that is, <think> reasoning here "
    "</think><answer> answer here </answer>."
)
_IDENTITIES = (
    " When you have reached a conclusion, state the identity of each character, one by one, for example <answer> (1) "
    "Zoey is a knight\n(2) Oliver is a knight\n(3)... </answer>."
)


class ThinkAnswerFormat(PromptedFormat):
    """Logic-RL (arXiv 2502.14768; Unakar/Logic-RL, `kk.py`), the form of DeepSeek-R1-Zero (arXiv 2501.12948).

    The framework writes the opening `<think>`; an action goes on from there, and nothing stops it. The answer is the
    content of the last `<answer>` block, wherever it stands. The form is right with one `</think>`, then one `<answer>`
    and one `</answer>`, and no second `<think>`; it is misplaced otherwise.

    The published line about the identities of characters stands in the prompts of tasks that ask for them.
    """

    name: ClassVar[str] = "think_answer"
    transcript: ClassVar[Literal["text", "chat"]] = "text"
    prefill: ClassVar[str] = "<think>"
    limits: ClassVar[Limits] = Limits(max_turns=1, max_tokens=4096)

    def expresses(self, function: FunctionSchema) -> bool:
        """Never: there are no calls."""
        return False

    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """The instruction as the system message, the problem as the user's."""
        return [{"role": "system", "content": _instruction(task)}, {"role": "user", "content": task.question}]

    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """The instruction and the problem; the prefill is put after it by whoever generates."""
        return f"{_instruction(task)}\n\nUser:{task.question}\nAssistant: "

    def parse(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action, which does not hold the prefill."""
        last = None
        for block in scan(action, ("answer",)):
            last = block if block.closed else last
        if last is None:
            faults = [FormatFault.UNCLOSED] if "<answer>" in action or _CLOSE not in action else []
            return self.reading(action, len(action), faults=faults)
        thought = action.find(_CLOSE)
        once = all(action.count(mark) == 1 for mark in (_CLOSE, "<answer>", "</answer>"))
        formed = once and "<think>" not in action and thought < last.start
        faults = [] if formed else [FormatFault.MISPLACED]
        answer = last.content.strip()
        return self.reading(action, len(action), after=last.end, answer=answer, faults=faults)

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


def _instruction(task: Task) -> str:
    identities = {"names", "solution"} <= task.metadata.keys()
    return _INSTRUCTION + (_IDENTITIES if identities else "")
