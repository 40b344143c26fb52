"""Question answering with a search tool: over a generated world, or over rows and a corpus of your own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tools.base import ToolCall
from ..tools.errors import InputError
from .choices import commonest_share, pick_format
from .env import ScriptedPolicy, ToolEnv
from .formats.base import ActionFormat, PromptStyle
from .limits import LimitsChoice
from .reward import RewardSpec
from .search_policies import RowPolicy, WorldPolicy
from .sources import TaskSource, load_tasks
from .task import Task, TaskSet
from .world import World, shared_world

if TYPE_CHECKING:
    from ..tools.retrievers import Corpus, Retriever, ScoredPassage


class SearchQAEnv(ToolEnv):
    """Answers questions by searching passages.

    Without arguments the tasks are multi-hop questions about a generated world, which is its own corpus.

    Args:
        tasks: None or a `World` for generated questions; otherwise rows (a path, `hf:org/name`, an iterable of
            mappings) with `question`, `answers` (or `golden_answers`, or `answer`) and, if known, `supporting_pids`
            and `supporting` titles; or a `TaskSet`.
        corpus: What is searched: a `Corpus` or the path of one. The world's own by default; rows need one.
        action_format: Name or instance of the wire language.
        reward: Name or instance of what a trainer optimises.
        prompt: `full` or `question`; for a format given by name.
        k: Passages per search.
        split: Which split of the world, folder or data set.
        hops: Facts per generated question, from 1 to 4.
        size: How many questions are generated.
        task_seed: Which questions are generated.
        world_seed: Which world is generated.
        retriever: A retriever to search instead of a BM25 index over `corpus`: an object, an index folder made by
            `toolgym index`, or the address of a server.
        empty_corpus: Search finds nothing: the control experiment that shows what search is worth.
        shuffle_answers: A seed; the accepted answers are exchanged between the tasks, while the oracle still knows
            the true ones. Nothing can be learned from such tasks: a control experiment.
        limits: Bounds of an episode.
        render_mode: `ansi` or None.

    Raises:
        InputError: If the options do not fit together or a file cannot be read.
    """

    def __init__(
        self,
        tasks: TaskSource | World | None = None,
        corpus: Corpus | str | Path | None = None,
        *,
        action_format: str | ActionFormat = "search_r1",
        reward: RewardSpec = "exact_match",
        prompt: PromptStyle = "full",
        k: int = 3,
        split: str = "train",
        hops: int = 2,
        size: int = 500,
        task_seed: int = 0,
        world_seed: int = 0,
        retriever: Retriever | str | Path | None = None,
        empty_corpus: bool = False,
        shuffle_answers: int | None = None,
        limits: LimitsChoice = None,
        render_mode: str | None = None,
    ) -> None:
        from ..tools import SearchTool

        if empty_corpus + (corpus is not None) + (retriever is not None) > 1:
            raise InputError("corpus, retriever and empty_corpus exclude each other; give one of them")
        world = shared_world(world_seed) if tasks is None else tasks if isinstance(tasks, World) else None
        if world is not None:
            loaded = world.tasks(split, hops, size, task_seed)
        else:
            assert not isinstance(tasks, World) and tasks is not None
            loaded = load_tasks(tasks, self.task_from_row, split)
        if shuffle_answers is not None:
            loaded = _shuffle_answers(loaded, shuffle_answers)
        self.world = world
        self.retriever = _make_retriever(corpus if retriever is None else retriever, world, empty_corpus)
        super().__init__(
            loaded,
            [SearchTool(self.retriever, k=k)],
            action_format=pick_format(action_format, prompt),
            reward=reward,
            limits=limits,
            render_mode=render_mode,
        )
        self.guess_rate = commonest_share(loaded)

    @staticmethod
    def task_from_row(row: Mapping[str, Any], default_id: str) -> Task:
        """A task of a row with `question` and answers.

        Raises:
            KeyError: If the question or the answers are missing.
            InputError: If there is no answer or it is neither text nor number.
        """
        task_id = str(row.get("id", default_id))
        key = next((key for key in ("answers", "golden_answers") if key in row), "answer")
        value = row[key]
        answers = tuple(value) if isinstance(value, list | tuple | np.ndarray) else (value,)
        if not answers or not all(
            isinstance(answer, str | int | float) and not isinstance(answer, bool) for answer in answers
        ):
            raise InputError(f"task {task_id!r}: {key!r} must hold at least one text or number, not {value!r}")
        metadata = {name: row[name] for name in ("supporting", "type", "level", "hops") if name in row}
        if "supporting_pids" in row:
            metadata["gold_passages"] = list(row["supporting_pids"])
        return Task(task_id, str(row["question"]), tuple(map(str, answers)), metadata)

    @classmethod
    def scoring_options(cls, tasks: TaskSet) -> dict[str, Any]:
        """No corpus is read, and answers that were exchanged stay as they are."""
        nothing = {"corpus": None, "retriever": None, "empty_corpus": True}
        return {"tasks": tasks, "shuffle_answers": None, **nothing}

    def oracle(self) -> ScriptedPolicy:
        """Searches what the task needs, hop by hop where the hops are known, and gives the true answer."""
        return self._policy(knows=True)

    def demonstrator(self, stop_early: float = 0.0, finishes: Sequence[str] = (), seed: int = 0) -> ScriptedPolicy:
        """An expert to imitate: like the oracle, but it says only what the question and the passages told it.

        Where a search does not bring the fact that it needs, it answers `unknown`.

        Args:
            stop_early: Share of the tasks in which it stops after the first of several hops and answers with what
                that found: a mistake for reinforcement learning to undo.
            finishes: Relations that it can always follow: questions whose last hop is one of them are never left.
            seed: Decides, with the task's id, which tasks those are.

        Raises:
            InputError: If the share is out of range, the world has no such relation, or the tasks do not say what their
                hops are.
        """
        if not 0 <= stop_early <= 1:
            raise InputError(f"stop_early is a share from 0 to 1, not {stop_early}")
        if stop_early and "chain" not in self.tasks[0].metadata:
            raise InputError(f"stop_early needs tasks with known hops; those of {self.tasks.name!r} have none")
        unknown = [relation for relation in finishes if self.world is not None and relation not in self.world.relations]
        if self.world is not None and unknown:
            raise InputError(f"finishes: the world has the relations {list(self.world.relations)}, not {unknown}")
        return self._policy(knows=False, stop_early=stop_early, seed=seed, finishes=finishes)

    def _policy(
        self, knows: bool, stop_early: float = 0.0, seed: int = 0, finishes: Sequence[str] = ()
    ) -> ScriptedPolicy:
        rows = RowPolicy(self.action_format, self._search, self.limits.max_turns)
        hops = WorldPolicy(self.action_format, self._search, knows, stop_early, seed, finishes)
        return lambda episode: hops(episode) if "chain" in episode.task.metadata else rows(episode)

    def _search(self, query: str) -> ToolCall:
        return ToolCall(self.tools[0].functions[0].name, {"query": query})

    def retrieval_recall(self, ks: Sequence[int] = (5, 10), limit: int | None = None) -> dict[str, float]:
        """Mean share of the gold passages among the first k results, with the question as query.

        Args:
            ks: At which ranks.
            limit: Only this many tasks, from the first.

        Raises:
            InputError: If no task knows its gold passages.
        """
        tasks = [task for task in self.tasks if task.metadata.get("gold_passages")][:limit]
        if not tasks:
            raise InputError(f"{self.tasks.name}: no task has gold passages (supporting_pids)")
        totals = dict.fromkeys(ks, 0.0)
        for task in tasks:
            gold = set(task.metadata["gold_passages"])
            found = [hit.passage.id for hit in self.retriever.search(task.question, max(ks))]
            for k in ks:
                totals[k] += len(gold.intersection(found[:k])) / len(gold)
        return {f"recall@{k}": total / len(tasks) for k, total in totals.items()}


class EmptyRetriever:
    """Finds nothing."""

    def search(self, query: str, k: int) -> list[ScoredPassage]:
        """No passage."""
        return []

    def search_batch(self, queries: Sequence[str], k: int) -> list[list[ScoredPassage]]:
        """No passage for any query."""
        return [[] for _ in queries]


def _make_retriever(source: Corpus | Retriever | str | Path | None, world: World | None, empty: bool) -> Retriever:
    from ..tools.retrievers import BM25Retriever, Corpus, open_retriever

    if empty:
        return EmptyRetriever()
    if isinstance(source, str | Path):
        return open_retriever(source)
    if source is None and world is None:
        raise InputError("rows need something to search: give corpus=PATH, retriever=..., or empty_corpus=True")
    if source is None:
        assert world is not None
        return _indexed_world(world)
    return BM25Retriever(source) if isinstance(source, Corpus) else source


@lru_cache(maxsize=4)
def _indexed_world(world: World) -> Retriever:
    from ..tools.retrievers import BM25Retriever

    return BM25Retriever(world.corpus())


def _shuffle_answers(tasks: TaskSet, seed: int) -> TaskSet:
    order = [int(index) for index in np.random.default_rng([seed, 3]).permutation(len(tasks))]
    giver = dict(zip(order, order[1:] + order[:1], strict=True))  # one cycle: no task keeps its own answers
    shuffled = (
        replace(task, answers=tasks[giver[index]].answers, metadata={**task.metadata, "true_answers": task.answers})
        for index, task in enumerate(tasks)
    )
    return TaskSet(shuffled, f"{tasks.name}-shuffled")
