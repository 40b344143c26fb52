"""Scripted policies that answer from the pages of a wiki."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..tools.base import ToolCall
from ..tools.errors import InputError
from ..tools.wiki_pages import FIRST_SENTENCES, PageStore
from .env import ScriptedPolicy
from .episode import Episode
from .formats.base import ActionFormat
from .search_policies import supporting_titles, true_answer
from .task import Task
from .world import TEXT

Conclude = Callable[[Task, str, bool], tuple[str, str]]
"""Makes the last thought and the answer of a task, what was learned last, and whether its whole chain was read."""


class PagePolicy:
    """Opens the supporting pages in turn, as many as the turns allow, and gives the true answer.

    An answer that the format cannot express is missed, and `gap` says so.

    Args:
        action_format: How actions are written.
        max_turns: The episode's bound; pages that do not fit are left out.
    """

    def __init__(self, action_format: ActionFormat, max_turns: int | None) -> None:
        self._format = action_format
        self._max_turns = max_turns

    def titles(self, task: Task) -> list[str]:
        """The pages that it opens."""
        return supporting_titles(task)[: None if self._max_turns is None else self._max_turns - 1]

    def gap(self, task: Task, pages: PageStore) -> str:
        """What keeps the answer from being read first and given then, in a few words; empty where nothing does."""
        if not self._is_writable(task):
            return f"the answer cannot be written in the format {self._format.name!r}"
        titles = supporting_titles(task)
        if not titles:
            return "no supporting page is known"
        missing = [title for title in titles if pages.find(title) is None]
        if missing:
            return f"there is no page {missing[0]!r}"
        unclear = [title for title in titles if pages.is_disambiguation(pages.find(title) or title)]
        if unclear:
            return f"the page {unclear[0]!r} is one of disambiguation"
        left_out = len(titles) - len(self.titles(task))
        return f"{left_out} of {len(titles)} supporting pages do not fit into the turns" if left_out else ""

    def __call__(self, episode: Episode) -> str:
        """The next action."""
        turn, titles = len(episode.turns) + 1, self.titles(episode.task)
        if turn <= len(titles):
            thought = f"I need to read about {titles[turn - 1]}."
            return self._format.write_call(thought, search_call(titles[turn - 1]), turn)
        answer = true_answer(episode.task) if self._is_writable(episode.task) else "unknown"
        return self._format.write_answer("I know enough to answer.", answer, turn)

    def _is_writable(self, task: Task) -> bool:
        try:
            self._format.write_answer("I know enough to answer.", true_answer(task), 1)
        except InputError:
            return False
        return True


class ChainPolicy:
    """Follows a chain of facts from page to page; what was read so far tells where it stands.

    It opens the page of each person in turn. Where the head of a page does not tell a relation and may not be the
    whole page, it looks the relation up. A fact that is not on its page ends the search.

    Args:
        action_format: How actions are written.
        conclude: Makes the last thought and the answer.
    """

    def __init__(self, action_format: ActionFormat, conclude: Conclude) -> None:
        self._format = action_format
        self._conclude = conclude

    def __call__(self, episode: Episode) -> str:
        """The next action."""
        turn, task = len(episode.turns) + 1, episode.task
        read, last = "".join(past.observation for past in episode.turns), last_call(episode)
        learned = ""
        for subject, relation, object_ in task.metadata["chain"]:
            fact = TEXT.format(relation=relation, subject=subject, object=object_)
            if fact in read:
                learned = fact
                continue
            keyword = f"{relation} of {subject}"
            if last not in (("search", subject), ("lookup", keyword)):
                thought = f"{learned} I need the {keyword}.".strip()
                return self._format.write_call(thought, search_call(subject), turn)
            if last == ("search", subject) and read.count(f" of {subject} is ") >= FIRST_SENTENCES:
                thought = f"The head of the page does not tell the {relation}; I look it up."
                return self._format.write_call(thought, lookup_call(keyword), turn)
            return self._format.write_answer(*self._conclude(task, learned, False), turn)
        return self._format.write_answer(*self._conclude(task, learned, True), turn)


def chain_or_pages(chains: ChainPolicy, pages: PagePolicy) -> ScriptedPolicy:
    """Plays tasks whose chain of facts is known by the one, and others by the other."""
    return lambda episode: (chains if "chain" in episode.task.metadata else pages)(episode)


def search_call(entity: str) -> ToolCall:
    """The call that opens a page."""
    return ToolCall("search", {"entity": entity})


def lookup_call(keyword: str) -> ToolCall:
    """The call that looks a keyword up."""
    return ToolCall("lookup", {"keyword": keyword})


def last_call(episode: Episode) -> tuple[str, Any] | None:
    """Name and argument of the last call; None where the last action made none."""
    if not episode.turns or not episode.turns[-1].parsed.calls:
        return None
    call = episode.turns[-1].parsed.calls[-1]
    return call.name, next(iter(call.arguments.values()), None)
