"""Mastermind: a hidden code, and guesses that narrow it down."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from ...tools.base import ToolCall, ToolResult
from ..episode import Episode
from ..limits import Limits
from ..task import Task
from .base import MOST_UNSOLVED, PuzzleEnv, level
from .board import BoardTool, State, illegal, seen
from .draws import Draws

_SIZES = ((4, 4), (4, 6), (5, 6), (5, 8), (6, 8))
"""Length of the code and number of letters, from easy to hard."""
_GUESSES = 12
_LONGEST_READ = 100


class MastermindBoard(BoardTool):
    """`guess(code)`: how many letters stand in the right place, and how many more stand elsewhere in the code."""

    function = "guess"
    argument = "code"
    description = "Compares a guess with the hidden code: letters in the right place, and letters in another place."
    meaning = "The guess, such as ABCA."

    def start(self, task: Task) -> State:
        """The code and all guesses left."""
        return {**{key: task.metadata[key] for key in ("code", "letters")}, "guesses": []}

    def play(self, state: State, move: str) -> ToolResult:
        """Compares a guess with the code."""
        guess = read_code(move, len(state["code"]), state["letters"])
        if guess is None:
            return illegal(f"a guess has {len(state['code'])} letters from A to {_letter(state['letters'] - 1)}.")
        if len(state["guesses"]) >= _GUESSES:
            return illegal("no guesses are left.")
        right, elsewhere = compare(guess, state["code"])
        state["guesses"].append([guess, right, elsewhere])
        left = _GUESSES - len(state["guesses"])
        return seen(f"{right} in the right place, {elsewhere} in another place. Guesses left: {left}.")


class MastermindEnv(PuzzleEnv):
    """Finds a hidden code of letters, which may repeat, by guesses.

    The answer is the code. The board never writes a letter, so that nothing can be copied from it. From 4 letters of 4
    (difficulty 0) to 6 letters of 8, with 12 guesses.
    """

    family = "mastermind"
    default_format = "hermes"
    default_limits = Limits(max_turns=20)
    board = MastermindBoard()
    thought = "I choose a code that fits all that I know."

    @classmethod
    def make(cls, seed: int, index: int, difficulty: float) -> Task:
        """A random code."""
        draws = Draws(seed, index)
        length, letters = _SIZES[level(difficulty, 0, len(_SIZES) - 1)]
        code = "".join(_letter(draws.below(letters)) for _ in range(length))
        question = (
            f"A code of {length} letters is hidden. Each of them is one of {', '.join(map(_letter, range(letters)))}; "
            f"letters may repeat. Find the code with at most {_GUESSES} guesses and answer with it."
        )
        return Task("", question, (code,), {"code": code, "letters": letters})

    @classmethod
    def verify(cls, answer: str, task: Task) -> bool:
        """Whether an answer is the code; case, spaces, commas and hyphens between its letters play no part."""
        code = task.metadata["code"]
        return bool(read_code(answer, len(code), task.metadata["letters"]) == code)

    @classmethod
    def partial_credit(cls, answer: str, task: Task) -> float:
        """The share of letters in the right place, and half of the share of those that belong elsewhere."""
        code = task.metadata["code"]
        given = read_code(answer, len(code), task.metadata["letters"])
        if given is None:
            return 0.0
        right, elsewhere = compare(given, code)
        return 1.0 if given == code else min((right + elsewhere / 2) / len(code), MOST_UNSOLVED)

    @classmethod
    def guess_chance(cls, task: Task) -> float:
        """Different codes for all guesses and the answer, out of all codes."""
        return float((_GUESSES + 1) / task.metadata["letters"] ** len(task.metadata["code"]))

    def next_call(self, episode: Episode) -> ToolCall | None:
        """Guesses a code that fits all that was seen, until one alone is left."""
        state = self.board.replay(episode)
        length, guesses = len(state["code"]), tuple(map(tuple, state["guesses"]))
        if not guesses:
            return self.board.write("".join(_letter(place // 2) for place in range(length)))
        codes = _fitting(length, state["letters"], guesses)
        if len(codes) <= 1 or len(state["guesses"]) >= _GUESSES:
            return None
        return self.board.write("".join(map(_letter, codes[len(codes) // 2])))


def read_code(text: str, length: int, letters: int) -> str | None:
    """The code that a text is, in capital letters; None if it is anything else."""
    if len(text) > _LONGEST_READ or not text.isascii():
        return None
    code = re.sub(r"[\s,-]", "", text).upper()
    highest = _letter(letters - 1)
    return code if len(code) == length and all("A" <= letter <= highest for letter in code) else None


def compare(guess: str, code: str) -> tuple[int, int]:
    """Letters of a guess in the right place, and letters that the code has in another place, each counted once."""
    right = sum(mine == its for mine, its in zip(guess, code, strict=True))
    return right, (Counter(guess) & Counter(code)).total() - right


def _letter(position: int) -> str:
    return chr(ord("A") + position)


@lru_cache(maxsize=len(_SIZES))
def _codes(length: int, letters: int) -> Any:
    return np.array(list(product(range(letters), repeat=length)), dtype=np.int8)


@lru_cache(maxsize=16)
def _fitting(length: int, letters: int, guesses: tuple[tuple[str, int, int], ...]) -> Any:
    """The codes that give the same comparisons with all guesses, one a row."""
    if not guesses:
        return _codes(length, letters)
    codes = _fitting(length, letters, guesses[:-1])
    guess, right, elsewhere = guesses[-1]
    places = np.array([ord(letter) - ord("A") for letter in guess], dtype=np.int8)
    common = sum(np.minimum((codes == letter).sum(1), count) for letter, count in Counter(places.tolist()).items())
    return codes[((codes == places).sum(1) == right) & (common == right + elsewhere)]
