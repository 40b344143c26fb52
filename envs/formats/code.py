r"""The format of ReTool: Python in `<code>`, its output in `<interpreter>`, `<answer>` with `\boxed{}`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from ...tools.base import FunctionSchema, ToolCall, ToolResult, ToolStatus
from ..episode import Action, FormatFault, Message, ParsedAction
from ..limits import Limits
from ..task import Task
from .base import Cut, whole
from .programs import FENCE, ProgramFormat, fenced, keep_halves, last_line, printed_and_report
from .tags import first_closed, last_boxed, left_open

_INSTRUCTION = (
    "Solve the problem below step by step. Where it helps your reasoning you may write Python code, which is run in a "
    "sandbox; whatever it prints is returned to you as <interpreter>output</interpreter> and you go on from there. "
    "Print what you want to see: every piece of code has to be a complete script, imports included. Write code as\n"
    "<code>\n```python\ncode here\n```\n</code>\n"
    "Finish with the final answer in the form\n<answer>\n\\boxed{the final answer}\n</answer>\n"
)
_REMINDER = "The last part of your response gives the final answer:\n<answer>\n\\boxed{the final answer}\n</answer>"
_STOP = "</code>"
_SHORTENED, _HALF = 400, 200
_OTHER_FENCE = re.compile(r"```(?:py)?[ \t]*\n")


class CodeFormat(ProgramFormat):
    r"""ReTool (arXiv 2504.11536; ReTool-RL/ReTool, `evaluation/eval.py` and `executor.py`).

    Generation stops at `</code>` alone; a turn that ends there runs what follows the last ```` ```python ```` before
    it, without fences and surrounding whitespace. Where there is no such fence the published code runs the whole turn,
    prose included, which no interpreter accepts; here, what follows the last `<code>` runs. Nothing to run is answered
    by `None`. Any other turn is the last one: the answer is its last `\boxed{}`, or else the text of its first
    `<answer>` block.

    Output comes back without surrounding whitespace and shortened to its first and last 200 characters; of an error,
    the last line. (The published executor means to show the value of a last expression where nothing is printed, and
    fails with a `TypeError` there; here that value is shown, or nothing.)

    The sequence is bounded to 16,384 tokens, calls are not; environments without a tokenizer allow eight turns.
    """

    name: ClassVar[str] = "code"
    transcript: ClassVar[Literal["text", "chat"]] = "text"
    stop: ClassVar[tuple[str, ...]] = (_STOP,)
    limits: ClassVar[Limits] = Limits(max_turns=None, max_context=16_384)
    observation_marks: ClassVar[tuple[str, ...]] = ("<interpreter>", "</interpreter>")

    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """Instruction, problem and a reminder of the answer's form in a single user message."""
        return [{"role": "user", "content": _prompt(task)}]

    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """The same for base models, whose turn `Assistant:` opens."""
        return f"{_prompt(task)}\n\nAssistant:"

    def parse(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action."""
        end = action.find(_STOP)
        if end < 0:
            return self._read_last(action)
        kept = end + len(_STOP)
        code, faults = _program(action[:end])
        if not code:
            return self.reading(action, kept, reply=_rendered("None"), faults=[FormatFault.BAD_CALL])
        return self.reading(action, kept, calls=[self.call(code, functions)], faults=faults)

    def _read_last(self, action: Action) -> ParsedAction:
        block = first_closed(action, "answer")
        answer = last_boxed(action)
        if answer is None and block is not None:
            answer = block.content.strip()
        faults = [FormatFault.UNCLOSED] if answer is None and left_open(action, "code", "answer") else []
        after = len(action) if block is None else block.end
        return self.reading(action, len(action), after=after, answer=answer, faults=faults)

    def render(self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole) -> str:
        """What the interpreter printed, or the last line of an error, between interpreter marks."""
        return _rendered(cut("\n".join(map(_output, results))))

    def write_call(self, thought: str, call: ToolCall, turn: int) -> str:
        """A thought and a fenced script."""
        return self.checked_call(f"{thought}\n<code>\n{fenced(self.only_argument(call))}\n{_STOP}", call)

    def write_answer(self, thought: str, answer: str, turn: int) -> str:
        """A thought and a boxed answer."""
        return self.checked_answer(f"{thought}\n<answer>\n\\boxed{{{answer}}}\n</answer>", answer)


def _prompt(task: Task) -> str:
    return f"{_INSTRUCTION}\n*user question:*\n{task.question}\n\n{_REMINDER}"


def _program(text: str) -> tuple[str, list[FormatFault]]:
    """The program in what stands before `</code>`, and what is wrong with its form."""
    before, fence, code = text.rpartition(f"{FENCE}python")
    faults = []
    if not fence:
        before, _, code = text.rpartition("<code>")
        before += "<code>" if "<code>" in text else ""
        code = _OTHER_FENCE.sub("", code, count=1) if code.lstrip().startswith(FENCE) else code
    elif FENCE not in code:
        faults.append(FormatFault.UNCLOSED)
    if "<code>" not in before:
        faults.append(FormatFault.MISPLACED)
    return code.replace(FENCE, "").strip(), faults


def _rendered(payload: str) -> str:
    return f"\n<interpreter>\n{payload}</interpreter>\n\n"


def _output(result: ToolResult) -> str:
    printed, report = printed_and_report(result)
    if result.status is ToolStatus.TIMEOUT:
        return "Timeout Error"
    text = last_line(report) if report else printed.strip()
    return keep_halves(text, _HALF, "...") if len(text) > _SHORTENED else text
