r"""The format of SimpleTIR: a fenced program a turn, its output as plain text, the answer written or printed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

from msgspec.structs import replace

from ...tools.base import FunctionSchema, ToolCall, ToolResult
from ..episode import Action, FormatFault, Message, ParsedAction
from ..limits import Limits
from ..task import Task
from .base import Cut, whole
from .programs import ProgramFormat, boxed_in, fenced, keep_halves, printed_and_report

_INSTRUCTION = """\
Solve the problem below step by step. Where it helps your reasoning you may write Python code, which is run in a \
sandbox; its output comes back after "Code execution result: ", and you go on from there. The code has to be a \
complete script, imports included.

Form of code:
Wrap each piece of code between ```, and use `print()` for what you want to see.

Form of the answer:
You can call `final_answer()` in the code. If the question is how much 17 * 3 + 0.5 is, you can write:
```py
answer = 17 * 3 + 0.5
final_answer(answer)
```

You can also write the answer yourself, at the end of your response:
\\boxed{the final answer}

"""
_STOP = "\n```\n"
_CLOSE = "\n```"
_OPENING = re.compile(r"```(?:py|python)?\n")
_FORGED = re.compile(r"(?:^|\n)Code execution result:")
_NAMES_IT = re.compile(r"\bfinal_answer\b")
_FINAL_ANSWER = 'def final_answer(result):\n    print(f"\\\\boxed{{{result}}}")\n\n\n'
_SHORTENED, _HALF = 512, 256
_OMISSION = f"\n..._This content has been truncated to stay below {_SHORTENED} characters_...\n"


class _Program(NamedTuple):
    """A program in an action, and where its fence opens and closes."""

    code: str
    start: int
    end: int


class SimpleTirFormat(ProgramFormat):
    r"""SimpleTIR (arXiv 2509.02479; ltzheng/SimpleTIR, `agent_utils.py`).

    A turn acts with the first fence that opens as ```` ``` ````, ```` ```py ```` or ```` ```python ```` at the end of a
    line and closes at the start of one; what follows is cut. `\boxed{` in what is left, the program included, or in
    what the program prints ends the episode once the program has run, save that nobody sees what is printed in the last
    turn. A turn with neither program nor box is void: it ends the episode, and the published training leaves the whole
    trajectory out (`NO_ACTION`). Programs that name `final_answer` get a function of that name, which prints a box.

    Output and errors come back as plain text, not as a message; an error as its last line, and in place of the output.
    Both are shortened to their first and last 256 characters. A program that prints nothing is answered by nothing.
    (The published rollout ends the observation before the last turn with one line break more.)

    The published rollout samples whole responses and drops what follows the program, and whitespace around what
    precedes it. The laws let nothing be dropped that was sampled, so generation stops after a closing fence. A bare
    opening fence stops it, too: the turn is then answered by nothing, and the next one goes on with the program.
    """

    name: ClassVar[str] = "simpletir"
    transcript: ClassVar[Literal["text", "chat"]] = "text"
    stop: ClassVar[tuple[str, ...]] = (_STOP,)
    limits: ClassVar[Limits] = Limits(
        max_turns=5, max_turn_tokens=8000, max_observation_tokens=4096, observation_cut="head", max_context=16_000
    )
    observation_marks: ClassVar[tuple[str, ...]] = ("\nCode execution result:",)

    def forged(self, text: str) -> bool:
        """Whether a line of a text begins as the observation does."""
        return _FORGED.search(text) is not None

    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """Instruction and problem in a single user message."""
        return [{"role": "user", "content": self.full_text(task, functions)}]

    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """Instruction and problem, for base models without anything else."""
        return f"{_INSTRUCTION}User Question:\n{task.question}"

    def parse(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action."""
        return self.parse_in_place(action, functions, "")

    def parse_in_place(self, action: Action, functions: Sequence[FunctionSchema], before: str) -> ParsedAction:
        """Reads an action, which may go on with a program that the turn before it began."""
        program = _going_on(action) if before.endswith(_STOP) and _find(before) is None else _find(action)
        if program is None:
            return self._read_text(action)
        return self.reading(action, program.end, calls=[self.call(_completed(program.code), functions)])

    def _read_text(self, action: Action) -> ParsedAction:
        answer = boxed_in(action)
        if answer is None and action.endswith(_STOP):
            return self.reading(action, len(action), reply="", faults=[FormatFault.UNCLOSED])
        faults = [FormatFault.UNCLOSED] if answer is None and _OPENING.search(action) else []
        return self.reading(action, len(action), answer=answer, faults=faults)

    def result_answer(self, parsed: ParsedAction, results: Sequence[ToolResult]) -> str | None:
        """The last box in the action and what its program printed, if either holds one."""
        printed = "".join(printed_and_report(result)[0] for result in results)
        if boxed_in(parsed.text) is None and boxed_in(printed) is None:
            return None
        return boxed_in(parsed.text + self.render(parsed.calls, results)) or ""

    def render(self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole) -> str:
        """What the program printed, or the last line of its error; nothing for a program that says nothing."""
        outputs = [output for output in map(_output, results) if output]
        return f"\nCode execution result: {cut(chr(10).join(outputs))}\n" if outputs else ""

    def write_call(self, thought: str, call: ToolCall, turn: int) -> str:
        """A thought and a fenced program."""
        code = self.only_argument(call).removeprefix(_FINAL_ANSWER)
        run = replace(call, arguments=dict.fromkeys(call.arguments, _completed(code)))
        return self.checked_call(f"{thought}\n{fenced(code)}\n", run)

    def write_answer(self, thought: str, answer: str, turn: int) -> str:
        """A thought and a boxed answer."""
        return self.checked_answer(f"{thought} The answer is $\\boxed{{{answer}}}$.", answer)


def _find(text: str) -> _Program | None:
    """The first program whose fence opens and closes."""
    opening = _OPENING.search(text)
    close = -1 if opening is None else text.find(_CLOSE, opening.end())
    if opening is None or close < 0:
        return None
    return _Program(text[opening.end() : close].strip(), opening.start(), close + len(_CLOSE))


def _completed(code: str) -> str:
    """A program with the function `final_answer`, if it names it."""
    return _FINAL_ANSWER + code if _NAMES_IT.search(code) else code


def _going_on(text: str) -> _Program | None:
    """The program that a text goes on with; its fence was opened before."""
    close = text.find(_CLOSE)
    return None if close < 0 else _Program(text[:close].strip(), 0, close + len(_CLOSE))


def _output(result: ToolResult) -> str:
    printed, report = printed_and_report(result)
    text = report.splitlines()[-1] if report.strip() else printed
    return keep_halves(text, _HALF, _OMISSION) if len(text) > _SHORTENED else text
