r"""The format of ReTool: Python in `<code>`, its output in `<interpreter>`, `<answer>` with `\boxed{}`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from ...tools.base import FunctionSchema, ToolCall, ToolResult
from ..episode import FormatFault, Message
from ..task import Task
from .base import Cut, whole
from .tagged import TaggedFormat

_INSTRUCTION = (
    "Solve the problem below step by step. Where it helps your reasoning you may write Python code, which is run in a "
    "sandbox; whatever it prints is returned to you as <interpreter>output</interpreter> and you go on from there. "
    "Print what you want to see: every piece of code has to be a complete script, imports included. Write code as\n"
    "<code>\n```python\ncode here\n```\n</code>\n"
    "Finish with the final answer in the form\n<answer>\n\\boxed{the final answer}\n</answer>\n"
)
_FENCE = re.compile(r"```(?:python3|python|py)?[ \t]*\n?")


class CodeFormat(TaggedFormat):
    r"""ReTool (arXiv 2504.11536).

    The code may stand in a fence inside `<code>` or without one. The answer is the last `\boxed{}` of the first
    `<answer>` block, or the block's whole text if there is no box.
    """

    name: ClassVar[str] = "code"
    transcript: ClassVar[Literal["text", "chat"]] = "text"
    stop: ClassVar[tuple[str, ...]] = ("</code>", "</answer>")
    observation_marks: ClassVar[tuple[str, ...]] = ("<interpreter>", "</interpreter>")
    call_tag: ClassVar[str] = "code"
    observation_tag: ClassVar[str] = "interpreter"
    function: ClassVar[str] = "python"
    argument: ClassVar[str] = "code"

    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """Instruction and problem in a single user message."""
        return [{"role": "user", "content": f"{_INSTRUCTION}\nProblem: {task.question}"}]

    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """Instruction, then the problem as the user's, then `Assistant:`."""
        return f"{_INSTRUCTION}\nUser: {task.question}\nAssistant:"

    def read_call(self, content: str, argument: str) -> tuple[ToolCall, list[FormatFault]]:
        """The call that runs the code of a block."""
        code = content.strip()
        faults = []
        if fence := _FENCE.match(code):
            if not code.endswith("```") or len(code) < fence.end() + 3:
                faults.append(FormatFault.UNCLOSED)
            code = code[fence.end() :].removesuffix("```").removesuffix("\n")
        if not code.strip():
            return self.bad_call("it is empty"), [FormatFault.BAD_CALL]
        return ToolCall(self.function, {argument: code}), faults

    def render(self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole) -> str:
        """What the interpreter printed, between interpreter marks."""
        payload = cut("\n".join(result.output for result in results))
        return f"\n<interpreter>\n{payload}\n</interpreter>\n"

    def write_call(self, thought: str, call: ToolCall, turn: int) -> str:
        """A thought and a fenced script."""
        code = self.only_argument(call)
        return self.checked_call(f"{thought}\n<code>\n```python\n{code}\n```\n</code>", call)

    def write_answer(self, thought: str, answer: str, turn: int) -> str:
        """A thought and a boxed answer."""
        return self.checked_answer(f"{thought}\n<answer>\n\\boxed{{{answer}}}\n</answer>", answer)
