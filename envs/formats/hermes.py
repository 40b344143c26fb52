r"""The Hermes format: JSON calls in `<tool_call>`, results in `<tool_response>`, as chat messages."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from ...tools.base import FunctionSchema, ToolCall, ToolResult
from ...tools.output import clean_text
from ..episode import Action, FormatFault, Message, ParsedAction
from ..task import Task
from .base import Cut, whole
from .common import PromptedFormat
from .tags import END_MARKS, Block, last_boxed, scan

_TASK = (
    "Answer the user's question. Think first, between <think> and </think>. When no more is to be found out, give the "
    "final answer, as short and exact as it can be, in \\boxed{}."
)
_TOOLS = (
    "# Tools\n\nYou may call functions while you work on the question. Their signatures:\n<tools>\n{schemas}\n</tools>"
    "\n\nWrite each call as a JSON object with the function's name and its arguments, in tags of its own, and end your "
    'turn after the last:\n<tool_call>\n{{"name": <function-name>, "arguments": <arguments-object>}}\n</tool_call>\n'
    "The results come back in <tool_response> </tool_response>."
)
_ESCAPED = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")


class HermesFormat(PromptedFormat):
    r"""Tool calls as the Hermes models and Qwen's chat template write them.

    Nothing inside `<think>` or `<tool_response>` counts; where `</think>` comes without `<think>` (a template that
    opens it), all before it is thought. Calls may follow each other, separated by whitespace. A turn without a call is
    the final answer: its last `\boxed{}`, else its last `<answer>` block, else its whole text outside of thoughts (not
    where a token limit cut the turn, nor where a call, a thought or an answer was left open). The schemas stand in the
    system message, so that the prompt is complete under any template. `recall` is what ReCall itself makes of it.
    """

    name: ClassVar[str] = "hermes"
    transcript: ClassVar[Literal["text", "chat"]] = "chat"
    observation_marks: ClassVar[tuple[str, ...]] = ("<tool_response>", "</tool_response>")

    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """What to do and the schemas as the system message, the question as the user's."""
        return [{"role": "system", "content": _system(functions)}, {"role": "user", "content": task.question}]

    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """The same for base models."""
        return f"{_system(functions)}\n\nUser: {task.question}\nAssistant:"

    def parse(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action."""
        start = _thought_end(action)
        blocks = list(scan(action[start:], ("answer",), hidden=("tool_call", "think", "tool_response")))
        called = next((index for index, block in enumerate(blocks) if block.tag == "tool_call" and block.closed), None)
        faults = [] if all(block.closed for block in blocks) else [FormatFault.UNCLOSED]
        if called is None:
            answer = None if faults else _final_answer(action[start:], blocks, cut_off=action.finish_reason == "length")
            return self.reading(action, len(action), answer=answer, faults=faults)
        end = blocks[called].start
        calls = []
        for block in blocks[called:]:
            if block.tag != "tool_call" or not block.closed or action[start + end : start + block.start].strip():
                break
            call, error = _read_call(block.innermost)
            if error:
                faults.append(FormatFault.BAD_CALL)
            calls.append(call)
            end = block.end
        return self.reading(action, start + end, calls=calls, faults=faults)

    def render(self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole) -> str:
        """The results as one text, for plain-text transcripts."""
        return f"\n{_responses(calls, results, cut)}\n"

    def render_messages(
        self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole
    ) -> list[Message]:
        """One user message with a block for every call, as Qwen's template writes messages of the role `tool`."""
        return [{"role": "user", "content": _responses(calls, results, cut)}]

    def write_call(self, thought: str, call: ToolCall, turn: int) -> str:
        """A thought and a call."""
        return self.checked_call(f"<think>\n{thought}\n</think>\n\n{written_call(call)}", call)

    def write_answer(self, thought: str, answer: str, turn: int) -> str:
        """A thought and a boxed answer."""
        return self.checked_answer(f"<think>\n{thought}\n</think>\n\n\\boxed{{{answer}}}", answer)


def written_call(call: ToolCall) -> str:
    """A call in its tags; tags in its arguments are escaped."""
    body = json.dumps({"name": call.name, "arguments": dict(call.arguments)}, ensure_ascii=False)
    for tag in _ESCAPED:
        body = body.replace(tag, f"\\u003c{tag[1:]}")
    return f"<tool_call>\n{body}\n</tool_call>"


def _system(functions: Sequence[FunctionSchema]) -> str:
    if not functions:
        return _TASK
    schemas = "\n".join(json.dumps(function.as_openai(), ensure_ascii=False) for function in functions)
    return f"{_TASK}\n\n{_TOOLS.format(schemas=schemas)}"


def response_text(call: ToolCall, result: ToolResult) -> str:
    """What the agent is told about a call: what was wrong with one that cannot be read, or else its result."""
    return result.output if call.name or not call.error else clean_text(f"Bad call: {call.error}.")


def _responses(calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut) -> str:
    texts = (cut(response_text(call, result)) for call, result in zip(calls, results, strict=True))
    return "\n".join(f"<tool_response>\n{text}\n</tool_response>" for text in texts)


def _thought_end(text: str) -> int:
    """Where a thought ends that was opened before the text began; 0 if none was."""
    close = text.find("</think>")
    opened = text.find("<think>")
    return close + len("</think>") if close >= 0 and (opened < 0 or close < opened) else 0


def _final_answer(text: str, blocks: Sequence[Block], cut_off: bool) -> str | None:
    """The answer in a turn without calls, whose blocks are all closed."""
    spoken, position = [], 0
    for block in blocks:
        if block.tag != "answer":
            spoken.append(text[position : block.start])
            position = block.end
    said = "".join([*spoken, text[position:]])
    boxed = last_boxed(said)
    if boxed is not None:
        return boxed
    answers = [block.innermost.strip() for block in blocks if block.tag == "answer"]
    if answers:
        return answers[-1]
    for mark in END_MARKS:
        said = said.replace(mark, "")
    return None if cut_off else said.strip() or None


def _read_call(content: str) -> tuple[ToolCall, str | None]:
    """The call in a block, and why it cannot be read."""
    try:
        body = read_json(content)
    except (ValueError, RecursionError) as error:
        return _unreadable("", f"the call is not valid JSON ({error!s:.200})")
    if not isinstance(body, dict):
        return _unreadable("", 'the call is not a JSON object with "name" and "arguments"')
    name, arguments = body.get("name"), body.get("arguments", {})
    if not isinstance(name, str) or not name:
        return _unreadable("", 'the call has no "name"')
    if not isinstance(arguments, dict):
        return _unreadable(name, '"arguments" is not a JSON object')
    return ToolCall(name, arguments), None


def _unreadable(name: str, error: str) -> tuple[ToolCall, str]:
    return ToolCall(name, error=error), error


def read_json(text: str, strict: bool = False) -> Any:
    """The JSON value of a text, in which no endless numbers may stand.

    Args:
        text: The text.
        strict: Whether line breaks may not stand in its strings as they are either.

    Raises:
        ValueError: If it is no JSON.
        RecursionError: If it is nested too deeply.
    """
    return (_STRICT if strict else _LENIENT).decode(text)


def _finite(text: str) -> float:
    return float(text) if math.isfinite(float(text)) else _no_number(text)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


_STRICT = json.JSONDecoder(parse_constant=_no_number, parse_float=_finite)
_LENIENT = json.JSONDecoder(strict=False, parse_constant=_no_number, parse_float=_finite)
