"""Zebra puzzles: who lives where, from clues about a row of houses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import factorial
from typing import Any, Literal, get_args

from ...tools.adapters import ToolLike
from ...tools.errors import InputError
from ..formats.base import ActionFormat, PromptStyle
from ..limits import LimitsChoice
from ..reward import RewardSpec
from ..sources import TaskSource
from ..task import Task
from .base import MOST_UNSOLVED, Difficulty, PuzzleEnv, Split
from .draws import Draws
from .zebra_generator import MOST_ATTRIBUTES, MOST_HOUSES, draw_zebra, zebra_size
from .zebra_text import ATTRIBUTES, Attribute, Rows, houses_of, read_choice, read_houses, story

Question = Literal["grid", "fact"]


class ZebraEnv(PuzzleEnv):
    """Finds out who lives in which house.

    The difficulty sets the number of houses and attributes, and how indirect the clues are. The answer is the whole
    row of houses, or one fact of it; the partial credit is the share of the values that stand at the right house.

    Args:
        tasks: None for generated puzzles; otherwise rows in the form of a generated task, or a `TaskSet`.
        houses: Houses of a generated puzzle, 2 to 6; None for as many as the difficulty asks for.
        attributes: Attributes of a generated puzzle, 2 to 6; None for as many as the difficulty asks for.
        question: `grid` asks for everything, `fact` for one house or value.
        difficulty: As in `PuzzleEnv`.
        size: As in `PuzzleEnv`.
        task_seed: As in `PuzzleEnv`.
        split: As in `PuzzleEnv`.
        tools: As in `PuzzleEnv`.
        action_format: As in `PuzzleEnv`.
        reward: As in `PuzzleEnv`.
        prompt: As in `PuzzleEnv`.
        limits: As in `PuzzleEnv`.
        render_mode: As in `PuzzleEnv`.

    Raises:
        InputError: If an option is out of range.
    """

    family = "zebra"
    thought = "The clues leave one house for each of them."

    def __init__(
        self,
        tasks: TaskSource | None = None,
        *,
        houses: int | None = None,
        attributes: int | None = None,
        question: Question = "grid",
        difficulty: Difficulty = 0.5,
        size: int | None = None,
        task_seed: int = 0,
        split: Split = "train",
        tools: Sequence[ToolLike] | None = None,
        action_format: str | ActionFormat | None = None,
        reward: RewardSpec = "puzzle",
        prompt: PromptStyle = "full",
        limits: LimitsChoice = None,
        render_mode: str | None = None,
    ) -> None:
        _check_size("houses", houses, MOST_HOUSES)
        _check_size("attributes", attributes, MOST_ATTRIBUTES)
        if question not in get_args(Question):
            raise InputError(f"question must be 'grid' or 'fact', not {question!r}")
        if tasks is None:
            given = "" if houses is None and attributes is None else f"-{houses or 'any'}x{attributes or 'any'}"
            make = partial(self.make_sized, houses=houses, attributes=attributes, question=question)
            variant = given + ("" if question == "grid" else f"-{question}")
            tasks = self.generate(difficulty, size, task_seed, split, make=make, variant=variant)
        super().__init__(
            tasks,
            split=split,
            tools=tools,
            action_format=action_format,
            reward=reward,
            prompt=prompt,
            limits=limits,
            render_mode=render_mode,
        )

    @classmethod
    def make(cls, seed: int, index: int, difficulty: float) -> Task:
        """A puzzle of the difficulty's size that asks for everything. Arguments as in `PuzzleEnv.make`."""
        return cls.make_sized(seed, index, difficulty, houses=None, attributes=None, question="grid")

    @classmethod
    def make_sized(
        cls, seed: int, index: int, difficulty: float, *, houses: int | None, attributes: int | None, question: Question
    ) -> Task:
        """A puzzle. The first arguments as in `PuzzleEnv.make`, the others as in the constructor."""
        draws = Draws(seed, index)
        usual = zebra_size(difficulty)
        puzzle = draw_zebra(draws, houses or usual[0], attributes or usual[1], difficulty)
        kinds = [ATTRIBUTES[0], *draws.sample(ATTRIBUTES[1:], puzzle.attributes - 1)]
        named = [Attribute(kind.name, kind.phrase, tuple(draws.sample(kind.values, puzzle.houses))) for kind in kinds]
        rows = [[""] * puzzle.attributes for _ in range(puzzle.houses)]
        for item, place in enumerate(puzzle.places):
            attribute, value = divmod(item, puzzle.houses)
            rows[place][attribute] = named[attribute].values[value]
        metadata: dict[str, Any] = {
            "attributes": [kind.name for kind in kinds],
            "rows": rows,
            "asked": "grid",
            "clues": len(puzzle.clues),
            "looks": puzzle.analysis.looks,
        }
        if question == "grid":
            answer = "\n".join(f"House {house}: {', '.join(row)}" for house, row in enumerate(rows, start=1))
            names = ", ".join(metadata["attributes"])
            ask = f'Answer with one line for each house, in the form "House 1: {names}", and nothing else.'
        else:
            ask, answer, metadata["asked"] = _fact(draws, named, rows)
        return Task("", f"{story(named, puzzle.clues)}\n\n{ask}", (answer,), metadata)

    @classmethod
    def verify(cls, answer: str, task: Task) -> bool:
        """Whether every value stands at its house; of a question for one fact, whether the fact is right."""
        rows, asked = task.metadata["rows"], task.metadata["asked"]
        if asked == "grid":
            return read_houses(answer, rows) == houses_of(rows)
        column = None if asked == "house" else task.metadata["attributes"].index(asked)
        return read_choice(answer, rows, column) == task.answers[0].lower()

    @classmethod
    def partial_credit(cls, answer: str, task: Task) -> float:
        """The share of the values that stand at their house; 0 where the answer contradicts itself."""
        if cls.verify(answer, task):
            return 1.0
        rows = task.metadata["rows"]
        found = read_houses(answer, rows) if task.metadata["asked"] == "grid" else None
        if not found:
            return 0.0
        houses = houses_of(rows)
        return min(sum(houses[value] == house for value, house in found.items()) / len(houses), MOST_UNSOLVED)

    @classmethod
    def guess_chance(cls, task: Task) -> float:
        """One arrangement among all; of a question for one fact, one house or value among all."""
        houses, attributes = len(task.metadata["rows"]), len(task.metadata["attributes"])
        return 1.0 / (factorial(houses) ** attributes if task.metadata["asked"] == "grid" else houses)


def _fact(draws: Draws, attributes: Sequence[Attribute], rows: Rows) -> tuple[str, str, str]:
    """A question for one fact, its answer, and what it asks for."""
    house = draws.below(len(rows))
    known, asked = draws.sample(range(len(attributes)), 2)
    person = attributes[known].phrase.format(rows[house][known])
    if draws.below(2):
        return f"In which house does {person} live? Answer with its number alone.", str(house + 1), "house"
    ask = f"What is the {attributes[asked].name} of {person}? Answer with one of the listed values alone."
    return ask, rows[house][asked], attributes[asked].name


def _check_size(name: str, given: int | None, most: int) -> None:
    if given is not None and not (isinstance(given, int) and 2 <= given <= most):
        raise InputError(f"{name} must be from 2 to {most}, or None for the difficulty to choose, not {given!r:.80}")
