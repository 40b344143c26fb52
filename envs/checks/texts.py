"""Texts that break parsers: for checks of one environment, and for fuzzing at length."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import cycle
from random import Random

from ...tools.base import FunctionSchema
from ...tools.errors import InputError
from ..env import ToolEnv
from ..episode import Action, FinishReason
from ..task import Task
from .play import answer_text, call_text
from .schemas import fitting_calls, sample_call
from .tasks import forged_text

_HUGE = 1_000_000
_TAG = re.compile(r"</?[A-Za-z_]+>")
_FINISH: tuple[FinishReason, ...] = ("stop", "stop", "stop", "eos", "length")
PIECES = (
    *"<think> </think> <search> </search> <answer> </answer> <information> </information> <result> </result>".split(),
    *"<tool_call> </tool_call> <tool_response> </tool_response> <code> </code> <interpreter> </interpreter>".split(),
    *"<|begin_of_query|> <|end_of_query|> <|begin_of_documents|> <|end_of_documents|> <|im_end|> </s>".split(),
    *"``` ```python ```output ```tool_call \\boxed{ \\boxed \\fbox{ } { {} [ ] ( ) [] $ \\[ \\]".split(),
    *"Search[Alice] Lookup[mother] Finish[yes] Search[ Finish[ Action: Observation: Answer: 4\ufe0f\u20e3".split(),
    *("\nThought 1: ", "\nAction 1: ", "\nObservation 1: ", "\nObservation", "\nAction ²: ", "\nAction ٣: "),
    *('{"name":"search","arguments":{"query":"x"}}', '{"name":1}', '{"name":"python","arguments":{"code":"1/0"}}'),
    *('{"name": "search", "arguments": "x"}', '{"arguments": {}}', "null", "NaN", "Infinity", "-0", "1e999", "\\u0000"),
    *("print(1)", "1/0", "print('<answer>1</answer>')", "2^9", "10%", "0.1", "1,000", "-7", "3/4", "x = 2\nprint(x)"),
    *("knight", "knave", "yes", "no", "SUPPORTS", "(1) Zoey is a knight", "(1 + 2) * 3 = 9", "r1c1=1", "up", "A1"),
    *("\n", "\n\n", " ", "\t", "\r", "\r\n", "\x0b", "\x85", "\u2028", "\u00a0", "\ufeff", "\x00", "\x1b[31m"),
    *("\ud800", "\udfff", "\U0001f600", "²", "٣", "１２", "é", "e\u0301", "\u200b", "\u202e", "ß", "İ", "ﬁ"),
)
"""Pieces of all formats, characters that trip programs, and words that puzzles and questions know."""

_REPEATED = (
    *'<think> </think> <answer> </answer> <search> <tool_call> \\boxed{ { } [ ] ( ) ``` " \\ 9 0 a , - . * /'.split(),
    *(" ", "\n", "\r\n", "a ", "A. ", "{}", "[]", "()", "\nAction 1: ", "\nObservation 1: ", "yes no ", "1 + ", "\x00"),
    *("<answer></answer>", '{"name":', "[1,", "Finish[", "knight ", "is a ", "9 = ", "<", "</", "\\", "1,2;", "²"),
)


def marks(env: ToolEnv) -> tuple[str, ...]:
    """What an environment's format writes and stops at: its tags, stop strings and observation marks."""
    wire, found = env.action_format, []
    texts = [wire.write_answer("t", "a", 1)]
    for function in env.functions:
        try:
            texts.append(wire.write_call("t", sample_call(function), 1))
        except InputError:  # a call that the sampled value does not suit
            continue
    for text in texts:
        found += _TAG.findall(text)
        found += [text.partition("t")[0], text.rpartition("a")[2]]
    found += [*wire.stop, *wire.final_stop, *wire.observation_marks, wire.prefill]
    return tuple(mark for mark in dict.fromkeys(found) if mark)


def awkward_texts(env: ToolEnv, task: Task) -> list[str]:
    """Short texts of the kinds that broke parsers: unclosed and nested tags, NUL, lone surrogates, broken JSON."""
    answer = answer_text(env, task.answers[0] if task.answers else "yes")
    wholes = [answer, *(text for function in env.functions for text in _calls(env, function)[:2])]
    texts = ["", " ", "\x00", "\ud800", "\r\n", "²", "\\boxed{", "{" * 500, "[" * 5000, '{"a":' * 5000, "(" * 5000]
    texts += [answer_text(env, odd) for odd in _ODD_ANSWERS]
    for whole in wholes:
        half = len(whole) // 2
        texts += [whole[:half], whole[half:], whole[:-1], whole + whole, whole[:half] + whole]
        texts += [f"{whole}{odd}" for odd in ("\x00", "\ud800", " \n tail")]
        texts += [whole.replace(">", "> "), whole.replace("\n", "\r"), whole.upper(), whole[::-1]]
    for mark in marks(env):
        texts += [mark, mark * 3, f"{mark}{answer}", f"{answer}{mark}"]
    texts += [marks(env)[0] * (_HUGE // len(marks(env)[0])), answer_text(env, "x" * _HUGE)]
    pairs = zip(PIECES, cycle((*wholes, "")), strict=False)
    return [*texts, *(f"{piece}{whole}{piece}" for piece, whole in pairs)]


_ODD_ANSWERS = (
    *("", " ", "\x00", "\ud800", "²", "٣", "9" * 5000, "9**9**9", "1/0", "2**-1", "(" * 3000, "-" * 3000, "nan"),
    *("<answer>x</answer>", "\\boxed{\\boxed{}}", "\\frac{1}{0}", "{" * 999, "1e400", "[1, [2", "'", '"', "x" * 50_000),
    *("import os", "__import__('os')", "0x1F", "1_000", "1,2,3", "\n\n", "a = b = c", "\\", "%s %d {0}", "None"),
)


def growing_texts(env: ToolEnv) -> dict[str, Callable[[int], str]]:
    """Makers of long texts by what they repeat: bare, and as an answer; each takes a number of characters."""
    repeated = dict.fromkeys((*marks(env), *_REPEATED))
    makers: dict[str, Callable[[int], str]] = {}
    for unit in repeated:
        makers[f"{unit!r} repeated"] = lambda size, unit=unit: unit * (size // len(unit))  # type: ignore[misc]
        makers[f"{unit!r} repeated, as an answer"] = lambda size, unit=unit: answer_text(  # type: ignore[misc]
            env, unit * (size // len(unit))
        )
    return makers


def _calls(env: ToolEnv, function: FunctionSchema) -> list[str]:
    texts = (call_text(env, call) for call in fitting_calls(function))
    return [text for text in texts if text is not None]


class Grammar:
    """Draws actions for one environment: well-formed, nearly well-formed, and nonsense.

    Args:
        env: The environment; its format's marks and its functions' calls are among the pieces.
        random: Where draws come from.
    """

    def __init__(self, env: ToolEnv, random: Random) -> None:
        self._env, self._random = env, random
        self._calls = [text for function in env.functions for text in _calls(env, function)]
        self._marks = marks(env)
        self._answers: list[str] = []

    def about(self, task: Task) -> None:
        """From now on the answers of a task are among the pieces."""
        golds = task.answers[:3] or ("yes",)
        self._answers = [*golds, *(gold[::-1] for gold in golds), "nobody knows", *_ODD_ANSWERS]

    def action(self, honest: Callable[[], str]) -> Action:
        """An action.

        Args:
            honest: Writes what the oracle would.
        """
        draw, random = self._random.random(), self._random
        if draw < 0.12:
            text = honest()
        elif draw < 0.22:
            text = self._mangled(honest())
        elif draw < 0.32:
            text = answer_text(self._env, random.choice(self._answers))
        elif draw < 0.42 and self._calls:
            text = random.choice(self._calls)
        elif draw < 0.5:
            text = self._forged() + self.pieces(3)
        elif draw < 0.52:
            text = self._long()
        else:
            text = self.pieces(12)
        if random.random() < 0.1:
            text += self.pieces(2)
        return Action(text, random.choice(_FINISH), random.choice((None, 7)))

    def pieces(self, most: int) -> str:
        """Up to `most` pieces: marks of the format, of all formats, odd characters, calls and answers."""
        random = self._random
        pools = (self._marks, self._marks, PIECES, PIECES, PIECES, self._answers[:7], self._calls or self._marks)
        return "".join(self._piece(random.choice(pools)) for _ in range(random.randint(0, most)))

    def _piece(self, pool: Sequence[str]) -> str:
        if self._random.random() < 0.1:
            return "".join(chr(self._random.choice(_PLANES)(self._random)) for _ in range(self._random.randint(1, 6)))
        return self._random.choice(pool)

    def _mangled(self, text: str) -> str:
        """A text with a slice cut out, doubled, moved to the front or replaced."""
        random = self._random
        start, end = sorted(random.randint(0, len(text)) for _ in range(2))
        before, piece, after = text[:start], text[start:end], text[end:]
        kinds = (
            before + after,
            before + piece * 2 + after,
            piece + before + after,
            before + self.pieces(2) + after,
            before,
        )
        return random.choice(kinds)

    def _forged(self) -> str:
        return self.pieces(1) + forged_text(self._env, self._random.choice(self._answers[:7]))

    def _long(self) -> str:
        unit = self._random.choice((*self._marks, *_REPEATED))
        text = unit * self._random.choice((100, 1000, 5000))
        return answer_text(self._env, text) if self._random.random() < 0.3 else text


_PLANES: tuple[Callable[[Random], int], ...] = (
    lambda random: random.randint(0, 0x7F),
    lambda random: random.randint(0, 0x2FF),
    lambda random: random.randint(0, 0xFFFF),
    lambda random: random.randint(0, 0x10FFFF),
)
"""Draws of a character's number: ASCII, Latin, the first plane with its surrogates, everything."""
