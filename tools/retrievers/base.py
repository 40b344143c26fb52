"""What a retriever is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from .corpus import Passage


@dataclass(frozen=True, slots=True)
class ScoredPassage:
    """A passage found for a query.

    Attributes:
        passage: The passage.
        score: How well it fits; higher is better, the scale is the retriever's own.
    """

    passage: Passage
    score: float


@runtime_checkable
class Retriever(Protocol):
    """Finds passages for queries. Must be deterministic and safe to use from several threads."""

    def search(self, query: str, k: int) -> list[ScoredPassage]:
        """The best passages for a query.

        Args:
            query: Any text.
            k: How many passages at most, at least 1.

        Returns:
            At most `k` passages, best first.
        """
        ...

    def search_batch(self, queries: Sequence[str], k: int) -> list[list[ScoredPassage]]:
        """As `search`, for several queries.

        Returns:
            One list per query, in order.
        """
        ...
