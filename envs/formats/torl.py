r"""The format of ToRL: Python and its output in fences, the answer in `\boxed{}`."""

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
from .tags import is_blank, last_boxed

_OPENING = "A conversation between User and Assistant. The user asks a question, and the Assistant solves it."
_TASK = (
    "Solve the problem below with natural-language reasoning and programs combined, and put the final answer into "
    "\\boxed{}."
)
_OUTPUT = "```output"
_FORGED = re.compile(r"```output\s*\S")
_TIMED_OUT = "timeout_decorator.timeout_decorator.TimeoutError: 'Timed Out'"
_SHORTENED, _HALF = 256, 128


class TorlFormat(ProgramFormat):
    r"""ToRL (arXiv 2503.23383; GAIR-NLP/ToRL, `vllm_rollout_spmd.py`, template `tir_base_0309`).

    Generation stops where an output block opens; a turn that ends there runs its last ```` ```python ```` block, read
    line by line, unless that is left open. A turn that ends otherwise is the last one, and its answer the last
    `\boxed{}`. After one call (the paper's C = 1) a second and last turn follows, in which nothing stops and nothing
    runs. The whole response is bounded to 3072 tokens.

    Output loses its surrounding whitespace, all but the last line if it holds the word "Error", and all but its first
    and last 128 characters if it is longer than 255; what a failed program printed is shown in place of its error. A
    program that says nothing counts as timed out.

    An output block without a program before it is answered by closing it; the published rollout takes its opening
    away, and adds a line break where one is missing before it: the laws let nobody change what was sampled. An output
    that the model writes itself is a forged observation, in the last turn too.
    """

    name: ClassVar[str] = "torl"
    transcript: ClassVar[Literal["text", "chat"]] = "text"
    stop: ClassVar[tuple[str, ...]] = (_OUTPUT,)
    limits: ClassVar[Limits] = Limits(
        max_turns=2, last_turn_calls=False, max_calls=1, surplus_calls="ignore", max_tokens=3072
    )
    observation_marks: ClassVar[tuple[str, ...]] = (_OUTPUT,)

    @property
    def final_stop(self) -> tuple[str, ...]:
        """None: in the last turn nothing stops."""
        return ()

    def forged(self, text: str) -> bool:
        """Whether a text holds an output block with content."""
        return _FORGED.search(text) is not None

    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """Task and problem in a single user message."""
        return [{"role": "user", "content": f"{_TASK}\n{task.question}"}]

    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """The published form for base models: task and problem as the user's, then `Assistant:` and a line break."""
        return f"{_OPENING}\nUser: {_TASK}\n{task.question}\nAssistant:\n"

    def negligible(self, surplus: str) -> bool:
        """Whether what follows an action is whitespace, an end-of-turn mark, or the stop string."""
        return is_blank(surplus.strip().removeprefix(_OUTPUT))

    def parse(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action."""
        end = action.find(_OUTPUT)
        if end < 0:
            return self.parse_final(action, functions)
        code = last_program(action[:end])
        if code is None:
            return self.reading(action, end, reply=f"{_OUTPUT}\n\n{FENCE}\n", faults=[FormatFault.BAD_CALL])
        return self.reading(action, end, calls=[self.call(code, functions)])

    def parse_final(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads the last action, for its answer alone."""
        return self.reading(action, len(action), answer=last_boxed(action))

    def render(self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole) -> str:
        """The output block."""
        return f"{_OUTPUT}\n{cut(chr(10).join(map(_output, results)))}\n{FENCE}\n"

    def write_call(self, thought: str, call: ToolCall, turn: int) -> str:
        """A thought, a fenced program, and the opening of the output block."""
        return self.checked_call(f"{thought}\n{fenced(self.only_argument(call))}\n{_OUTPUT}", call)

    def write_answer(self, thought: str, answer: str, turn: int) -> str:
        """A thought and a boxed answer."""
        return self.checked_answer(f"{thought} The answer is $\\boxed{{{answer}}}$.", answer)


def last_program(text: str) -> str | None:
    """The program in the last Python fence of a text; None where that is left open or has no line, or there is none.

    A fence opens with a line that begins or ends with ```` ```python ````, and closes with the next that begins with
    three backticks.
    """
    lines: list[str] = []
    inside = False
    for line in text.split("\n"):
        if line.startswith(f"{FENCE}python") or line.endswith(f"{FENCE}python"):
            lines, inside = [], True
        elif line.startswith(FENCE):
            inside = False
        elif inside:
            lines.append(line)
    return None if inside or not lines else "\n".join(lines)


def _output(result: ToolResult) -> str:
    printed, report = printed_and_report(result)
    if result.status is ToolStatus.TIMEOUT:
        report = ""
    text = printed or report.strip()
    if "Error" in text:
        text = last_line(text)
    text = text.strip() or _TIMED_OUT
    return keep_halves(text, _HALF, "...") if len(text) >= _SHORTENED else text
