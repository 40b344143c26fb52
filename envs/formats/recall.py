r"""The format of ReCall: JSON calls in `<tool_call>`, any number a turn, the answer in `\boxed{}`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from ...tools.base import FunctionSchema, ToolCall, ToolResult
from ...tools.output import clean_text
from ..episode import Action, FormatFault, Message, ParsedAction
from ..limits import Limits
from ..task import Task
from .base import Cut, whole
from .common import PromptedFormat
from .hermes import read_json, written_call
from .tags import last_boxed, left_open, scan

_PROCEDURE = (
    "You have a set of tools to work on the user's request with. You may call functions in several rounds, one or more "
    "of them in each.\n\nThe functions, as JSON schemas:\n```json\n{schemas}\n```\n\nIn each round, reason first, then "
    "call functions to find out or to do what is needed. Reasoning stands in <think> </think>, calls in <tool_call> "
    "</tool_call>. What the functions return is given back to you, and you go on until you have the final answer. "
    "Write that in \\boxed{{}} and call nothing more, for example: <think> The function names the city. </think> "
    "The capital of Peru is \\[ \\boxed{{Lima}} \\].\n\nA call is a JSON object with the function's name and its "
    "arguments, in tags of its own:\n<tool_call>\n"
    '{{"name": <function-name>, "arguments": <args-json-object>}}\n</tool_call>'
)
_MARK = re.compile(r"<(/?)tool_call>")
_FAILED = "Parse tool call failed: "


class RecallFormat(PromptedFormat):
    r"""ReCall (Agent-RL/ReCall, branch `re-call`, `vllm_rollout_spmd.py` and `template.py`).

    The framework opens every turn with `<think>`. All calls of a turn run, wherever they stand, if there are as many
    opening as closing tags and the n-th opens before the n-th closes; otherwise, and where a token limit cut the turn,
    none does. A turn without calls is the last one; its answer is its last `\boxed{}`. Each response repeats the text
    of its call, which travels in `ToolCall.id`; a call that cannot be read is answered by why.
    """

    name: ClassVar[str] = "recall"
    transcript: ClassVar[Literal["text", "chat"]] = "chat"
    prefill: ClassVar[str] = "<think>"
    prefills_every_turn: ClassVar[bool] = True
    limits: ClassVar[Limits] = Limits(max_turns=5, max_turn_tokens=512, max_tokens=6656)
    observation_marks: ClassVar[tuple[str, ...]] = ("<tool_response>", "</tool_response>")

    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """The procedure with the schemas as the system message, the question as the user's."""
        return [{"role": "system", "content": _system(functions)}, {"role": "user", "content": task.question}]

    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """The same for base models."""
        return f"{_system(functions)}\n\nUser: {task.question}\nAssistant: "

    def parse(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action, which does not hold the prefill."""
        faults = []
        if action.count("</think>") != 1 or "<think>" in action:
            faults.append(FormatFault.MISPLACED)
        if left_open(action, "tool_call"):
            faults.append(FormatFault.UNCLOSED)
        paired = _paired(action) and action.finish_reason != "length"
        blocks = [block for block in scan(action, ("tool_call",)) if block.closed] if paired else []
        calls = [_read_call(block.content.strip()) for block in blocks]
        if any(call.error is not None for call in calls):
            faults.append(FormatFault.BAD_CALL)
        answer = None if calls else last_boxed(action)
        after = blocks[-1].end if blocks else len(action)
        return self.reading(action, len(action), after=after, calls=calls, answer=answer, faults=faults)

    def render(self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole) -> str:
        """The results as one text, for plain-text transcripts."""
        return f"\n{_responses(calls, results, cut)}"

    def render_messages(
        self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole
    ) -> list[Message]:
        """One user message with a block for every call."""
        return [{"role": "user", "content": _responses(calls, results, cut)}]

    def write_call(self, thought: str, call: ToolCall, turn: int) -> str:
        """The rest of a thought, and a call."""
        return self.checked_call(f" {thought} </think>\n{written_call(call)}", call)

    def write_answer(self, thought: str, answer: str, turn: int) -> str:
        """The rest of a thought, and a boxed answer."""
        return self.checked_answer(f" {thought} </think> The answer is \\[ \\boxed{{{answer}}} \\].", answer)


def _system(functions: Sequence[FunctionSchema]) -> str:
    schemas = [function.as_openai()["function"] for function in functions]
    return _PROCEDURE.format(schemas=json.dumps(schemas, ensure_ascii=False))


def _paired(text: str) -> bool:
    """Whether the n-th closing tag follows the n-th opening one, and no tag is left over."""
    depth = 0
    for mark in _MARK.finditer(text):
        depth += -1 if mark[1] else 1
        if depth < 0:
            return False
    return depth == 0


def _read_call(content: str) -> ToolCall:
    try:
        body = read_json(content, strict=True)
        name, arguments = body["name"], body.get("arguments", {})
        arguments.items()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return ToolCall("", error=str(error), id=content)
    if not isinstance(name, str) or not name:
        return ToolCall("", error=f"the name is {name!r:.80}", id=content)
    return ToolCall(name, arguments, id=content)


def _responses(calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut) -> str:
    pairs = zip(calls, results, strict=True)
    said = ((call.id, f"{_FAILED}{call.error}" if call.error else result.output) for call, result in pairs)
    return clean_text("".join(f"<tool_response>{written}\n{cut(text)}\n</tool_response>\n" for written, text in said))
