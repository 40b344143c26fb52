"""Scripted policies that answer questions by searching: oracles and demonstrators."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from ..tools.base import ToolCall
from .episode import Episode
from .formats.base import ActionFormat
from .task import Task
from .world import TEXT

MakeSearch = Callable[[str], ToolCall]
"""Makes the call that searches for a text."""


class WorldPolicy:
    """Follows a chain of facts hop by hop, with thoughts that name the plan.

    Its state is the episode, so that it may be asked at any turn of any fork.

    Args:
        action_format: How actions are written.
        search: Makes the call for a query.
        knows: Whether it goes on with a fact that no search has shown; otherwise it then answers `unknown`.
        stop_early: Share of the tasks that it leaves after the first of several hops.
        seed: Decides, with the task's id, which tasks those are.
        finishes: Last relations whose questions it never leaves early.
    """

    def __init__(
        self,
        action_format: ActionFormat,
        search: MakeSearch,
        knows: bool = True,
        stop_early: float = 0.0,
        seed: int = 0,
        finishes: Sequence[str] = (),
    ) -> None:
        self._format = action_format
        self._search = search
        self._knows = knows
        self._stop_early = stop_early
        self._seed = seed
        self._finishes = frozenset(finishes)

    def __call__(self, episode: Episode) -> str:
        """The next action."""
        chain: list[list[str]] = episode.task.metadata["chain"]
        if chain[-1][1] not in self._finishes and stops_early(episode.task, self._stop_early, self._seed):
            chain = chain[:1]
        turn = len(episode.turns) + 1
        # Where a limit cuts its actions off it is asked again: it has nothing to add after its last step.
        done = min(turn - 1, len(chain))
        learned = ""
        if done:
            subject, relation, object_ = chain[done - 1]
            learned = TEXT.format(relation=relation, subject=subject, object=object_)
            if not self._knows and learned not in episode.turns[-1].observation:
                return self._format.write_answer(f"I do not find the {relation} of {subject}.", "unknown", turn)
        if done == len(chain):
            return self._format.write_answer(learned, chain[-1][2], turn)
        subject, relation, _ = chain[done]
        thought = f"{learned} I need the {relation} of {subject}.".strip()
        return self._format.write_call(thought, self._search(f"{relation} of {subject}"), turn)


class RowPolicy:
    """Searches the question, then the titles of the supporting passages if they are known, and gives the answer.

    Args:
        action_format: How actions are written.
        search: Makes the call for a query.
        max_turns: The episode's bound; titles that do not fit are left out.
    """

    def __init__(self, action_format: ActionFormat, search: MakeSearch, max_turns: int | None) -> None:
        self._format = action_format
        self._search = search
        self._max_turns = max_turns

    def __call__(self, episode: Episode) -> str:
        """The next action."""
        task = episode.task
        queries = [task.question, *supporting_titles(task)]
        if self._max_turns is not None:
            queries = queries[: self._max_turns - 1]
        done = len(episode.turns)
        if done < len(queries):
            thought = f"I need to find out about {queries[done]}." if done else "I start with the question itself."
            return self._format.write_call(thought, self._search(queries[done]), done + 1)
        return self._format.write_answer("I know enough to answer.", true_answer(task), done + 1)


def true_answer(task: Task) -> str:
    """The first true answer, also where the accepted answers were exchanged between tasks."""
    answers: tuple[str, ...] = task.metadata.get("true_answers", task.answers)
    return answers[0]


def supporting_titles(task: Task) -> list[str]:
    """Titles of the supporting passages, each once; empty where they are not known."""
    titles: Any = task.metadata.get("supporting", ())
    return list(dict.fromkeys(str(title) for title in titles))


def stops_early(task: Task, share: float, seed: int) -> bool:
    """Whether a task belongs to the share that is left after the first hop; it hangs on its id and the seed alone."""
    digest = hashlib.sha256(f"{seed}/{task.id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share
