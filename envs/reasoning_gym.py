"""All data sets of reasoning-gym, through one bridge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType
from typing import Any

from ..tools.adapters import ToolLike
from ..tools.errors import InputError
from ..tools.sandbox.layers import Isolation, check_isolation
from ..tools.sandbox.report import require
from .episode import Episode
from .formats.base import ActionFormat, PromptStyle
from .limits import LimitsChoice
from .puzzles.base import Judgement, PuzzleEnv
from .reasoning_gym_scores import credit, solutions
from .reasoning_gym_sets import RUNS_PROGRAMS, Entry, Source, item, levels, source
from .reward import RewardFunction, RewardSpec
from .sources import TaskSource
from .task import Task, TaskSet

Config = Mapping[str, Any]
Dataset = str | Sequence[str] | Mapping[str, float]

GUESS_RATES: Mapping[str, float] = MappingProxyType(
    {
        "acre": 0.5,
        "aiw": 0.25,
        "binary_alternation": 0.22,
        "calendar_arithmetic": 0.12,
        "circuit_logic": 0.65,
        "coin_flip": 0.08,
        "color_cube_rotation": 0.2,
        "count_bits": 0.16,
        "course_schedule": 0.55,
        "family_relationships": 0.2,
        "game_of_life": 0.16,
        "game_of_life_halting": 0.55,
        "gcd": 0.36,
        "graph_color": 0.1,
        "isomorphic_strings": 0.55,
        "jugs": 0.06,
        "knights_knaves": 0.3,
        "largest_island": 0.22,
        "letter_counting": 0.4,
        "list_functions": 0.1,
        "mahjong_puzzle": 0.4,
        "manipulate_matrix": 0.08,
        "maze": 0.36,
        "number_sequence": 0.17,
        "polynomial_equations": 0.25,
        "power_function": 0.11,
        "propositional_logic": 0.87,
        "quantum_lock": 0.1,
        "ransom_note": 0.6,
        "rectangle_count": 0.15,
        "rotten_oranges": 0.36,
        "self_reference": 0.4,
        "shortest_path": 0.4,
        "syllogism": 0.77,
        "tower_of_hanoi": 0.1,
        "zebra_puzzles": 0.4,
    }
)
"""What the best constant answer scores at the default configurations of reasoning-gym 0.1.25 (400 items), rounded up.

Many conclusions follow from most premises: `(P ∨ Q)` is right for 84 % of the items of `propositional_logic`.
"""
_USUAL_GUESS_RATE = 0.05


class ReasoningGymEnv(PuzzleEnv):
    """Solves the items of a data set of reasoning-gym (Stojanovski et al. 2025, arXiv 2505.24760), or of a mixture.

    Item `i` of a data set is reasoning-gym's own: `create_dataset(dataset, seed=task_seed, size=size, **config)[i]`. It
    draws from `task_seed + i` there, so that the items of neighbouring seeds overlap: seeds of sets that shall have
    nothing in common must lie `size` apart. A mixture is reasoning-gym's composite of the same data sets and weights.

    The score is 1 for what `score_answer` gives full marks, and 0 for less; what it gives otherwise is the partial
    credit. `credit` says where the bridge is stricter.

    Args:
        tasks: None for items of reasoning-gym; otherwise rows in the form of a generated task, or a `TaskSet`.
        dataset: The name of a data set, several names, or names with weights; `composite` with a `config` as
            reasoning-gym has it.
        config: Configuration of the data set; of several, configurations by name.
        difficulty: In [0, 1], a share of the levels of reasoning-gym's curricula; None leaves the configuration alone,
            and `config` goes before it.
        size: How many items; a few data sets draw them in the light of their number.
        task_seed: Seed of the data set.
        isolation: How programs are confined that a data set runs to make its items; `codeio` does.
        tools: As in `PuzzleEnv`.
        action_format: As in `PuzzleEnv`.
        reward: As in `PuzzleEnv`.
        prompt: As in `PuzzleEnv`.
        limits: As in `PuzzleEnv`.
        render_mode: As in `PuzzleEnv`.

    Raises:
        InputError: If reasoning-gym is not installed, it has no such data set, or it refuses the configuration.
    """

    family = "reasoning-gym"

    def __init__(
        self,
        tasks: TaskSource | None = None,
        *,
        dataset: Dataset = "chain_sum",
        config: Config | None = None,
        difficulty: float | None = None,
        size: int = 500,
        task_seed: int = 0,
        isolation: Isolation = "sandbox",
        tools: Sequence[ToolLike] | None = None,
        action_format: str | ActionFormat | None = None,
        reward: RewardSpec = "puzzle",
        prompt: PromptStyle = "full",
        limits: LimitsChoice = None,
        render_mode: str | None = None,
    ) -> None:
        self._parts: tuple[Source, ...] = ()
        if tasks is None:
            mixture = _mixture(dataset, config or {}, difficulty, size, task_seed, isolation)
            self._parts = mixture.parts
            if any(part.name in RUNS_PROGRAMS for part in self._parts):
                require(isolation)
            tasks = TaskSet.generate(mixture, size, task_seed, mixture.name(task_seed))
        super().__init__(
            tasks,
            tools=tools,
            action_format=action_format,
            reward=reward,
            prompt=prompt,
            limits=limits,
            render_mode=render_mode,
        )

    @classmethod
    def make(cls, seed: int, index: int, difficulty: float) -> Task:
        """An item of the default data set. Arguments as in `PuzzleEnv.make`."""
        options = {"seed": seed, "size": index + 1, **levels("chain_sum", difficulty)}
        part = source("chain_sum", options)
        return _task(part, item(part, index), difficulty)

    @classmethod
    def verify(cls, answer: str, task: Task) -> bool:
        """Whether reasoning-gym gives full marks, and rightly."""
        return cls.partial_credit(answer, task) == 1

    @classmethod
    def partial_credit(cls, answer: str, task: Task) -> float:
        """Reasoning-gym's own score, in [0, 1]. It may be as near to 1 as it likes for an answer that is not right."""
        facts = task.metadata
        entry = {"question": task.question, "answer": facts["answer"], "metadata": facts["item"]}
        return credit(Source(facts["dataset"], facts["config"]), entry, answer)

    @classmethod
    def judge(cls, episode: Episode) -> Judgement:
        """What the answer is worth."""
        worth = 0.0 if episode.answer is None else cls.partial_credit(episode.answer, episode.task)
        return Judgement(worth == 1, worth)

    @classmethod
    def rewards(cls) -> Mapping[str, RewardFunction]:
        """The rewards of all puzzles; the partial credit of a wrong answer has no ceiling below 1."""
        usual = super().rewards()
        return {**usual, "partial_credit": replace(usual["partial_credit"], wrong_ceiling=1.0)}

    @classmethod
    def guess_chance(cls, task: Task) -> float:
        """The share of the commonest answer in the data set."""
        return GUESS_RATES.get(task.metadata["dataset"], _USUAL_GUESS_RATE)

    def estimated_guess_rate(self, listed: bool) -> float:
        """The highest of the data sets' guess rates, without an item being made: some take seconds."""
        if not self._parts:
            return super().estimated_guess_rate(listed)
        chances = [GUESS_RATES.get(part.name, _USUAL_GUESS_RATE) for part in self._parts]
        return max(*chances, 1 / len(self.tasks))

    def solution(self, task: Task) -> str:
        """The right answer; nothing where reasoning-gym does not know one."""
        return task.answers[0] if task.answers else ""

    def write_solution(self, thought: str, episode: Episode) -> str:
        """The action that gives the solution. Its lines stay as they are: a format that cannot have them refuses it."""
        return self.action_format.write_answer(thought, self.solution(episode.task), len(episode.turns) + 1)

    def oracle_gap(self, task: Task) -> str:
        """Some items have no right answer to look up."""
        return "" if task.answers else f"reasoning-gym knows no answer to the items of {task.metadata['dataset']}"


@dataclass(frozen=True)
class _Mixture:
    """Makes the tasks of one data set or of several; a class so that task sets can be pickled."""

    parts: tuple[Source, ...]
    weights: tuple[float, ...]
    difficulty: float | None
    isolation: Isolation

    def __call__(self, seed: int, index: int) -> Task:
        part = self.parts[0]
        if len(self.parts) > 1:  # the draw of its CompositeDataset
            part = Random(seed + index).choices(self.parts, weights=self.weights, k=1)[0]
        return _task(part, item(part, index, self.isolation), self.difficulty)

    def name(self, seed: int) -> str:
        """The name of the task set."""
        sets = self.parts[0].name if len(self.parts) == 1 else f"mixture-of-{len(self.parts)}"
        level = "" if self.difficulty is None else f"-at-{self.difficulty:g}"
        return f"{sets}{level}-{seed}"


def _mixture(
    dataset: Dataset, config: Config, difficulty: float | None, size: int, seed: int, isolation: Isolation
) -> _Mixture:
    if difficulty is not None and not 0 <= difficulty <= 1:
        raise InputError(f"difficulty must be a number in [0, 1], or None, not {difficulty!r:.80}")
    if size < 1 or seed < 0:
        raise InputError(f"size must be at least 1 and task_seed at least 0, not {size} and {seed}")
    check_isolation(isolation)
    if dataset == "composite":
        dataset, config = _composite(config)
    if isinstance(dataset, str):
        options = {"seed": seed, "size": size, **_levels(dataset, difficulty), **config}
        return _Mixture((source(dataset, options),), (1.0,), difficulty, isolation)
    weights = dict(dataset) if isinstance(dataset, Mapping) else dict.fromkeys(dataset, 1.0)
    if not weights or len(weights) != len(dataset) or any(not weight > 0 for weight in weights.values()):
        raise InputError(f"a mixture has different data sets, with weights above 0, not {dataset!r:.200}")
    for name in config:
        if name not in weights:
            raise InputError(f"config has {name!r:.80}, which is none of the data sets {', '.join(weights)}")
    parts = []
    for place, name in enumerate(weights):
        # Seeds as in its CompositeDataset, so that the parts' items are those of a composite.
        usual = {"seed": seed + place + 1 if len(weights) > 1 else seed, "size": size}
        parts.append(source(name, {**usual, **_levels(name, difficulty), **config.get(name, {})}))
    return _Mixture(tuple(parts), tuple(map(float, weights.values())), difficulty, isolation)


def _composite(config: Config) -> tuple[Mapping[str, float], Config]:
    """The data sets of reasoning-gym's composite configuration."""
    try:
        parts = [
            (str(part["name"]), float(part["weight"]), dict(part.get("config", {}))) for part in config["datasets"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            "dataset 'composite' needs a config with its data sets, "
            f"{{'datasets': [{{'name': ..., 'weight': ..., 'config': ...}}]}}, not {config!r:.200}"
        ) from error
    return {name: weight for name, weight, _ in parts}, {name: part for name, _, part in parts}


def _levels(name: str, difficulty: float | None) -> dict[str, Any]:
    return {} if difficulty is None else levels(name, difficulty)


def _task(part: Source, entry: Entry, difficulty: float | None) -> Task:
    facts = {"dataset": part.name, "config": part.config, "answer": entry["answer"], "item": entry["metadata"]}
    if difficulty is not None:
        facts["difficulty"] = difficulty
    return Task("", str(entry["question"]), solutions(part, entry), facts)
