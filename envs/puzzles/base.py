"""What a puzzle family is: a generator, a verifier, partial credit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, ClassVar, Literal, NamedTuple, get_args

from ...tools.adapters import ToolLike
from ...tools.base import Tool, ToolCall
from ...tools.errors import InputError
from ...tools.recorded_tools import RecordedTool
from ..choices import pick_format
from ..env import ScriptedPolicy, ToolEnv
from ..episode import Episode, RewardResult
from ..formats.base import ActionFormat, PromptStyle
from ..limits import Limits, LimitsChoice
from ..reward import RewardFunction, RewardSpec
from ..sources import TaskSource, load_tasks
from ..task import Task, TaskSet
from .board import BoardTool
from .draws import Draws

Difficulty = float | tuple[float, float]
"""A difficulty in [0, 1], or the range that each task's difficulty is drawn from."""
Make = Callable[[int, int, float], Task]
"""A generator: `make(seed, index, difficulty)`."""
Split = Literal["train", "test"]

MOST_UNSOLVED = 0.95
"""The highest partial credit of an answer that does not solve its puzzle."""
_PROBED = 16
_DIFFICULTY_STREAM = 0x64696666  # keeps the draw of a task's difficulty apart from the draws of the task


class Judgement(NamedTuple):
    """What a puzzle family says of an episode or an answer.

    Attributes:
        solved: Whether the puzzle is solved.
        credit: Partial credit in [0, 1]; 1 exactly where it is solved.
    """

    solved: bool
    credit: float


class PuzzleEnv(ToolEnv):
    """A family of generated puzzles whose answers are verified.

    A family defines `family`, `make`, `verify`, `partial_credit` and `guess_chance`; where the oracle's answer is not
    the first of the task's answers, `solution`; where it has a tool of its own, `board` and `next_call`. All of these
    are class methods over a `Task`, so that a reward needs no environment. A family with options of its own hands
    `generate` a `make` that has them, and the set as `tasks`.

    Args:
        tasks: None for generated puzzles; otherwise rows (a path, `hf:org/name`, an iterable of mappings) or a
            `TaskSet`.
        difficulty: Of generated puzzles: a number in [0, 1], or a range `(low, high)` from which each puzzle's own is
            drawn.
        size: How many puzzles are generated; None for as many as are asked for.
        task_seed: Which puzzles are generated. Puzzle `i` depends on the seed, the split, the difficulty and `i` alone.
        split: `train` or `test`, which have no stream of draws in common; of a folder or data set, which split.
        tools: Tools to offer beside the puzzle's own board; None for what the family offers.
        action_format: Name or instance of the wire language; None for the family's usual one.
        reward: `puzzle` (1 if solved, else 0), `partial_credit` (the credit itself), another reward's name, a weighted
            sum of such names (`"puzzle + 0.1*partial_credit"`), or an instance.
        prompt: `full` or `question`; for a format given by name.
        limits: Bounds of an episode; None for the family's usual ones.
        render_mode: `ansi` or None.

    Raises:
        InputError: If an option is out of range, or the rows cannot be read.
    """

    family: ClassVar[str]
    default_format: ClassVar[str] = "think_answer"
    default_limits: ClassVar[Limits | None] = None
    board: BoardTool | None = None
    """The tool through which the puzzle is played, if any: a class's, or an instance's before `super().__init__`."""
    thought: ClassVar[str] = "I worked it out."
    """What the oracle writes as its thought."""

    def __init__(
        self,
        tasks: TaskSource | None = None,
        *,
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
        from ..rewards import reward_function

        if tasks is None:
            tasks = self.generate(difficulty, size, task_seed, split)
        loaded = load_tasks(tasks, self.task_from_row, split)
        offered = self.default_tools() if tools is None else tools
        super().__init__(
            loaded,
            offered if self.board is None else [self.board, *offered],
            action_format=pick_format(action_format or self.default_format, prompt),
            reward=reward_function(reward, {name: _maker(own) for name, own in self.rewards().items()}),
            limits=limits or self.default_limits,
            render_mode=render_mode,
        )
        self.guess_rate = self.estimated_guess_rate(listed=not isinstance(tasks, TaskSet))

    # What a family defines ------------------------------------------------------------------------------------

    @classmethod
    def make(cls, seed: int, index: int, difficulty: float) -> Task:
        """Generates a puzzle; its id and its `difficulty` are filled in by the set that holds it.

        Args:
            seed: Seed of the sequence.
            index: Position in it; the puzzle depends on nothing but the three arguments (`Draws(seed, index)`).
            difficulty: In [0, 1].
        """
        raise NotImplementedError

    @classmethod
    def verify(cls, answer: str, task: Task) -> bool:
        """Whether an answer solves a puzzle. Never raises, whatever the text."""
        raise NotImplementedError

    @classmethod
    def partial_credit(cls, answer: str, task: Task) -> float:
        """How near an answer comes, in [0, 1]; 1 exactly where `verify` holds, else `MOST_UNSOLVED` at most."""
        raise NotImplementedError

    @classmethod
    def guess_chance(cls, task: Task) -> float:
        """The highest chance to solve a puzzle by guessing, from the size of what can be answered."""
        raise NotImplementedError

    @classmethod
    def task_from_row(cls, row: Mapping[str, Any], default_id: str) -> Task:
        """A task of a row with `question`, `answers` and the `metadata` of a generated puzzle.

        Raises:
            KeyError: If one of them is missing.
        """
        answers = tuple(map(str, row["answers"]))
        return Task(str(row.get("id", default_id)), str(row["question"]), answers, dict(row["metadata"]))

    @classmethod
    def default_tools(cls) -> Sequence[ToolLike]:
        """The tools that the family offers beside its board; none by default."""
        return ()

    @classmethod
    def judge(cls, episode: Episode) -> Judgement:
        """What an episode achieved: by its answer; a family with a board may look at what the board returned."""
        answer = episode.answer
        if answer is None:
            return Judgement(False, 0.0)
        if cls.verify(answer, episode.task):
            return Judgement(True, 1.0)
        return Judgement(False, cls.partial_credit(answer, episode.task))

    @classmethod
    def rewards(cls) -> Mapping[str, RewardFunction]:
        """The family's own rewards by name."""
        return {
            "puzzle": RewardFunction("puzzle", partial(_solved, cls)),
            "partial_credit": RewardFunction("partial_credit", partial(_credit, cls), wrong_ceiling=MOST_UNSOLVED),
        }

    def solution(self, task: Task) -> str:
        """The answer that the oracle gives."""
        return task.answers[0]

    def next_call(self, episode: Episode) -> ToolCall | None:
        """The oracle's next call, or None when it is ready to answer."""
        del episode
        return None

    def estimated_guess_rate(self, listed: bool) -> float:
        """The guess rate of the tasks, from the guess chances of them or of the first few.

        Whoever knows a set can always give the answer of one of its puzzles.

        Args:
            listed: Whether the tasks are rows, which are all looked at for their mean chance. Of a generated set, which
                may be endless, the easiest of the first few must do.
        """
        chances = [self.guess_chance(task) for task in (self.tasks if listed else islice(self.tasks, _PROBED))]
        return max(sum(chances) / len(chances) if listed else max(chances), 1 / len(self.tasks))

    # What follows from it -------------------------------------------------------------------------------------

    @classmethod
    def generate(
        cls,
        difficulty: Difficulty = 0.5,
        size: int | None = None,
        task_seed: int = 0,
        split: Split = "train",
        *,
        make: Make | None = None,
        variant: str = "",
    ) -> TaskSet:
        """The generated puzzles of a seed and a split, made when they are asked for.

        Args:
            difficulty: As for the environment.
            size: As for the environment.
            task_seed: As for the environment.
            split: As for the environment.
            make: The generator, with a family's own options bound; `cls.make` by default. It should pickle.
            variant: What names those options in the tasks' ids.

        Raises:
            InputError: If an option is out of range.
        """
        if split not in get_args(Split):
            raise InputError(f"generated puzzles have the splits 'train' and 'test', not {split!r}")
        if task_seed < 0:
            raise InputError(f"task_seed must be at least 0, not {task_seed}")
        name = f"{cls.family}{variant}-{split}-{task_seed}"
        seed = 2 * task_seed + (split == "test")
        return TaskSet.generate(_Generator(make or cls.make, _bounds(difficulty)), size, seed, name)

    def score(self, episode: Episode) -> float:
        """1 if the puzzle is solved."""
        return float(self.judge(episode).solved)

    def oracle(self) -> ScriptedPolicy:
        """Plays the board as a careful player does, and gives the solution."""

        def act(episode: Episode) -> str:
            call = self.next_call(episode)
            if call is not None:
                return self.action_format.write_call(self.thought, call, len(episode.turns) + 1)
            return self.write_solution(self.thought, episode)

        return act

    def write_solution(self, thought: str, episode: Episode) -> str:
        """The action that gives the solution. One in lines stands in one line where the format has only one.

        Args:
            thought: What to put before it.
            episode: The episode so far.
        """
        turn, answer = len(episode.turns) + 1, self.solution(episode.task)
        try:
            return self.action_format.write_answer(thought, answer, turn)
        except InputError:
            if "\n" not in answer:
                raise
            return self.action_format.write_answer(thought, ", ".join(answer.splitlines()), turn)

    def episode_tools(self, task: Task) -> Sequence[Tool]:
        """The tools of the environment, with the task's puzzle on the board."""
        if self.board is None:
            return self.tools
        board, *others = self.tools
        bound = self.board.bound(task)
        return (board.over(bound) if isinstance(board, RecordedTool) else bound, *others)


def level(difficulty: float, low: int, high: int) -> int:
    """A whole number from `low` (at difficulty 0) to `high` (at difficulty 1), in equal steps."""
    return low + min(int(difficulty * (high - low + 1)), high - low)


@dataclass(frozen=True)
class _Generator:
    """Makes the tasks of a set; a class so that task sets can be pickled."""

    make: Make
    bounds: tuple[float, float]

    def __call__(self, seed: int, index: int) -> Task:
        low, high = self.bounds
        difficulty = low
        if high > low:
            difficulty += (high - low) * Draws(seed, index, _DIFFICULTY_STREAM).below(10_001) / 10_000
        task = self.make(seed, index, difficulty)
        return replace(task, metadata={**task.metadata, "difficulty": difficulty})


def _bounds(difficulty: Any) -> tuple[float, float]:
    given = tuple(difficulty) if isinstance(difficulty, list | tuple) else (difficulty, difficulty)
    numbers = all(isinstance(bound, int | float) and not isinstance(bound, bool) for bound in given)
    if len(given) != 2 or not numbers or not 0 <= given[0] <= given[1] <= 1:
        raise InputError(f"difficulty must be a number in [0, 1], or a range (low, high) in it, not {difficulty!r:.80}")
    return float(given[0]), float(given[1])


def _maker(reward: RewardFunction) -> Callable[[], RewardFunction]:
    def make() -> RewardFunction:
        return reward

    return make


def _solved(family: type[PuzzleEnv], episode: Episode) -> RewardResult:
    judgement = family.judge(episode)
    return RewardResult(float(judgement.solved), _terms(judgement, episode))


def _credit(family: type[PuzzleEnv], episode: Episode) -> RewardResult:
    judgement = family.judge(episode)
    return RewardResult(judgement.credit, _terms(judgement, episode))


def _terms(judgement: Judgement, episode: Episode) -> dict[str, float]:
    return {
        "solved": float(judgement.solved),
        "partial_credit": judgement.credit,
        "answered": float(episode.answer is not None),
    }
