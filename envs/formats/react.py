"""The format of ReAct: a numbered scratchpad of thoughts, actions and observations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from ...tools.base import FunctionSchema, ToolCall, ToolResult
from ..episode import Action, FormatFault, Message, ParsedAction
from ..task import Task
from .base import Cut, whole
from .common import PromptedFormat, string_argument
from .tags import is_blank

_INSTRUCTION = """\
Answer a question by writing Thought, Action and Observation steps in turn. A Thought reasons about what is known and \
what to do next. An Action is one of three:
(1) Search[entity] looks for the page of that entity and returns its first sentences; if there is no such page, it \
returns titles that are close to it.
(2) Lookup[keyword] returns the next sentence of the last page that contains the keyword.
(3) Finish[answer] gives the answer and ends the task.
The Observation is what the Action returned. Two examples follow.

Question: In which country does the river on which Ulm lies reach the sea?
Thought 1: I need to find the river on which Ulm lies, and then where that river reaches the sea.
Action 1: Search[Ulm]
Observation 1: Ulm is a city in the German state of Baden-Württemberg. It lies on the river Danube, at the border with \
Bavaria.
Thought 2: Ulm lies on the Danube. I need to find where the Danube reaches the sea.
Action 2: Search[Danube]
Observation 2: The Danube is the second-longest river in Europe. It flows through ten countries and passes four \
capitals.
Thought 3: The first sentences do not say where it ends. I can look up "sea".
Action 3: Lookup[sea]
Observation 3: (Result 1 / 1) It empties into the Black Sea through its delta in Romania.
Thought 4: The Danube reaches the Black Sea in Romania, so the answer is Romania.
Action 4: Finish[Romania]

Question: Who was born first, Emmy Noether or Srinivasa Ramanujan?
Thought 1: I need the birth years of Emmy Noether and of Srinivasa Ramanujan.
Action 1: Search[Emmy Noether]
Observation 1: Amalie Emmy Noether (23 March 1882 - 14 April 1935) was a German mathematician.
Thought 2: Noether was born in 1882. Now I need Ramanujan.
Action 2: Search[Srinivasa Ramanujan]
Observation 2: Srinivasa Ramanujan (22 December 1887 - 26 April 1920) was an Indian mathematician.
Thought 3: 1882 is before 1887, so Emmy Noether was born first.
Action 3: Finish[Emmy Noether]
"""
_ARGUMENTS = {"search": "entity", "lookup": "keyword"}
_STOP = "\nObservation"
_ACTION = re.compile(r"(?:^|\n)Action ?([0-9]{0,9}) ?:([^\n]*)")
_COMMAND = re.compile(r" *([A-Za-z]+)\[")
_KEPT_STOP = re.compile(r"\nObservation ?[0-9]{0,9} ?:?\s*\Z")
_FORGED = re.compile(r"(?:^|\n)Observation ?[0-9]{0,9} ?:\s*\S")


class ReActFormat(PromptedFormat):
    """ReAct (arXiv 2210.03629; ysymyth/ReAct, HotpotQA notebook).

    The prompt ends with `Thought 1:` and each observation with the next `Thought`. An action is read up to the stop
    string, and in that part its first `Action N:` line counts, whatever its number; the argument runs to the last `]`
    of the line. The format keeps no state: the number that the agent wrote travels in `ToolCall.id`, and `render` goes
    on from it (without a number if there was none). Names are read without regard to case.

    A stop string that the engine kept at the end, `Observation 1:` with nothing after it included, is not counted and
    not forged. An observation that the agent goes on to write is forged.
    """

    name: ClassVar[str] = "react"
    transcript: ClassVar[Literal["text", "chat"]] = "text"
    stop: ClassVar[tuple[str, ...]] = (_STOP,)
    observation_marks: ClassVar[tuple[str, ...]] = (_STOP,)

    def expresses(self, function: FunctionSchema) -> bool:
        """Whether a function takes one string that fits on a line."""
        argument = string_argument(function)
        return argument is not None and "contentMediaType" not in function.parameters["properties"][argument]

    def forged(self, text: str) -> bool:
        """Whether a text holds an observation with content."""
        return _FORGED.search(text) is not None

    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """The same text as one user message."""
        return [{"role": "user", "content": self.full_text(task, functions)}]

    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """Instruction, examples and question."""
        return f"{_INSTRUCTION}\n{self.question_text(task)}"

    def question_text(self, task: Task) -> str:
        """The question and the start of the first thought."""
        return f"Question: {task.question}\nThought 1:"

    def negligible(self, surplus: str) -> bool:
        """Whether what follows an action is whitespace, an end-of-turn mark, or the stop string with its number."""
        return is_blank(_KEPT_STOP.sub("", surplus))

    def parse(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action."""
        head = action.partition(_STOP)[0]
        found = _ACTION.search(head)
        if found is None:
            return self.reading(action, len(head))
        number, line = found[1], found[2]
        command, close = _COMMAND.match(line), line.rfind("]")
        if command is None or close < command.end():
            return self._unreadable(action, found.end(), line, number)
        end = found.start(2) + close + 1
        name, value = command[1].lower(), line[command.end() : close].strip()
        if name == "finish":
            return self.reading(action, end, answer=value)
        arguments = {function.name: string_argument(function) for function in functions} or _ARGUMENTS
        argument = arguments.get(name)
        if argument is None or not value:
            return self._unreadable(action, end, line[: close + 1], number)
        return self.reading(action, end, calls=[ToolCall(name, {argument: value}, id=number)])

    def _unreadable(self, action: Action, end: int, line: str, number: str) -> ParsedAction:
        error = f"Invalid action: {line.strip():.200}. Use Search[entity], Lookup[keyword] or Finish[answer]."
        call = ToolCall("", error=error, id=number)
        return self.reading(action, end, calls=[call], faults=[FormatFault.BAD_CALL])

    def render(self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole) -> str:
        """The observation on one line, and the start of the next thought."""
        payload = " ".join(cut("\n".join(result.output for result in results)).split("\n")).strip()
        number = calls[0].id if calls else ""
        if not number.isdecimal():
            return f"\nObservation: {payload}\nThought:"
        return f"\nObservation {number}: {payload}\nThought {int(number) + 1}:"

    def write_call(self, thought: str, call: ToolCall, turn: int) -> str:
        """A thought and a search or a lookup."""
        value = self.only_argument(call)
        return self.checked_call(f" {thought}\nAction {turn}: {call.name.capitalize()}[{value}]", call)

    def write_answer(self, thought: str, answer: str, turn: int) -> str:
        """A thought and the answer."""
        return self.checked_answer(f" {thought}\nAction {turn}: Finish[{answer}]", answer)
