r"""The format of ReSearch: `<think>`, `<search>`, `<result>`, and `<answer>` with `\boxed{}`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from ...tools.base import FunctionSchema, ToolCall, ToolResult
from ..episode import Action, FormatFault, Message, ParsedAction
from ..limits import Limits
from ..task import Task
from .base import Cut, whole
from .common import passages_of
from .single import SingleFunctionFormat
from .tags import first_closed, last_boxed, left_open, lone_block

_OPEN, _STOP = "<search>", "</search>"
_INVALID = "invalid query"
_PROCEDURE = (
    "The assistant reasons about the question step by step before it answers. While it reasons it may use a search "
    "tool over Wikipedia, as often as it needs, to look up facts. Reasoning stands in <think> </think>, a query in "
    "<search> </search>, and the final answer in <answer> </answer>; what the search tool finds is returned in "
    "<result> </result>. A conversation thus runs: <think> reasoning </think> <search> query </search> <result> what "
    "was found </result> <think> reasoning </think> <answer> The final answer is \\[ \\boxed{answer here} \\] "
    "</answer>. Inside the last part, the exact final answer is written in \\boxed{}."
)
_BASE = f"A conversation between User and Assistant. The user asks a question and the assistant solves it. {_PROCEDURE}"
_SYSTEM = f"You are a helpful assistant that answers a user's questions with the help of a search tool. {_PROCEDURE}"


class ResearchFormat(SingleFunctionFormat):
    r"""ReSearch (arXiv 2503.19470; Agent-RL/ReCall, branch `re-search`, `vllm_rollout.py` and `template.py`).

    Generation stops at `</search>` alone, wherever it stands: a turn that ends there is a search, though it hold an
    answer before, and the query is what follows the last `<search>`. An empty query, or a `</search>` without
    `<search>`, is answered by the words `invalid query`. Any other turn is the last one. The answer is the last
    `\boxed{}` of its first `<answer>` block, empty if there is no box, as the published evaluation reads it.

    The system bounds the tokens of the whole response alone; environments without a tokenizer allow eight turns.
    Observations are the passages as FlashRAG writes them, the quoted title on a line of its own. A search that finds
    nothing says so: the published index always finds something, and its rollout would show an empty block.
    """

    name: ClassVar[str] = "research"
    transcript: ClassVar[Literal["text", "chat"]] = "text"
    stop: ClassVar[tuple[str, ...]] = (_STOP,)
    limits: ClassVar[Limits] = Limits(max_turns=None, max_tokens=8192)
    observation_marks: ClassVar[tuple[str, ...]] = ("<result>", "</result>")
    function: ClassVar[str] = "search"
    argument: ClassVar[str] = "query"
    lone_call: ClassVar[re.Pattern[str] | None] = lone_block("search")
    around: ClassVar[tuple[str, str]] = (" <result>\n", "\n</result>")

    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """The procedure as the system message, the question as the user's."""
        return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": task.question}]

    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """The published form for base models: one paragraph, then `User: QUESTION. Assistant:`."""
        return f"{_BASE} User: {task.question}. Assistant:"

    def parse(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action."""
        end = action.find(_STOP)
        if end < 0:
            return self._read_last(action)
        kept = end + len(_STOP)
        opened = action.rfind(_OPEN, 0, end)
        query = action[opened + len(_OPEN) : end].strip() if opened >= 0 else ""
        if not query:
            return self.reading(action, kept, reply=self.enclosed(_INVALID), faults=[FormatFault.BAD_CALL])
        answered = first_closed(action[:end], "answer") is not None
        faults = [FormatFault.MISPLACED] if answered else []
        return self.reading(action, kept, calls=[self.call(query, functions)], faults=faults)

    def _read_last(self, action: Action) -> ParsedAction:
        block = first_closed(action, "answer")
        if block is not None:
            return self.reading(action, len(action), after=block.end, answer=last_boxed(block.content) or "")
        faults = [FormatFault.MISPLACED] if "</answer>" in action else []
        if left_open(action, "search", "answer"):
            faults.append(FormatFault.UNCLOSED)
        return self.reading(action, len(action), faults=faults)

    def render(self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole) -> str:
        """The passages between result marks, separated by blank lines."""
        return self.enclosed(cut("\n\n".join(map(_documents, results)).strip()))

    def write_call(self, thought: str, call: ToolCall, turn: int) -> str:
        """A thought and a search."""
        return self.checked_call(f" <think> {thought} </think> <search> {self.only_argument(call)} </search>", call)

    def write_answer(self, thought: str, answer: str, turn: int) -> str:
        """A thought and a boxed answer."""
        final = f"<answer> The final answer is \\[ \\boxed{{{answer}}} \\] </answer>"
        return self.checked_answer(f" <think> {thought} </think> {final}", answer)


def _documents(result: ToolResult) -> str:
    passages = passages_of(result)
    return "\n\n".join(f'"{title}"\n{text}' for title, text in passages) if passages else result.output
