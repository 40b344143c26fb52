"""Knights and knaves: the published puzzles, or ever new ones."""

from __future__ import annotations

import ast
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Literal, get_args

from ...tools.adapters import ToolLike
from ...tools.errors import InputError
from ..choices import pick_format
from ..env import ScriptedPolicy
from ..episode import Episode
from ..formats.base import ActionFormat, PromptStyle
from ..limits import LimitsChoice
from ..reward import RewardSpec
from ..sources import TaskSource
from ..task import Task, TaskSet
from .base import MOST_UNSOLVED, Difficulty, PuzzleEnv, Split, level
from .knights_grammar import SEED, Change, Puzzle, Sampler, Statements, solve
from .knights_reasoning import reason, tell
from .knights_wording import KNIGHT_AND_KNAVE, PAIRS, Wording, role_words, solution_texts, word_puzzle

Perturbation = Literal["statement", "leaf", "random_pair", "flip_role", "uncommon_name", "reorder_statement"]
"""The published changes: of what is said (`Sampler.perturb`), or of how it is told (`word_puzzle`)."""

TEST_PUZZLES = 100
"""The published test split is the first hundred puzzles of a sampler, the training split what follows."""
_TRAINING_PUZZLES = {2: 200}  # and a thousand of more people
_MOST_TRAINING_PUZZLES = 20_000
_PROBED = 16  # tasks whose words are looked at before an episode is played
_DEEP = 0.85  # from this difficulty on, an operator may stand inside another
_LONGEST_READ, _MOST_CLAUSES = 4_000, 100  # of an answer, for partial credit


class KnightsAndKnavesEnv(PuzzleEnv):
    """Says who is a knight and who is a knave.

    Without arguments the puzzles are the published ones of three people (Xie et al. 2024, arXiv 2410.23123), which
    Logic-RL (arXiv 2502.14768) trains on. With a `difficulty` they never run out: two to eight people, and above 0.85
    statements with an operator inside an operator.

    Args:
        tasks: None for generated puzzles; otherwise rows with `quiz`, `names` and `solution` (a list of booleans), as
            in the published data, whose solutions are checked where `statements` are given; or a `TaskSet`.
        n_people: People in a published puzzle, from 2 to 16; 3 by default.
        difficulty: In place of `n_people`: a number in [0, 1] or a range, for puzzles that do not depend on those
            before them.
        perturbation: A published change of the published puzzles: of one person's `statement`, of one `leaf`, or of
            the wording (`random_pair`, `flip_role`, `uncommon_name`, `reorder_statement`).
        size: How many puzzles; by default all of the published split (100 test, 1,000 train, or 200 of two people),
            and endlessly many with a difficulty.
        task_seed: Seed of the generator; the published puzzles have 1234.
        split: `test` for the first hundred published puzzles, `train` for those after them.
        tools: Tools to offer; none by default.
        action_format: Name or instance of the wire language; `think_answer` by default.
        reward: Name or instance of what a trainer optimises. By default `logic_rl`, which reads the text of
            `think_answer`; `puzzle` under other formats, and for `random_pair`, whose roles have other names.
        prompt: `full` or `question`; for a format given by name.
        limits: Bounds of an episode.
        render_mode: `ansi` or None.

    Raises:
        InputError: If a file cannot be read, a row's solution is wrong, or an option is out of range.
    """

    family = "knights"
    thought = "Only one choice of roles makes each statement true or false as its speaker's role demands."

    def __init__(
        self,
        tasks: TaskSource | None = None,
        *,
        n_people: int | None = None,
        difficulty: Difficulty | None = None,
        perturbation: Perturbation | None = None,
        size: int | None = None,
        task_seed: int = SEED,
        split: Split = "train",
        tools: Sequence[ToolLike] | None = None,
        action_format: str | ActionFormat | None = None,
        reward: RewardSpec | None = None,
        prompt: PromptStyle = "full",
        limits: LimitsChoice = None,
        render_mode: str | None = None,
    ) -> None:
        if difficulty is not None and (n_people is not None or perturbation is not None):
            raise InputError("difficulty chooses the people and the statements; give no n_people and no perturbation")
        if tasks is not None and (n_people, difficulty, perturbation) != (None, None, None):
            raise InputError("n_people, difficulty and perturbation are for generated puzzles; tasks have their own")
        if tasks is None:
            if difficulty is None:
                tasks = published_puzzles(3 if n_people is None else n_people, split, size, task_seed, perturbation)
            else:
                tasks = self.generate(difficulty, size, task_seed, split)
        if reward is None:
            wire = pick_format(action_format or self.default_format, prompt)
            reward = "logic_rl" if wire.name == "think_answer" and perturbation != "random_pair" else "puzzle"
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
        if self.reward_function.name == "logic_rl" and any(map(_is_renamed, islice(self.tasks, _PROBED))):
            raise InputError("the reward 'logic_rl' reads knights and knaves, which these puzzles rename; use 'puzzle'")

    @classmethod
    def make(cls, seed: int, index: int, difficulty: float) -> Task:
        """A puzzle of two to eight people."""
        n_people, depth = level(difficulty, 2, 8), 2 if difficulty < _DEEP else 3
        puzzle = Sampler(n_people, seed, index, depth=depth).next()
        if puzzle is None:  # about one draw in four has a single solution
            raise RuntimeError(f"no puzzle of {n_people} people was found for seed {seed}, index {index}")
        return _puzzle_task(puzzle, word_puzzle(puzzle.statements, puzzle.solution, (seed + 1 << 40) + index))

    @classmethod
    def verify(cls, answer: str, task: Task) -> bool:
        """Whether every person's role is right, by the rule of the published reward (`read_roles`)."""
        from ..rewards import read_roles

        solution = task.metadata["solution"]
        return bool(read_roles(_in_knights(answer, task), solution) == solution)

    @classmethod
    def partial_credit(cls, answer: str, task: Task) -> float:
        """The share of the persons whose role is right; each is read alone, in a clause that names one role."""
        from ..rewards import read_roles

        if cls.verify(answer, task):
            return 1.0
        solution: dict[str, bool] = task.metadata["solution"]
        roles: dict[str, bool] = {}
        for clause in re.split(r"[\n,;]", _in_knights(answer[:_LONGEST_READ], task))[:_MOST_CLAUSES]:
            for name in solution.keys() - roles.keys():
                roles.update(read_roles(clause, [name]) or {} if name in clause else {})
        right = sum(roles.get(name) is knight for name, knight in solution.items())
        return min(right / len(solution), MOST_UNSOLVED)

    @classmethod
    def guess_chance(cls, task: Task) -> float:
        """Each person is a knight or a knave: one in `2**n_people`."""
        return float(0.5 ** len(task.metadata["solution"]))

    @classmethod
    def task_from_row(cls, row: Mapping[str, Any], default_id: str) -> Task:
        """A task of a row in the form of the published data, perturbed or not.

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
        statements = None
        if row.get("statements") is not None:
            statements = _read_statements(row["statements"], task_id)
            found = solve(statements) if len(statements) == len(names) else []
            if found != [solution]:
                raise InputError(
                    f"puzzle {task_id!r}: its statements are solved by {found}, not by {solution} alone; correct it"
                )
        words = row.get("knight_knave") or {}
        roles = tuple(words.get(f"a_{role}", f"a {role}") for role in ("knight", "knave"))
        return _task(task_id, str(row["quiz"]), names, solution, roles, statements)

    def demonstrator(self, *, seed: int = 0) -> ScriptedPolicy:
        """Reasons step by step, in our words for the published synthetic chain of thought, and gives the solution.

        Args:
            seed: Unused; nothing is drawn.
        """

        def act(episode: Episode) -> str:
            return self.write_solution(_explain(episode.task) or self.thought, episode)

        return act


def published_puzzles(
    n_people: int = 3,
    split: Split = "train",
    size: int | None = None,
    seed: int = SEED,
    perturbation: Perturbation | None = None,
) -> TaskSet:
    """The puzzles of the published sequence, drawn as far as they are asked for.

    Puzzle `i` of a sequence needs those before it, so drawn puzzles are kept, a few kilobytes each. The puzzles that
    `statement` and `leaf` change are drawn all at once; those that could not be changed are left out.

    Args:
        n_people: From 2 to 16.
        split: `test` for the first hundred, `train` for those after them.
        size: How many; None for as many as were published.
        seed: The published puzzles have 1234.
        perturbation: The change, or None.

    Raises:
        InputError: If an option is unknown or out of range.
    """
    Sampler(n_people)
    if split not in get_args(Split) or perturbation not in (None, *get_args(Perturbation)):
        raise InputError(
            f"published puzzles have the splits 'train' and 'test' and the perturbations "
            f"{', '.join(get_args(Perturbation))}, not {split!r} and {perturbation!r}"
        )
    published = _TRAINING_PUZZLES.get(n_people, 1000)
    numbers: tuple[int, ...] = ()
    most = TEST_PUZZLES if split == "test" else published if n_people == 2 else _MOST_TRAINING_PUZZLES
    if perturbation in get_args(Change):
        changed = _perturbed(n_people, seed, perturbation)
        numbers = tuple(number for number in changed if (number < TEST_PUZZLES) == (split == "test"))
        most = len(numbers)
    count = min(most, TEST_PUZZLES if split == "test" else published) if size is None else size
    if not 1 <= count <= most:
        raise InputError(f"there are from 1 to {most} of these puzzles in the {split} split, not {count}")
    name = f"knights-{n_people}-{perturbation + '-' if perturbation else ''}{split}-{seed}"
    return TaskSet.generate(_Published(n_people, split, perturbation, numbers), count, seed, name)


@dataclass(frozen=True)
class _Published:
    """Makes the tasks of a published sequence; a class so that task sets can be pickled."""

    n_people: int
    split: Split
    perturbation: Perturbation | None
    numbers: tuple[int, ...]

    def __call__(self, seed: int, index: int) -> Task:
        if self.perturbation in get_args(Change):
            number = self.numbers[index]
            puzzle = _perturbed(self.n_people, seed, self.perturbation)[number]
            wording = word_puzzle(puzzle.statements, puzzle.solution, seed + number)
        else:
            number = index + (0 if self.split == "test" else TEST_PUZZLES)
            puzzle = _sequence(self.n_people, seed)[number]
            options = {} if self.perturbation is None else {self.perturbation: True}
            wording = word_puzzle(puzzle.statements, puzzle.solution, seed + number, **options)
        return _puzzle_task(puzzle, wording, number)


class _Sequence:
    """The puzzles of a sampler, drawn as far as they were asked for; several threads may ask."""

    def __init__(self, n_people: int, seed: int) -> None:
        self._sampler = Sampler(n_people, seed)
        self._puzzles: list[Puzzle] = []
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> Puzzle:
        with self._lock:
            while len(self._puzzles) <= number:
                puzzle = self._sampler.next()
                if puzzle is None:
                    raise InputError(
                        f"no further puzzle of {self._sampler.n_people} people was found after {len(self._puzzles)}; "
                        "ask for fewer, or for more people"
                    )
                self._puzzles.append(puzzle)
            return self._puzzles[number]


@lru_cache(maxsize=32)
def _sequence(n_people: int, seed: int) -> _Sequence:
    return _Sequence(n_people, seed)


@lru_cache(maxsize=8)
def _perturbed(n_people: int, seed: int, change: Any) -> Mapping[int, Puzzle]:
    """The published puzzles with one change, by their number; drawn in the published order."""
    sampler = Sampler(n_people, seed)
    puzzles = sampler.draw(TEST_PUZZLES + _TRAINING_PUZZLES.get(n_people, 1000))
    for kind in get_args(Change):
        changed = [sampler.perturb(puzzle, kind) for puzzle in puzzles]
        if kind == change:
            break
    return {number: found[0] for number, found in enumerate(changed) if found}


def _puzzle_task(puzzle: Puzzle, wording: Wording, number: int | None = None) -> Task:
    words = (wording.knight_knave["a_knight"], wording.knight_knave["a_knave"])
    return _task("", wording.quiz, wording.names, puzzle.solution, words, puzzle.statements, number)


def _task(
    task_id: str,
    quiz: str,
    names: Sequence[str],
    truthful: Sequence[bool],
    words: tuple[str, ...],
    statements: Statements | None,
    number: int | None = None,
) -> Task:
    """A task.

    `solution` in its metadata says who is called a knight, as the published reward reads it; where the words are
    exchanged these are the liars, and where they are others, those who tell the truth.
    """
    flipped = words == KNIGHT_AND_KNAVE[::-1]
    metadata: dict[str, Any] = {
        "names": list(names),
        "solution": {name: honest != flipped for name, honest in zip(names, truthful, strict=True)},
        "roles": list(words),
        "statements": None if statements is None else str(statements),
    }
    if number is not None:
        metadata["index"] = number
    sentence, lines = solution_texts(names, truthful, words)
    return Task(task_id, quiz, (lines, sentence), metadata)


def _is_renamed(task: Task) -> bool:
    """Whether the roles of a puzzle have other words than knight and knave."""
    return KNIGHT_AND_KNAVE[0] not in task.metadata.get("roles", KNIGHT_AND_KNAVE)


def _in_knights(answer: str, task: Task) -> str:
    """An answer with other words for the roles in terms of knights and knaves; unreadable if it has words of both."""
    if not _is_renamed(task):
        return answer
    words = task.metadata["roles"]
    foreign = {word.split()[1] for pair in (*PAIRS, KNIGHT_AND_KNAVE) for word in pair if word not in words}
    if re.search("|".join(sorted(foreign)), answer, re.IGNORECASE):
        return ""
    for word, known in zip(words, KNIGHT_AND_KNAVE, strict=True):
        answer = re.sub(rf"\ban?\s+{re.escape(word.split()[1])}\b", known, answer, flags=re.IGNORECASE)
    return answer


def _explain(task: Task) -> str:
    """The reasoning that solves a puzzle; empty where its statements are not known."""
    statements, words = task.metadata.get("statements"), task.metadata["roles"]
    if statements is None:
        return ""
    read = _read_statements(statements, task.id)
    return tell(reason(read), read, task.metadata["names"], role_words(*words))


def _read_statements(value: Any, task_id: str) -> Statements:
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise InputError(
                f"puzzle {task_id!r}: its statements are no tuple of statements: {value[:60]!r}"
            ) from error
    statements: Statements = _tuples(value)
    return statements


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
