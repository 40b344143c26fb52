"""Question answering with an encyclopaedia: search a page, look up words on it, finish."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..tools.base import ToolCall
from ..tools.errors import InputError
from .choices import commonest_share, pick_format
from .env import ScriptedPolicy, ToolEnv
from .episode import Episode, Limits
from .formats.base import ActionFormat, PromptStyle
from .reward import RewardFunction
from .search_policies import supporting_titles, true_answer
from .search_qa import SearchQAEnv
from .sources import TaskSource, load_tasks
from .task import Task
from .world import TEXT, World, shared_world

if TYPE_CHECKING:
    from ..tools import PageStore
    from ..tools.retrievers import Corpus

MAX_TURNS = 7
"""Actions that the paper allows for HotpotQA."""


class ReActQAEnv(ToolEnv):
    """Answers questions from pages of an offline encyclopaedia, as in ReAct (Yao et al. 2022).

    The pages are made from passages: those with the same title are one page.

    Args:
        tasks: None or a `World` for generated questions; otherwise rows as for `SearchQAEnv`, or a `TaskSet`.
        corpus: A `Corpus`, the path of one, or a `PageStore`. The world's own by default; rows need one.
        action_format: Name or instance of the wire language.
        reward: Name or instance of what a trainer optimises.
        prompt: `full` or `question`; for a format given by name.
        split: Which split of the world, folder or data set.
        hops: Facts per generated question, from 1 to 4.
        size: How many questions are generated.
        task_seed: Which questions are generated.
        world_seed: Which world is generated.
        limits: Bounds of an episode; seven turns by default.
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
        reward: str | RewardFunction = "react",
        prompt: PromptStyle = "full",
        split: str = "train",
        hops: int = 2,
        size: int = 500,
        task_seed: int = 0,
        world_seed: int = 0,
        limits: Limits | None = None,
        render_mode: str | None = None,
    ) -> None:
        from ..tools import WikiTool

        world = shared_world(world_seed) if tasks is None else tasks if isinstance(tasks, World) else None
        if world is not None:
            loaded = world.tasks(split, hops, size, task_seed)
        else:
            assert not isinstance(tasks, World) and tasks is not None
            loaded = load_tasks(tasks, self.task_from_row, split)
        super().__init__(
            loaded,
            [WikiTool(_make_pages(corpus, world))],
            action_format=pick_format(action_format, prompt),
            reward=reward,
            limits=limits or Limits(max_turns=MAX_TURNS),
            render_mode=render_mode,
        )
        self.guess_rate = commonest_share(loaded)

    @staticmethod
    def task_from_row(row: Mapping[str, Any], default_id: str) -> Task:
        """A task of a row, read as `SearchQAEnv` reads it."""
        return SearchQAEnv.task_from_row(row, default_id)

    def oracle(self) -> ScriptedPolicy:
        """Opens the page of every person or supporting title in turn, looks up what the page's head does not show."""
        return self._solve

    def _solve(self, episode: Episode) -> str:
        if "chain" in episode.task.metadata:
            return self._follow(episode)
        turn = len(episode.turns) + 1
        titles = supporting_titles(episode.task)
        if self.limits.max_turns is not None:
            titles = titles[: self.limits.max_turns - 1]
        if turn <= len(titles):
            thought = f"I need to read about {titles[turn - 1]}."
            return self.action_format.write_call(thought, self._call("search", titles[turn - 1]), turn)
        return self.action_format.write_answer("I know enough to answer.", true_answer(episode.task), turn)

    def _follow(self, episode: Episode) -> str:
        """The next action along a chain of facts; what was read so far tells where it stands."""
        turn = len(episode.turns) + 1
        read = "".join(past.observation for past in episode.turns)
        last = _last_call(episode)
        learned = ""
        for subject, relation, object_ in episode.task.metadata["chain"]:
            fact = TEXT.format(relation=relation, subject=subject, object=object_)
            if fact in read:
                learned = fact
                continue
            if last != ("search", subject):
                thought = f"{learned} I need the {relation} of {subject}.".strip()
                return self.action_format.write_call(thought, self._call("search", subject), turn)
            thought = f"The head of the page does not tell the {relation}; I look it up."
            return self.action_format.write_call(thought, self._call("lookup", f"{relation} of {subject}"), turn)
        return self.action_format.write_answer(learned, true_answer(episode.task), turn)

    def _call(self, name: str, text: str) -> ToolCall:
        function = next(function for function in self.tools[0].functions if function.name == name)
        (parameter,) = function.parameters["properties"]
        return ToolCall(name, {parameter: text})


def _last_call(episode: Episode) -> tuple[str, Any] | None:
    if not episode.turns or not episode.turns[-1].parsed.calls:
        return None
    call = episode.turns[-1].parsed.calls[-1]
    return call.name, next(iter(call.arguments.values()), None)


def _make_pages(corpus: Corpus | PageStore | str | Path | None, world: World | None) -> PageStore:
    from ..tools import PageStore

    if isinstance(corpus, PageStore):
        return corpus
    if isinstance(corpus, str | Path):
        path = Path(corpus).resolve()
        return _pages_of_file(path, path.stat().st_mtime_ns if path.exists() else 0)
    if corpus is None and world is None:
        raise InputError("rows need pages to read: give corpus=PATH, a Corpus or a PageStore")
    if corpus is None:
        assert world is not None
        return _pages_of_world(world)
    return PageStore.from_corpus(corpus)


@lru_cache(maxsize=4)
def _pages_of_world(world: World) -> PageStore:
    from ..tools import PageStore

    return PageStore.from_corpus(world.corpus())


@lru_cache(maxsize=2)
def _pages_of_file(path: Path, modified: int) -> PageStore:
    """The pages of a corpus file, made once per process and state of the file."""
    from ..tools import PageStore
    from ..tools.retrievers import Corpus

    assert modified >= 0
    return PageStore.from_corpus(Corpus.from_jsonl(path))
