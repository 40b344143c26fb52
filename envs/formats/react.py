"""The format of ReAct: a numbered scratchpad of thoughts, actions and observations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from msgspec.structs import replace

from ...tools.base import FunctionSchema, ToolCall, ToolResult
from ...tools.output import clean_text
from ..episode import Action, FormatFault, Message, ParsedAction
from ..limits import Limits
from ..task import Task
from .base import Cut, whole
from .common import PromptedFormat
from .react_prompts import CLAIM_EXAMPLES, CLAIM_INSTRUCTION, QUESTION_EXAMPLES, QUESTION_INSTRUCTION
from .tags import is_blank

_ARGUMENTS = {"search": "entity", "lookup": "keyword"}
"""Functions of the published system, with the names of their arguments."""
_OWN = ("finish", "think")
_LINE = "\n"
_STOP = "\nObservation"
_NUMBER = re.compile(r"[0-9]{1,9}")
_BEFORE = re.compile(r"(Thought|Action) ?([0-9]{0,9}):\s*\Z")
_ANY_ACTION = re.compile(r"\nAction ([0-9]{1,9}): ")
_KEPT_STOP = re.compile(r"\nObservation ?[0-9]{0,9} ?:?\s*\Z")
_FORGED = re.compile(r"(?:^|\n)Observation ?[0-9]{0,9} ?:\s*\S")


class ReActFormat(PromptedFormat):
    r"""ReAct (arXiv 2210.03629; ysymyth/ReAct, `hotpotqa.ipynb`, `FEVER.ipynb`, `wikienv.py`).

    The prompt ends with `Thought 1:` and each observation with the next `Thought`. A turn is read up to the stop
    string. Its action is all that follows the one `\nAction i: `, where `i` is the number of the thought; if it is
    read without what stands before it, the first number that it gives. The action's first letter is lower-cased; then
    it must begin with the name of a function and `[` and end with `]`, in that case. The argument is kept as it is.
    `think[...]` and everything that cannot be read are answered by a text and cost a turn.

    A turn without its `Action i: ` line is answered by that line's beginning (and its own first line, if it has more),
    and the first line of what the agent writes then is the action: the notebooks' second call of the model, a part of
    the same step. Departures: the notebooks stop at `Observation i:` alone, `\nObservation` does here; after seven
    steps without an answer they give the empty one, here the episode is truncated; and they keep no more of a turn
    without action than its first line.

    The format keeps no state: the number travels in `ToolCall.id`. Any function that takes one line of text can be
    called as `Name[argument]`. A stop string that the engine kept at the end, `Observation 1:` with nothing after it
    included, is not counted and not forged. An observation that the agent goes on to write is forged.
    """

    name: ClassVar[str] = "react"
    transcript: ClassVar[Literal["text", "chat"]] = "text"
    stop: ClassVar[tuple[str, ...]] = (_STOP,)
    limits: ClassVar[Limits] = Limits(max_turns=7, max_turn_tokens=100)
    observation_marks: ClassVar[tuple[str, ...]] = (_STOP,)

    def expresses(self, function: FunctionSchema) -> bool:
        """Whether a function takes one string that fits on a line, and has a name of its own."""
        argument = function.string_argument
        if argument is None or _lower_first(function.name) in _OWN or "[" in function.name:
            return False
        return "contentMediaType" not in function.parameters["properties"][argument]

    def forged(self, text: str) -> bool:
        """Whether a text holds an observation with content."""
        return _FORGED.search(text) is not None

    def full_messages(self, task: Task, functions: Sequence[FunctionSchema]) -> list[Message]:
        """The same text as one user message."""
        return [{"role": "user", "content": self.full_text(task, functions)}]

    def full_text(self, task: Task, functions: Sequence[FunctionSchema]) -> str:
        """Instruction, examples and question. Examples are of the published functions, and left out for others."""
        question = self.question_text(task)
        if {function.name for function in functions} != set(_ARGUMENTS):
            return f"{_instruction(functions)}\n{question}"
        if _is_claim(task):
            return "\n".join([CLAIM_INSTRUCTION, *CLAIM_EXAMPLES, question])
        return f"{QUESTION_INSTRUCTION}\n{''.join(QUESTION_EXAMPLES)}{question}"

    def question_text(self, task: Task) -> str:
        """The question, or the claim, and the start of the first thought."""
        return f"{'Claim' if _is_claim(task) else 'Question'}: {task.question}\nThought 1:"

    def negligible(self, surplus: str) -> bool:
        """Whether what follows an action is whitespace, an end-of-turn mark, or the stop string with its number."""
        return is_blank(_KEPT_STOP.sub("", surplus))

    def parse(self, action: Action, functions: Sequence[FunctionSchema] = ()) -> ParsedAction:
        """Reads an action."""
        return self.parse_in_place(action, functions, "")

    def parse_in_place(self, action: Action, functions: Sequence[FunctionSchema], before: str) -> ParsedAction:
        """Reads an action after the `Thought i:` or `Action i:` that ends what stands before it."""
        place = _BEFORE.search(before)
        number = place[2] if place else ""
        head = action.partition(_STOP)[0]
        written = head.strip()
        start = len(head) - len(head.lstrip())
        if place and place[1] == "Action":
            return self._read(action, start, written.partition("\n")[0], number, functions)
        if not number and (given := _ANY_ACTION.search(head)):
            number = given[1]
        mark = f"\n{_label('Action', number)}: "
        thought, found, line = written.partition(mark)
        if found and mark not in line:
            return self._read(action, start + len(thought) + len(mark), line, number, functions)
        again = ""
        if "\n" in written or not is_blank(action[len(head) :]):
            again = f"\n{_label('Thought', number)}: {clean_text(written.partition(_LINE)[0])}"
        parsed = self.reading(action, start + len(written), reply=f"{again}\n{_label('Action', number)}:")
        return replace(parsed, unfinished=True)

    def _read(
        self, action: Action, start: int, line: str, number: str, functions: Sequence[FunctionSchema]
    ) -> ParsedAction:
        """Reads the action that stands at a position."""
        end = start + len(line.rstrip())
        command = _lower_first(line).strip()
        name, opened, rest = command.partition("[")
        if not (opened and rest.endswith("]")):
            name = ""
        value = rest[:-1]
        if name == "finish":
            return self.reading(action, end, answer=value.strip())
        if name == "think":
            parsed = self.reading(action, end, reply=_reply("Nice thought.", number))
            return replace(parsed, faults=tuple(fault for fault in parsed.faults if fault != FormatFault.NO_ACTION))
        known = {_lower_first(function.name): (function.name, function.string_argument) for function in functions}
        known = known or {published: (published, argument) for published, argument in _ARGUMENTS.items()}
        function, argument = known.get(name, ("", None))
        if argument is None:
            reply = _reply(f"Invalid action: {command}", number)
            return self.reading(action, end, reply=reply, faults=[FormatFault.BAD_CALL])
        return self.reading(action, end, calls=[ToolCall(function, {argument: value}, id=number)])

    def render(self, calls: Sequence[ToolCall], results: Sequence[ToolResult], cut: Cut = whole) -> str:
        """The observation, and the start of the next thought."""
        payload = cut("\n".join(result.output for result in results))
        return _reply(payload, calls[0].id if calls else "")

    def closing_text(self, reward: float) -> str:
        """What the published environment says at the end; it tells the reward."""
        return f"Episode finished, reward = {reward:g}\n"

    def write_call(self, thought: str, call: ToolCall, turn: int) -> str:
        """A thought and a call."""
        value = self.only_argument(call)
        return self.checked_call(f" {thought}\nAction {turn}: {call.name[:1].upper()}{call.name[1:]}[{value}]", call)

    def write_answer(self, thought: str, answer: str, turn: int) -> str:
        """A thought and the answer."""
        return self.checked_answer(f" {thought}\nAction {turn}: Finish[{answer}]", answer)


def _is_claim(task: Task) -> bool:
    return task.metadata.get("kind") == "claim"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _label(word: str, number: str) -> str:
    return f"{word} {number}" if number else word


def _reply(text: str, number: str) -> str:
    """An observation, and the start of the next thought.

    The notebooks delete the two characters of an escaped line break from it.
    """
    known = _NUMBER.fullmatch(number) is not None
    following = str(int(number) + 1) if known else ""
    shown = clean_text(text.replace("\\n", ""))
    return f"\n{_label('Observation', number if known else '')}: {shown}\n{_label('Thought', following)}:"


def _instruction(functions: Sequence[FunctionSchema]) -> str:
    """What the agent is to do, with the functions that there are."""
    lines = [
        "Answer a question by writing Thought, Action and Observation steps in turn. A Thought reasons about what is "
        "known and what to do next. An Action is one of the following:"
    ]
    for position, function in enumerate(functions, start=1):
        name, argument = function.name[:1].upper() + function.name[1:], function.string_argument
        lines.append(f"({position}) {name}[{argument}]: {' '.join(function.description.split())}")
    lines.append(f"({len(functions) + 1}) Finish[answer] gives the answer and ends the task.")
    lines.append("The Observation is what the Action returned. For example:")
    lines += ["Thought 1: I know enough to answer.", "Action 1: Finish[my answer]", ""]
    return "\n".join(lines)
