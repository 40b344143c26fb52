"""Pieces of work on threads, or at once where that is quicker."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

WORTH_A_THREAD = 1e-3
"""Seconds after which a piece of work counts as one that waits for something. Handing it to a thread costs about 50
microseconds, and one that computes gains nothing there."""
_PATIENCE = 2
"""Rounds that go to threads after one in which that paid."""


class Crew:
    """Does one piece of work at a time for each of several places. What it returns does not depend on how.

    Args:
        workers: Threads.
    """

    def __init__(self, workers: int) -> None:
        self.busy: set[int] = set()
        """Places whose result was not taken yet."""
        self._workers = workers
        self._pool: ThreadPoolExecutor | None = None
        self._done: queue.SimpleQueue[tuple[int, Any, bool]] = queue.SimpleQueue()
        self._on_threads: dict[str, int] = {}

    def send(self, works: Mapping[int, Callable[[], Any]]) -> None:
        """Begins the work of some places, on threads; none of them is busy."""
        if self._pool is None:
            if not works:
                return
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="environment")
        for place, work in works.items():
            self.busy.add(place)
            self._pool.submit(self._run, place, work)

    def do(self, works: Mapping[int, Callable[[], Any]], kind: str) -> dict[int, Any]:
        """Does the work of some places, while no other is busy.

        The first round of a kind of work goes to threads, all but one piece of it, and so does every round soon after
        one in which several pieces took long. The others stay on the caller's thread; when a piece takes long there
        after all, those that come after it go to threads.

        Args:
            works: The work by its place.
            kind: What kind of work it is.

        Returns:
            The results, in the order of the works.

        Raises:
            BaseException: What a piece of work raised, with a note of its place; the others were done by then.
        """
        left = self._on_threads.get(kind, 1)
        pieces = list(works.items())
        here = 1 if left else len(pieces)
        self.send(dict(pieces[here:]))
        results: dict[int, Any] = {}
        slow = 0
        for place, work in pieces[:here]:
            results[place], took_long = _done(work)
            if took_long:
                slow += 1
                self.send(dict(pieces[len(results) : here]))
                break
        while len(results) < len(works):
            place, results[place], took_long = self._done.get()
            self.busy.discard(place)
            slow += took_long
        # One that takes long is waited for either way; it is the second that a thread spares.
        self._on_threads[kind] = _PATIENCE if slow > 1 else max(left - 1, 0)
        return {place: _unless_raised(place, results[place]) for place in works}

    def receive(self, timeout: float | None) -> dict[int, Any]:
        """The results that are there, of which there is at least one; none after the timeout.

        Raises:
            BaseException: What a piece of work raised, with a note of its place; other results stay for the next call.
        """
        results: dict[int, Any] = {}
        while not results or not self._done.empty():
            try:
                place, result, slow = self._done.get(timeout=None if results else timeout)
            except queue.Empty:
                break
            if results and isinstance(result, BaseException):
                self._done.put((place, result, slow))
                break
            self.busy.discard(place)
            results[place] = _unless_raised(place, result)
        return results

    def close(self) -> None:
        """Waits for the work that has begun."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, place: int, work: Callable[[], Any]) -> None:
        """Does a piece of work, on a thread of the pool."""
        self._done.put((place, *_done(work)))


def _done(work: Callable[[], Any]) -> tuple[Any, bool]:
    """What a piece of work returns or raises, and whether it took so long that the like is worth a thread."""
    result: Any
    start = time.perf_counter()
    try:
        result = work()
    except BaseException as error:  # handed to whoever takes the result
        result = error
    return result, time.perf_counter() - start > WORTH_A_THREAD


def _unless_raised(place: int, result: Any) -> Any:
    if isinstance(result, BaseException):
        result.add_note(f"in environment {place} of the vector")
        raise result
    return result
