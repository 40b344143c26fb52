"""Question answering with an encyclopaedia: search a page, look up words on it, finish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .choices import commonest_share, pick_format
from .env import ScriptedPolicy, ToolEnv
from .formats.base import ActionFormat, PromptStyle
from .limits import Limits, LimitsChoice
from .react_pages import empty_pages, make_pages, pages_of_world
from .react_paper import HOTPOTQA_ROWS, POSITION, Subset, choose_subset
from .react_policies import ChainPolicy, PagePolicy, chain_or_pages
from .reward import RewardSpec
from .search_policies import true_answer
from .search_qa import SearchQAEnv
from .sources import TaskSource, load_tasks
from .task import Task, TaskSet
from .world import World, shared_world

if TYPE_CHECKING:
    from ..tools import PageStore
    from ..tools.retrievers import Corpus

MAX_TURNS = 7
"""Actions that ReAct allows for HotpotQA."""


class ReActQAEnv(ToolEnv):
    """Answers questions from pages of an offline encyclopaedia, as in ReAct (Yao et al., arXiv 2210.03629).

    The pages are made from passages: those with the same title are one page. `WikiTool` says how they are read. The
    reward is exact match.

    Args:
        tasks: None or a `World` for generated questions; otherwise rows as for `SearchQAEnv`, or a `TaskSet`.
        corpus: A `Corpus`, the path of one, or a `PageStore`. The world's own by default; rows need one.
        action_format: Name or instance of the wire language.
        reward: Name or instance of what a trainer optimises.
        prompt: `full` or `question`; for a format given by name.
        split: Which split of the world, folder or data set.
        subset: `all`, or `paper` for the 500 questions on which the paper evaluates: `tasks` is then HotpotQA's whole
            development file in its order, or its rows tell their position in it (`dev_index`).
        hops: Facts per generated question, from 1 to 4.
        size: How many questions are generated.
        task_seed: Which questions are generated.
        world_seed: Which world is generated.
        limits: Bounds of an episode; seven turns by default. `published` adds the format's bounds in tokens.
        render_mode: `ansi` or None.

    Raises:
        InputError: If the options do not fit together or a file cannot be read.
    """

    def __init__(
        self,
        tasks: TaskSource | World | None = None,
        corpus: Corpus | PageStore | str | Path | None = None,
        *,
        action_format: str | ActionFormat = "react",
        reward: RewardSpec = "react",
        prompt: PromptStyle = "full",
        split: str = "train",
        subset: Subset = "all",
        hops: int = 2,
        size: int = 500,
        task_seed: int = 0,
        world_seed: int = 0,
        limits: LimitsChoice = None,
        render_mode: str | None = None,
    ) -> None:
        from ..tools import WikiTool

        world = shared_world(world_seed) if tasks is None else tasks if isinstance(tasks, World) else None
        if world is not None:
            loaded = world.tasks(split, hops, size, task_seed)
        else:
            assert not isinstance(tasks, World) and tasks is not None
            loaded = load_tasks(tasks, self.task_from_row, split)
        loaded = choose_subset(loaded, subset, HOTPOTQA_ROWS)
        wire = pick_format(action_format, prompt)
        self.pages = make_pages(corpus, world, pages_of_world)
        super().__init__(
            loaded,
            [WikiTool(self.pages)],
            action_format=wire,
            reward=reward,
            limits=turn_limits(limits, wire, MAX_TURNS),
            render_mode=render_mode,
        )
        self.guess_rate = commonest_share(loaded)

    @staticmethod
    def task_from_row(row: Mapping[str, Any], default_id: str) -> Task:
        """A task of a row, read as `SearchQAEnv` reads it; a `dev_index` is kept."""
        task = SearchQAEnv.task_from_row(row, default_id)
        if POSITION not in row:
            return task
        return replace(task, metadata={**task.metadata, POSITION: row[POSITION]})

    @classmethod
    def scoring_options(cls, tasks: TaskSet) -> dict[str, Any]:
        """No pages are read."""
        return {"tasks": tasks, "corpus": empty_pages(), "subset": "all"}

    def oracle(self) -> ScriptedPolicy:
        """Opens the page of every person or supporting title in turn, looks up what the page's head does not show."""

        def conclude(task: Task, learned: str, read: bool) -> tuple[str, str]:
            return learned if read else "I do not find it.", true_answer(task)

        return chain_or_pages(
            ChainPolicy(self.action_format, conclude), PagePolicy(self.action_format, self.limits.max_turns)
        )

    def oracle_gap(self, task: Task) -> str:
        """Pages that are unknown, missing or too many for the turns, or an answer that the format cannot express."""
        if "chain" in task.metadata:
            return ""
        return PagePolicy(self.action_format, self.limits.max_turns).gap(task, self.pages)


def turn_limits(limits: LimitsChoice, action_format: ActionFormat, max_turns: int) -> LimitsChoice:
    """The limits that are given, or else those of the format with the paper's number of turns.

    Args:
        limits: `Limits` are taken as they are.
        action_format: Where the other bounds come from.
        max_turns: Actions that the paper allows.
    """
    if isinstance(limits, Limits):
        return limits
    published = action_format.limits if limits == "published" else action_format.limits.of_environment()
    return replace(published, max_turns=max_turns) if limits in (None, "published") else limits
