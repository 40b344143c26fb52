"""The titles nearest to a name, misspelt names included."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

LONGEST_QUERY = 300
"""Characters of a query that are read; MediaWiki refuses longer searches. Titles end long before."""

_SIGNS = re.compile(r"[^\w]+")
_CHARACTER_BITS = 21  # Unicode ends at 0x10FFFF, so that three characters fit into 63 bits


def fold_title(title: str) -> str:
    """A title without what MediaWiki's search overlooks: case, spaces, underscores, Unicode's form."""
    if not title.isascii():
        title = unicodedata.normalize("NFC", title)
    return " ".join(title.casefold().replace("_", " ").split())


class TitleIndex:
    """Titles in memory, ranked by the cosine of their character trigrams, each weighted by how rare it is.

    A trigram counts once per title and weighs `log(1 + titles / titles with it)`. Case, accents and signs are
    overlooked (but in titles that are nothing but signs). The order is the same on every run: scores are rounded to
    nine decimals, and among equals the earlier title comes first.

    Args:
        titles: The titles; at least one.
    """

    def __init__(self, titles: Sequence[str]) -> None:
        self._count = len(titles)
        grams, owners = _grams([_bare(title) for title in titles])
        order = np.argsort(grams, kind="stable")  # by trigram, and within one by title
        grams, owners = grams[order], owners[order]
        once = _changes(grams) | _changes(owners)
        grams, self._owners = grams[once], owners[once]
        firsts = np.flatnonzero(_changes(grams))
        self._vocabulary = grams[firsts]
        self._starts = np.append(firsts, len(grams))
        frequencies = np.diff(self._starts)
        self._weights = np.log1p(self._count / frequencies) ** 2
        squares = np.bincount(self._owners, np.repeat(self._weights, frequencies), self._count)
        self._lengths = np.sqrt(np.where(squares > 0, squares, 1.0))

    def nearest(self, text: str, k: int) -> list[int]:
        """Positions of the nearest titles, the nearest first.

        There are always `k` of them, or all titles if there are fewer: titles that have nothing in common with the
        text follow those that have.

        Args:
            text: Any text; what exceeds `LONGEST_QUERY` is not read.
            k: How many, at least 1.
        """
        grams, _ = _grams([_bare(text[:LONGEST_QUERY])])
        wanted = np.unique(grams)
        places = np.searchsorted(self._vocabulary, wanted)
        known = places < len(self._vocabulary)
        places = places[known][self._vocabulary[places[known]] == wanted[known]]
        scores = self._scores(places)
        if k < self._count:
            candidates = np.flatnonzero(scores >= np.partition(scores, self._count - k)[self._count - k])
        else:
            candidates = np.arange(self._count)
        order = candidates[np.argsort(-scores[candidates], kind="stable")]
        return [int(position) for position in order[:k]]

    def _scores(self, places: np.ndarray) -> np.ndarray:
        if not len(places):
            return np.zeros(self._count)
        spans = [slice(self._starts[place], self._starts[place + 1]) for place in places]
        owners = np.concatenate([self._owners[span] for span in spans])
        weights = np.repeat(self._weights[places], [span.stop - span.start for span in spans])
        # The query's own length is the same for all titles.
        scores: np.ndarray = np.round(np.bincount(owners, weights, self._count) / self._lengths, 9)
        return scores


def _bare(title: str) -> str:
    """Folded words between single spaces, without accents and signs."""
    folded = fold_title(title)
    if not folded.isascii():
        apart = unicodedata.normalize("NFKD", folded)
        folded = "".join(character for character in apart if not unicodedata.combining(character))
    return f" {_SIGNS.sub(' ', folded).strip() or folded} "


def _grams(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """All character trigrams of the texts as numbers, and beside each the position of its text."""
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    joined = "".join(texts).encode("utf-32-le", "surrogatepass")
    characters = np.frombuffer(joined, dtype="<u4").astype(np.int64)
    owners = np.repeat(np.arange(len(texts), dtype=np.int64), lengths)
    whole = owners[:-2] == owners[2:]  # a trigram lies within one text
    grams = (characters[:-2] << 2 * _CHARACTER_BITS) | (characters[1:-1] << _CHARACTER_BITS) | characters[2:]
    return grams[whole], owners[:-2][whole]


def _changes(values: np.ndarray) -> np.ndarray:
    """Where a value differs from the one before; the first always does."""
    changes = np.ones(len(values), dtype=bool)
    changes[1:] = values[1:] != values[:-1]
    return changes
