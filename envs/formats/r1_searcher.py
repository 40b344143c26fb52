"""The format of R1-Searcher: queries and documents between tokens, `<think>`, `<answer>`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from ...tools.base import FunctionSchema, ToolCall, ToolResult
from ..episode import Action, FormatFault, Message, ParsedAction
from ..limits import Limits
from ..task import Task
from .base import Cut, whole
from .common import passages_of
from .single import SingleFunctionFormat

_QUERY, _STOP = "<|begin_of_query|>", "<|end_of_query|>"
_DOCUMENTS, _DOCUMENTS_END = "<|begin_of_documents|>", "<|end_of_documents|>"
_PROCEDURE = (
    "Given a question, {who} first reasons about it in the mind and then gives the final answer. Reasoning and answer "
    'stand in <think> </think> and <answer> </answer>, that is, "<think> reasoning here </think>\n\n<answer> final '
    'answer here </answer>". While reasoning, {who} can **search** for knowledge that is uncertain, in the form '
    f'"{_QUERY} query here{_STOP}"; a query lists keywords alone, such as **"keyword_1 keyword_2 ..."**, and is '
    "**about a single triple**. The search system then returns what it knows in the form "
    f'"{_DOCUMENTS} search results here {_DOCUMENTS_END}".'
)


class R1SearcherFormat(SingleFunctionFormat):
    """R1-Searcher (arXiv 2503.05592; RUCAIBox/R1-Searcher, `experience_maker.py` and `prompts_dataset.py`).

    The framework writes the opening `<think>`. Generation stops at the end of a query, and at nothing else; a turn that
    ends there is a search for what follows the last beginning of a query, without double quotes and with single spaces.
    An empty query, an end without a beginning, and the ninth query end the episode. The answer is what follows the last
    `<answer>`, up to `</answer>`. Documents are written as the lines of the corpus of the training (abstracts of
    Wikipedia pages), `Title: TITLE Text:  TEXT`.

    The published evaluation differs from this, its training: it stops at `</answer>` too, deletes single quotes and
    `...` from queries as well, and allows nine searches, of five documents each. The training also strips whitespace
    around each turn's text, which the laws forbid: what was sampled stays.
    """

    name: ClassVar[str] = "r1_searcher"
    transcript: ClassVar[Literal["text", "chat"]] = "text"
    stop: ClassVar[tuple[str, ...]] = (_STOP,)
    prefill: ClassVar[str] = "<think>"
    limits: ClassVar[Limits] = Limits(max_turns=9, max_calls=8, max_turn_tokens=512)
    observation_marks: ClassVar[tuple[str, ...]] = (_DOCUMENTS, _DOCUMENTS_END)
    function: ClassVar[str] = "search"
    argument: ClassVar[str] = "query"

    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """The procedure as the system message, the question as the user's."""
        system = f"You are a helpful assistant. {_PROCEDURE.format(who='the assistant')}"
        return [{"role": "system", "content": system}, {"role": "user", "content": task.question}]

    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """The procedure and the question; the prefill is put after it by whoever generates."""
        opening = "The User asks a question, and the Assistant solves it."
        return f"{opening} {_PROCEDURE.format(who='the Assistant')}\n\nUser:{task.question}\nAssistant: "

    def parse(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action, which does not hold the prefill."""
        end = action.find(_STOP)
        kept = len(action) if end < 0 else end + len(_STOP)
        answer, answered = _answer(action[:kept])
        if end < 0:
            faults = [FormatFault.UNCLOSED] if _QUERY in action or (answer is None and "<answer>" in action) else []
            return self.reading(action, kept, after=answered, answer=answer, faults=faults)
        opened = action.rfind(_QUERY, 0, end)
        query = _keywords(action[opened + len(_QUERY) : end]) if opened >= 0 else ""
        if not query:
            return self.reading(action, kept, answer=answer, faults=[FormatFault.BAD_CALL])
        faults = [] if answer is None else [FormatFault.MISPLACED]
        return self.reading(action, kept, calls=[self.call(query, functions)], faults=faults)

    def render(self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole) -> str:
        """The numbered documents between document marks; `None` where there are none."""
        documents = [document for result in results for document in _documents(result)]
        payload = cut("".join(f"({i}){document}\n" for i, document in enumerate(documents, start=1)) or "None")
        return f"\n\n{_DOCUMENTS}\n{payload}{_DOCUMENTS_END}\n\n"

    def write_call(self, thought: str, call: ToolCall, turn: int) -> str:
        """A thought and a search. Quotes and line breaks of the query, which the system drops, are left out."""
        query = _keywords(self.only_argument(call))
        written = ToolCall(call.name, dict.fromkeys(call.arguments, query))
        return self.checked_call(f" {thought} {_QUERY} {query} {_STOP}", written)

    def write_answer(self, thought: str, answer: str, turn: int) -> str:
        """The rest of the thought, and the answer."""
        return self.checked_answer(f" {thought} </think>\n\n<answer> {answer} </answer>", answer)


def _keywords(text: str) -> str:
    """The query as the search engine gets it."""
    return " ".join(text.replace('"', "").split())


def _answer(text: str) -> tuple[str | None, int]:
    """The last answer of a text, if it is closed, and where its block ends (the text's end without one)."""
    opened = text.rfind("<answer>")
    close = text.find("</answer>", opened) if opened >= 0 else -1
    if close < 0:
        return None, len(text)
    return text[opened + len("<answer>") : close].strip(), close + len("</answer>")


def _documents(result: ToolResult) -> list[str]:
    """The documents of a result, each on one line; a passage without a title is its text."""
    passages = passages_of(result)
    if passages:
        titled = ((f"Title: {title} Text:  " if title else "", text) for title, text in passages)
        return [f"{opening}{text}".strip("\n").replace("\n", " ") for opening, text in titled]
    return [] if result.ok and "passages" in result.metadata else [result.output]
