"""What all environments of the speed benchmark are asked to do.

The same tool functions, the same texts of actions, the same expected answer: the peers' interpreter reads this, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

QUESTION = "Who is the teacher of the mother of Clement Birch?"
ANSWER = "Rufus Atwater"
SEARCHING = "<think> I look it up. </think>\n<search> teacher of Clement Birch </search>"
ANSWERING = f"<think> There it is. </think>\n<answer> {ANSWER} </answer>"
CALLS = 2
"""Searches of an episode, before the answer."""
LATENCY = 0.2
"""Seconds that a slow tool takes."""
SIZES = (2, 4, 8, 16, 32, 64)
"""Environments whose slow tools are to overlap."""

_NAMES = ("Clement", "Rufus", "Birch", "Atwater", "Mother", "Teacher", "Friend", "Adela", "Quill", "Sorrel")
_PASSAGES = [
    (f"Passage {number}", f"{_NAMES[number % 10]} of {_NAMES[(number // 10) % 10]}".lower()) for number in range(160)
]


def lookup(query: str) -> str:
    """What a tool costs nothing to find."""
    return f'Doc 1(Title: "{query}") The {query} is {ANSWER}.'


def search(query: str) -> str:
    """The passages that hold most words of a query: what a tool that does something costs.

    Texts, not sets: the layout of a set is drawn anew in each process, and its speed with it.
    """
    words = query.lower().split()
    ranked = sorted(_PASSAGES, key=lambda passage: -sum(map(passage[1].__contains__, words)))[:3]
    return "\n".join(f'Doc {place}(Title: "{title}") {ANSWER}' for place, (title, _) in enumerate(ranked, start=1))


def nap(query: str) -> str:
    """Waits for a millisecond, as for a near server."""
    time.sleep(1e-3)
    return lookup(query)


def busy(query: str) -> str:
    """Computes for a millisecond."""
    end = time.perf_counter() + 1e-3
    while time.perf_counter() < end:
        pass
    return lookup(query)


def slow(query: str) -> str:
    """Waits for `LATENCY`, as for a far server."""
    time.sleep(LATENCY)
    return lookup(query)


TOOLS: dict[str, Callable[[str], str]] = {"lookup": lookup, "search": search}


def seconds_each(work: Callable[[], object], count: int) -> float:
    """Seconds that a piece of work takes, over `count` of them."""
    start = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - start) / count
