"""The format of Search-R1: `<think>`, `<search>`, `<information>`, `<answer>`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from ...tools.base import FunctionSchema, ToolCall, ToolResult
from ..episode import Action, Limits, Message, ParsedAction
from ..task import Task
from .base import Cut, whole
from .common import passages_of
from .tagged import TaggedFormat

_INSTRUCTION = (
    "Answer the question below. Whenever you receive new information, reason about it first, between <think> and "
    "</think>. If your reasoning shows that some knowledge is missing, call a search engine with <search> query "
    "</search>; its top results come back between <information> and </information>. You may search as many times as "
    "you like. Once no further knowledge is needed, give the answer between <answer> and </answer>, without a detailed "
    "explanation. For example, <answer> Beijing </answer>."
)
_RETRY = (
    "\nMy previous action is invalid. To search, the query has to stand between <search> and </search>. To finish, the "
    "final answer has to stand between <answer> and </answer>. Let me try again.\n"
)


class SearchR1Format(TaggedFormat):
    """Search-R1 (arXiv 2503.09516; PeterGriffinJin/Search-R1).

    The published rollout generates a fixed number of tokens and cuts them at `</search>` or `</answer>`; here both are
    stop strings. An action with neither is answered by a text and costs a turn.
    """

    name: ClassVar[str] = "search_r1"
    transcript: ClassVar[Literal["text", "chat"]] = "text"
    stop: ClassVar[tuple[str, ...]] = ("</search>", "</answer>")
    limits: ClassVar[Limits] = Limits(
        max_turns=5,
        last_turn_calls=False,
        max_turn_tokens=500,
        max_observation_tokens=500,
        observation_cut="head",
        max_context=4096,
    )
    observation_marks: ClassVar[tuple[str, ...]] = ("<information>", "</information>")
    call_tag: ClassVar[str] = "search"
    observation_tag: ClassVar[str] = "information"
    function: ClassVar[str] = "search"
    argument: ClassVar[str] = "query"

    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """Instruction and question in a single user message."""
        return [{"role": "user", "content": self.full_text(task, functions)}]

    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """Instruction and question; a question mark is added where it lacks one."""
        question = task.question.strip()
        return f"{_INSTRUCTION} Question: {question if question.endswith('?') else question + '?'}\n"

    def read_answer(self, content: str) -> str:
        """The whole content of the answer block."""
        return content.strip()

    def render(self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole) -> str:
        """The numbered documents between information marks."""
        payload = cut("".join(_documents(result) for result in results).strip())
        return f"\n\n<information>{payload}</information>\n\n"

    def parse(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action; one with neither search nor answer is told what an action looks like."""
        parsed = super().parse(action, functions)
        return parsed if parsed.calls or parsed.answer is not None else replace(parsed, reply=_RETRY)

    def write_call(self, thought: str, call: ToolCall, turn: int) -> str:
        """A thought and a search."""
        return self.checked_call(f"<think> {thought} </think>\n<search> {self.only_argument(call)} </search>", call)

    def write_answer(self, thought: str, answer: str, turn: int) -> str:
        """A thought and an answer."""
        return self.checked_answer(f"<think> {thought} </think>\n<answer> {answer} </answer>", answer)


def _documents(result: ToolResult) -> str:
    passages = passages_of(result)
    if not passages:
        return f"{result.output}\n"
    return "".join(f'Doc {i}(Title: "{title}") {text}\n' for i, (title, text) in enumerate(passages, start=1))
