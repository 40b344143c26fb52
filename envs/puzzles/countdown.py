"""Countdown: reach a number from others, each used once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ...tools.adapters import ToolLike
from ...tools.base import ToolCall
from ...tools.errors import InputError
from ..episode import Episode, RewardResult
from ..reward import RewardFunction
from ..task import Task
from .base import MOST_UNSOLVED, PuzzleEnv, level
from .draws import Draws
from .expressions import exact_value, find_expression, python_value, read_expression, write_expression

RIGHT, WRONG = 1.0, 0.1
"""Constants of TinyZero's reward (Jiayi-Pan/TinyZero, `verl/utils/reward_score/countdown.py`)."""

_LARGEST_NUMBER = 99
_TARGETS = {3: (10, 100), 4: (10, 100), 5: (100, 999), 6: (100, 999)}
_LARGEST_STEP = 9_999
_ROW_CHANCES = {3: 0.30, 4: 0.08}  # measured: .286 and .077 of the 9,532 rows of TinyZero's data at hand
_CHANCES = {3: 0.16, 4: 0.05}  # measured: .149 and .040 of 4,000 generated puzzles
_OPEN, _CLOSE = "<answer>", "</answer>"


class CountdownEnv(PuzzleEnv):
    """Writes an expression of all the given numbers, each used once, that has the target as its value.

    The rules are those of TinyZero (Jiayi-Pan/TinyZero): whole numbers, `+ - * /`, parentheses, every number exactly
    once; many expressions may be right. Values are exact fractions here, and nothing is ever evaluated by Python. As
    there, `(1 + 2) * 3 = 9` is no expression. A calculator is offered; with `tools=()` and `think_answer` the puzzle
    is TinyZero's, and `reward="countdown"` its reward.

    Rows need `numbers` (or `nums`) and a `target`. Generated puzzles have 3 to 6 numbers from 1 to 99 and cannot be
    solved by `+` and `-` alone; targets are from 10 to 100, as in TinyZero's data, and from 100 to 999 for five and six
    numbers.
    """

    family = "countdown"
    default_format = "hermes"
    thought = "Every number stands in this expression once, and its value is the target."

    @classmethod
    def default_tools(cls) -> Sequence[ToolLike]:
        """The calculator."""
        from ...tools.arithmetic import calculator  # which loads pydantic

        return (calculator,)

    @classmethod
    def make(cls, seed: int, index: int, difficulty: float) -> Task:
        """A puzzle of 3 to 6 numbers, made backwards from a solution."""
        draws, count = Draws(seed, index), level(difficulty, 3, 6)
        low, high = _TARGETS[count]
        while True:
            numbers = [1 + draws.below(_LARGEST_NUMBER) for _ in range(count)]
            target, made = _random_expression(draws, numbers)
            if low <= target <= high and not _is_sum(numbers, target):
                return cls.puzzle("", numbers, target, write_expression(made))

    @classmethod
    def puzzle(cls, task_id: str, numbers: Sequence[int], target: int, solution: str | None) -> Task:
        """The task of a puzzle."""
        listed = ", ".join(map(str, numbers))
        question = (
            f"Make {target} from the numbers {listed}. Use each of them exactly once, with + - * / and parentheses. "
            "Answer with the expression alone, without an equals sign."
        )
        metadata = {"numbers": list(numbers), "target": target}
        return Task(task_id, question, () if solution is None else (solution,), metadata)

    @classmethod
    def expression_in(cls, answer: str) -> str:
        """The part of an answer that is read as the expression."""
        return answer.strip()

    @classmethod
    def verify(cls, answer: str, task: Task) -> bool:
        """Whether an answer is an expression of the numbers, each used once, with the target as its exact value."""
        numbers, target = task.metadata["numbers"], task.metadata["target"]
        reading = read_expression(cls.expression_in(answer))
        return reading is not None and exact_value(reading) == target and _given(reading.numbers) == Counter(numbers)

    @classmethod
    def partial_credit(cls, answer: str, task: Task) -> float:
        """Half for the share of the numbers that are used as they should be, half for a value near the target."""
        if cls.verify(answer, task):
            return 1.0
        numbers, target = Counter(task.metadata["numbers"]), task.metadata["target"]
        reading = read_expression(cls.expression_in(answer))
        if reading is None:
            return 0.0
        used, value = _given(reading.numbers), exact_value(reading)
        share = (used & numbers).total() / max(used.total(), numbers.total())
        nearness = 0.0 if value is None else float(1 / (1 + abs(value - target)))
        return min((share + nearness) / 2, MOST_UNSOLVED)

    @classmethod
    def guess_chance(cls, task: Task) -> float:
        """What the best fixed expression in the sorted numbers `a, b, c` reaches.

        That is `c - b + a` in TinyZero's rows. Generated puzzles need more than sums: there it is `a * (c - b)`. An
        answer that does not look at the numbers has no chance: its own would have to be the same.
        """
        return (_CHANCES if task.answers else _ROW_CHANCES).get(len(task.metadata["numbers"]), 0.04)

    @classmethod
    def task_from_row(cls, row: Mapping[str, Any], default_id: str) -> Task:
        """A task of a row with `numbers` (or `nums`) and `target`; its solution is found when it is asked for.

        Raises:
            KeyError: If one of them is missing.
            InputError: If they are no whole numbers.
        """
        numbers, target = row["numbers"] if "numbers" in row else row["nums"], row["target"]
        given = [*numbers, target]
        if not numbers or not all(isinstance(number, int) and not isinstance(number, bool) for number in given):
            raise InputError(f"puzzle {row.get('id', default_id)!r}: {given!r:.80} are not all whole numbers")
        return cls.puzzle(str(row.get("id", default_id)), numbers, target, None)

    @classmethod
    def rewards(cls) -> Mapping[str, RewardFunction]:
        """The rewards of every puzzle, and TinyZero's."""
        tinyzero = RewardFunction("countdown", _countdown, maximum=RIGHT, wrong_ceiling=WRONG)
        return {**super().rewards(), tinyzero.name: tinyzero}

    def solution(self, task: Task) -> str:
        """The expression that the puzzle was made of, or one that is searched for.

        Raises:
            InputError: If there is none.
        """
        if task.answers:
            return task.answers[0]
        found = _search(tuple(task.metadata["numbers"]), task.metadata["target"])
        if found is None:
            raise InputError(f"puzzle {task.id!r} has no solution; leave it out")
        return found

    def next_call(self, episode: Episode) -> ToolCall | None:
        """Checks the expression with the calculator, where one is offered."""
        offered = any(function.name == "calculator" for function in self.functions)
        if not offered or episode.turns:
            return None
        return ToolCall("calculator", {"expression": self.solution(episode.task)})


def countdown_reward(response: str, numbers: Sequence[int], target: int) -> float:
    """TinyZero's reward of a response: 1 for a right equation, 0.1 for any other answer, 0 for none.

    Source: Jiayi-Pan/TinyZero, `verl/utils/reward_score/countdown.py`. The last `<answer>` of the last line counts. Its
    digits must be those of the numbers, each used once, and Python's value of it within 1e-5 of the target: so `**`
    and `//` are operators, and `3.` is a 3.

    Args:
        response: What the model wrote.
        numbers: The given numbers.
        target: The value to reach.
    """
    text = _last_answer(response[response.rfind("\n") + 1 :])
    if text is None:
        return 0.0
    reading = read_expression(text)
    if reading is None or _given(re.findall("[0-9]+", text)) != Counter(numbers):
        return WRONG
    value = python_value(reading)
    return RIGHT if value is not None and abs(value - target) < 1e-5 else WRONG


@lru_cache(maxsize=256)
def _search(numbers: tuple[int, ...], target: int) -> str | None:
    """The oracle asks twice: before it calculates, and before it answers."""
    return find_expression(numbers, target).expression


def _countdown(episode: Episode) -> RewardResult:
    """TinyZero's reward of the last action. What is no solution by the exact rules of the game earns no more than 0.1.

    (TinyZero takes Python's rounding and further operators, and reads one line where an action format reads the whole
    block.)
    """
    task, said = episode.task, episode.turns[-1].parsed.text if episode.turns else ""
    reward = countdown_reward(said, task.metadata["numbers"], task.metadata["target"])
    if not CountdownEnv.judge(episode).solved:
        reward = min(reward, WRONG)
    return RewardResult(reward, {"correct": float(reward == RIGHT), "answered": float(reward > 0)})


def _last_answer(line: str) -> str | None:
    """What the last match of `<answer>(.*?)</answer>` holds, found in linear time."""
    found, start = None, line.find(_OPEN)
    while start >= 0:
        end = line.find(_CLOSE, start)
        if end < 0:
            break
        found = line[start + len(_OPEN) : end].strip()
        start = line.find(_OPEN, end)
    return found


def _is_sum(numbers: Sequence[int], target: int) -> bool:
    """Whether adding and subtracting all of the numbers is enough: too easy to hit."""
    sums = {0}
    for number in numbers:
        sums = {total + signed for total in sums for signed in (number, -number)}
    return target in sums


def _given(numbers: Sequence[str]) -> Counter[int]:
    return Counter(int(number) for number in numbers if number.isdecimal())


def _random_expression(draws: Draws, numbers: Sequence[int]) -> tuple[int, object]:
    """A value and how it is made of all the numbers, whole and positive at every step."""
    items: list[tuple[int, object]] = [(number, number) for number in numbers]
    while len(items) > 1:
        (a, left), (b, right) = (items.pop(draws.below(len(items))) for _ in range(2))
        if a < b:
            a, b, left, right = b, a, right, left
        choices = [("+", a + b)]
        if a > b:
            choices.append(("-", a - b))
        if b > 1 and a * b <= _LARGEST_STEP:
            choices.append(("*", a * b))
        if b > 1 and a % b == 0:
            choices.append(("/", a // b))
        sign, value = draws.pick(choices)
        items.append((value, (sign, left, right)))
    return items[0]
