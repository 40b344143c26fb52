r"""The format of ReSearch: `<think>`, `<search>`, `<result>`, and `<answer>` with `\boxed{}`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from ...tools.base import FunctionSchema, ToolCall, ToolResult
from ..episode import Message
from ..task import Task
from .base import Cut, whole
from .common import passages_of
from .tagged import TaggedFormat

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


class ResearchFormat(TaggedFormat):
    r"""ReSearch (arXiv 2503.19470; Agent-RL/ReCall, branch `re-search`).

    The answer is the last `\boxed{}` of the first `<answer>` block; a block without a box gives its whole text, and
    the reward judges the form. A query is what follows the last `<search>` before `</search>`, in thoughts too.
    Observations are the passages as FlashRAG writes them, the quoted title on a line of its own.
    """

    name: ClassVar[str] = "research"
    transcript: ClassVar[Literal["text", "chat"]] = "text"
    stop: ClassVar[tuple[str, ...]] = ("</search>",)
    observation_marks: ClassVar[tuple[str, ...]] = ("<result>", "</result>")
    call_tag: ClassVar[str] = "search"
    observation_tag: ClassVar[str] = "result"
    function: ClassVar[str] = "search"
    argument: ClassVar[str] = "query"

    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """The procedure as the system message, the question as the user's."""
        return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": task.question}]

    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """The published form for base models: one paragraph, then `User: QUESTION. Assistant:`."""
        return f"{_BASE} User: {task.question}. Assistant:"

    def render(self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole) -> str:
        """The passages between result marks, separated by blank lines."""
        payload = cut("\n\n".join(_documents(result) for result in results))
        return f" <result>\n{payload}\n</result>"

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
