"""Native tool calls: OpenAI's `tool_calls` and messages of the role `tool`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from msgspec.structs import replace

from ...tools.base import FunctionSchema, ToolCall, ToolResult
from ...tools.output import clean_text
from ..episode import Action, FormatFault, Message, ParsedAction
from ..task import Task
from .base import Cut, whole
from .hermes import HermesFormat, read_json, response_text
from .tags import scan

_TASK = (
    "Answer the user's question; call the tools as long as they help. When no more is to be found out, give the final "
    "answer, as short and exact as it can be, in \\boxed{}."
)
_TEXT = (
    "The tools, as JSON schemas:\n{schemas}\n\nTo call some of them, write nothing but an assistant's message as JSON, "
    'whose "arguments" are JSON in a string:\n{{"content": <what you think>, "tool_calls": [{{"id": <id>, "type": '
    '"function", "function": {{"name": <function-name>, "arguments": <arguments-json-string>}}}}]}}\n'
    'Each result comes back as a message {{"role": "tool", "tool_call_id": <id>, "content": <result>}}.'
)
_TOOL_MESSAGE = '{"role": "tool"'
_FORGED = re.compile(r'"role"\s*:\s*"tool"')


class OpenAIFormat(HermesFormat):
    """Tool calls as OpenAI's chat interface carries them; several in a turn are parallel.

    The text of an action with calls is the assistant's message as JSON (`content`, `tool_calls`), which the engine for
    endpoints makes of a response; any other text is read as `hermes` reads it: the final answer, or calls in
    `<tool_call>`, which local models write whose chat template shows them so. In the conversation both become true
    `tool_calls` and `tool` messages. Endpoints get the functions as `tools`, chat templates too, and the prompt does
    not name them; the plain-text prompt does.

    A `tool` message in an action is a forged observation, in the `content` of a JSON action too.
    """

    name: ClassVar[str] = "openai"
    native_tools: ClassVar[bool] = True
    observation_marks: ClassVar[tuple[str, ...]] = (_TOOL_MESSAGE,)

    def forged(self, text: str) -> bool:
        """Whether an action holds the results of calls; those in the arguments of a call are the call's own affair."""
        message = read_message(text)
        said = text if message is None else _content(message)
        return super().forged(said) or _FORGED.search(said) is not None or "<tool_response>" in said

    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """What to do as the system message, the question as the user's."""
        return [{"role": "system", "content": _TASK}, {"role": "user", "content": task.question}]

    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """The same for base models, with the schemas and the form of a call."""
        schemas = json.dumps([function.as_openai() for function in functions], ensure_ascii=False)
        tools = f"\n\n{_TEXT.format(schemas=schemas)}" if functions else ""
        return f"{_TASK}{tools}\n\nUser: {task.question}\nAssistant:"

    def parse(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action."""
        message = read_message(action)
        if message is None:
            parsed = super().parse(action, functions)
            return replace(parsed, calls=tuple(replace(call, id=f"call_{i}") for i, call in enumerate(parsed.calls)))
        calls = [_read_call(call, position) for position, call in enumerate(message["tool_calls"])]
        faults = [FormatFault.BAD_CALL] if any(call.error is not None for call in calls) else []
        return self.reading(action, len(action), calls=calls, faults=faults)

    def render(self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole) -> str:
        """The messages as lines of JSON, for plain-text transcripts."""
        lines = (json.dumps(message, ensure_ascii=False) for message in self.render_messages(calls, results, cut))
        return "".join(f"\n{line}" for line in lines) + "\n"

    def render_messages(
        self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole
    ) -> list[Message]:
        """A message of the role `tool` for every call."""
        return [
            {"role": "tool", "tool_call_id": clean_text(call.id), "content": cut(response_text(call, result))}
            for call, result in zip(calls, results, strict=True)
        ]

    def assistant_message(self, action: Action, parsed: ParsedAction) -> Message:
        """The action as a chat message with `tool_calls`; a call that cannot be read has no arguments."""
        if not parsed.calls:
            return {"role": "assistant", "content": str(action)}
        message = read_message(action)
        content = _before_calls(parsed.text) if message is None else _content(message)
        return _message(content, parsed.calls)

    def write_call(self, thought: str, call: ToolCall, turn: int) -> str:
        """A message with a thought as its content, and a call."""
        text = json.dumps(_message(thought, [replace(call, id=f"call_{turn}")]), ensure_ascii=False)
        return self.checked_call(text, call)

    def write_answer(self, thought: str, answer: str, turn: int) -> str:
        """A thought and a boxed answer."""
        return self.checked_answer(f"{thought}\n\n\\boxed{{{answer}}}", answer)


def action_text(message: Mapping[str, Any]) -> str:
    """The text of an action that an endpoint returned as an assistant's message.

    Args:
        message: The message, with `content` and, for an action with calls, `tool_calls`.
    """
    if not message.get("tool_calls"):
        return str(message.get("content") or "")
    return json.dumps({"content": _content(message), "tool_calls": message["tool_calls"]}, ensure_ascii=False)


def read_message(text: str) -> dict[str, Any] | None:
    """The message of an action that is an assistant's message with `tool_calls` as JSON; None for other texts."""
    stripped = text.strip()
    if not (stripped.startswith("{") and stripped.endswith("}") and '"tool_calls"' in stripped):
        return None
    try:
        message = read_json(stripped)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or message.get("role", "assistant") != "assistant":
        return None
    calls = message.get("tool_calls")
    return message if isinstance(calls, list) and calls else None


def _message(content: str, calls: Sequence[ToolCall]) -> Message:
    entries = [
        {
            "id": call.id,
            "type": "function",
            "function": {
                "name": call.name or "unknown",
                "arguments": json.dumps(dict(call.arguments), ensure_ascii=False),
            },
        }
        for call in calls
    ]
    return {"role": "assistant", "content": content, "tool_calls": entries}


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else ""


def _before_calls(text: str) -> str:
    """What stands before the calls of a text in Hermes' form; the line break between them belongs to neither."""
    calls = (block for block in scan(text, ("tool_call",), hidden=("think", "tool_response")) if block.closed)
    first = next((block for block in calls if block.tag == "tool_call"), None)
    return text if first is None else text[: first.start].removesuffix("\n")


def _read_call(entry: Any, position: int) -> ToolCall:
    """The call in an entry of `tool_calls`."""
    function = entry.get("function") if isinstance(entry, dict) else None
    given = entry.get("id") if isinstance(entry, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    call = ToolCall(name if isinstance(name, str) else "", id=given if isinstance(given, str) else f"call_{position}")
    if not isinstance(function, dict) or not call.name:
        return replace(call, error='the call has no "function" with a "name"')
    arguments = function.get("arguments")
    try:
        read = read_json(arguments or "{}") if isinstance(arguments, str | None) else arguments
    except (ValueError, RecursionError) as error:
        return replace(call, error=f"the arguments are not valid JSON ({error!s:.200})")
    if not isinstance(read, dict):
        return replace(call, error="the arguments are not a JSON object")
    return replace(call, arguments=read)
