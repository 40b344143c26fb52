"""The format of Search-R1: `<think>`, `<search>`, `<information>`, `<answer>`."""

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
from .tags import first_closed, left_open, lone_block

_SEARCHED, _ANSWERED = "</search>", "</answer>"
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


class SearchR1Format(SingleFunctionFormat):
    """Search-R1 (arXiv 2503.09516; PeterGriffinJin/Search-R1, `generation.py` and `nq_search.py`).

    The published rollout generates 500 tokens and cuts them after the first `</search>`, or else after the first
    `</answer>`; what is left acts with the search or answer block that opens first among those that close. Whole texts
    are read so here. Generation stops at either mark, so that nothing is sampled to be thrown away; the one difference
    is that a text cannot go on to a search after an `</answer>`. An action with neither block is answered by a text and
    costs a turn. After four turns a last one is generated without search. A search that finds nothing says so: the
    published index always finds something, and its rollout would show an empty block.

    Departures that the laws ask for: a row that has grown to 4096 tokens ends the episode, where the published rollout
    drops tokens from the left of the prompt; and a long observation is cut to 500 tokens within its marks, where the
    published one loses the closing mark.
    """

    name: ClassVar[str] = "search_r1"
    transcript: ClassVar[Literal["text", "chat"]] = "text"
    stop: ClassVar[tuple[str, ...]] = (_SEARCHED, _ANSWERED)
    limits: ClassVar[Limits] = Limits(
        max_turns=5,
        last_turn_calls=False,
        max_turn_tokens=500,
        max_observation_tokens=500,
        observation_cut="head",
        max_context=4096,
    )
    observation_marks: ClassVar[tuple[str, ...]] = ("<information>", "</information>")
    function: ClassVar[str] = "search"
    argument: ClassVar[str] = "query"
    lone_call: ClassVar[re.Pattern[str] | None] = lone_block("search")
    around: ClassVar[tuple[str, str]] = ("\n\n<information>", "</information>\n\n")

    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """Instruction and question in a single user message."""
        return [{"role": "user", "content": self.full_text(task, functions)}]

    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """Instruction and question; a question mark is added where it lacks one."""
        question = task.question.strip()
        return f"{_INSTRUCTION} Question: {question if question.endswith('?') else question + '?'}\n"

    def parse(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action; one with neither search nor answer is told what an action looks like."""
        kept, stop = len(action), action.find(_SEARCHED)
        if stop >= 0:
            kept = stop + len(_SEARCHED)
        elif (stop := action.find(_ANSWERED)) >= 0:
            kept = stop + len(_ANSWERED)
        block = first_closed(action[:kept], "search", "answer")
        if block is None:
            faults = [FormatFault.MISPLACED] if stop >= 0 else []
            if left_open(action[:kept], "search", "answer"):
                faults.append(FormatFault.UNCLOSED)
            return self.reading(action, kept, reply=_RETRY, faults=faults)
        content = block.content.strip()
        if block.tag == "answer":
            return self.reading(action, kept, after=block.end, answer=content)
        return self.reading(action, kept, after=block.end, calls=[self.call(content, functions)])

    def render(self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole) -> str:
        """The numbered documents between information marks."""
        return self.enclosed(cut("\n".join(map(self.documents, results)).strip()))

    def documents(self, result: ToolResult) -> str:
        """The documents of a result, one after the other."""
        passages = passages_of(result)
        if not passages:
            return result.output
        return "".join([f'Doc {i}(Title: "{title}") {text}\n' for i, (title, text) in enumerate(passages, start=1)])

    def write_call(self, thought: str, call: ToolCall, turn: int) -> str:
        """A thought and a search."""
        return self.checked_call(f"<think> {thought} </think>\n<search> {self.only_argument(call)} </search>", call)

    def write_answer(self, thought: str, answer: str, turn: int) -> str:
        """A thought and an answer."""
        return self.checked_answer(f"<think> {thought} </think>\n<answer> {answer} </answer>", answer)
