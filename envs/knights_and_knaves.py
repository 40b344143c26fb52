"""Knights-and-knaves puzzles: reasoning without tools, as in Logic-RL (Xie et al. 2025)."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from ..tools.errors import InputError
from .choices import pick_format
from .env import ScriptedPolicy, ToolEnv
from .episode import Episode, Limits
from .formats.base import ActionFormat, PromptStyle
from .knights_and_knaves_generator import SEED, Puzzle, Sampler, Statement, render_puzzle, solution_text, solve
from .reward import RewardFunction
from .sources import TaskSource, load_tasks
from .task import Task, TaskSet

TEST_PUZZLES = 100
"""The published test split is the first hundred puzzles of a sampler, the training split what follows."""


class KnightsAndKnavesEnv(ToolEnv):
    """Says who is a knight and who is a knave.

    Args:
        tasks: None for generated puzzles; otherwise rows with `quiz`, `names` and `solution` (a list of booleans), as
            in the Logic-RL data, whose solutions are checked where `statements` are given; or a `TaskSet`.
        action_format: Name or instance of the wire language.
        reward: Name or instance of what a trainer optimises.
        prompt: `full` or `question`; for a format given by name.
        n_people: People in a generated puzzle.
        split: `test` for the first hundred generated puzzles, `train` for those after them; of a folder or data set,
            which split.
        size: How many puzzles are generated (at most 100 for `test`).
        task_seed: Seed of the generator; the published puzzles have 1234.
        limits: Bounds of an episode.
        render_mode: `ansi` or None.

    Raises:
        InputError: If a file cannot be read, a row's solution is wrong, or an option is out of range.
    """

    def __init__(
        self,
        tasks: TaskSource | None = None,
        *,
        action_format: str | ActionFormat = "think_answer",
        reward: str | RewardFunction = "logic_rl",
        prompt: PromptStyle = "full",
        n_people: int = 3,
        split: str = "train",
        size: int = 100,
        task_seed: int = SEED,
        limits: Limits | None = None,
        render_mode: str | None = None,
    ) -> None:
        if tasks is None:
            loaded = generated_puzzles(n_people, split, size, task_seed)
        else:
            loaded = load_tasks(tasks, self.task_from_row, split)
        super().__init__(
            loaded,
            action_format=pick_format(action_format, prompt),
            reward=reward,
            limits=limits,
            render_mode=render_mode,
        )
        self.guess_rate = sum(0.5 ** len(task.metadata["solution"]) for task in loaded) / len(loaded)

    @staticmethod
    def task_from_row(row: Mapping[str, Any], default_id: str) -> Task:
        """A task of a row in the form of the Logic-RL data.

        Raises:
            KeyError: If the quiz, the names or the solution are missing.
            InputError: If the statements are given and do not have that solution alone.
        """
        task_id = str(row.get("id", default_id))
        names = tuple(map(str, row["names"]))
        solution = tuple(map(bool, row["solution"]))
        if len(names) != len(solution) or not names:
            raise InputError(
                f"puzzle {task_id!r}: {len(names)} names and {len(solution)} roles; give one role per name"
            )
        if row.get("statements") is not None:
            statements = _read_statements(row["statements"], task_id)
            found = solve(statements) if len(statements) == len(names) else []
            if found != [solution]:
                raise InputError(
                    f"puzzle {task_id!r}: its statements are solved by {found}, not by {solution} alone; correct it"
                )
        return _task(task_id, str(row["quiz"]), names, solution)

    def score(self, episode: Episode) -> float:
        """1 if every person's role is right, by the rule of the published reward."""
        from .rewards import read_roles

        solution = episode.task.metadata["solution"]
        return float(read_roles(episode.answer or "", solution) == solution)

    def oracle(self) -> ScriptedPolicy:
        """Gives the solution at once."""

        def solution(episode: Episode) -> str:
            thought = "Only one choice of roles makes each statement true or false as its speaker's role demands."
            return self.action_format.write_answer(thought, episode.task.answers[0], len(episode.turns) + 1)

        return solution


def generated_puzzles(n_people: int = 3, split: str = "train", size: int = 100, seed: int = SEED) -> TaskSet:
    """Generated puzzles with one solution each.

    Raises:
        InputError: If the split is unknown or there are not that many puzzles.
    """
    if split not in ("train", "test"):
        raise InputError(f"generated puzzles have the splits 'train' and 'test', not {split!r}")
    if not 1 <= size <= (TEST_PUZZLES if split == "test" else 1_000_000):
        raise InputError(f"size must be at least 1 (and at most {TEST_PUZZLES} for the test split), not {size}")
    sampler = Sampler(n_people, seed)
    if split == "train":
        sampler.draw(TEST_PUZZLES)
    name = f"knights-{n_people}-{seed}"
    return TaskSet((_puzzle_task(f"{name}-{puzzle.index}", puzzle, seed) for puzzle in sampler.draw(size)), name)


def _puzzle_task(task_id: str, puzzle: Puzzle, seed: int) -> Task:
    quiz, names = render_puzzle(puzzle, seed)
    return _task(task_id, quiz, names, puzzle.solution)


def _task(task_id: str, quiz: str, names: tuple[str, ...], solution: tuple[bool, ...]) -> Task:
    roles = dict(zip(names, solution, strict=True))
    return Task(task_id, quiz, (solution_text(names, solution),), {"solution": roles})


def _read_statements(value: Any, task_id: str) -> tuple[Statement, ...]:
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise InputError(
                f"puzzle {task_id!r}: its statements are no tuple of statements: {value[:60]!r}"
            ) from error
    statements: tuple[Statement, ...] = _tuples(value)
    return statements


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
