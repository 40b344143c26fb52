"""A store of pages by title, and ReAct's way of reading a page."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from .errors import InputError
from .per_process import PerProcess

if TYPE_CHECKING:
    from .retrievers.corpus import Passage
    from .wiki_titles import TitleIndex

SIMILAR_TITLES = 5
"""Titles that a failed search lists."""

FIRST_SENTENCES = 5
"""Sentences that a search shows."""

DISAMBIGUATION = "may refer to:"
"""What makes a page one of disambiguation."""

_FEWEST_SPACES = 2


class PageStore(Mapping[str, str]):
    """Pages by title. Paragraphs of a page are its lines.

    Args:
        pages: Text of each page by its title.
        disambiguations: Titles of the pages that only tell apart what a name may mean. A page whose text contains
            `may refer to:` is one without being named here.

    Raises:
        InputError: If there is no page, a title is empty, or a disambiguation page is not there.
    """

    def __init__(self, pages: Mapping[str, str], disambiguations: Collection[str] = ()) -> None:
        self._pages = dict(pages)
        if not self._pages:
            raise InputError("a PageStore needs at least one page")
        if any(not title.strip() for title in self._pages):
            raise InputError("a page has an empty title; give every passage a title")
        self._disambiguations = frozenset(disambiguations)
        for title in self._disambiguations:
            if title not in self._pages:
                raise InputError(f"disambiguations has the title {title!r}, and there is no such page")
        self._index = PerProcess(self._make_index)

    @classmethod
    def from_corpus(cls, passages: Iterable[Passage], disambiguations: Collection[str] = ()) -> PageStore:
        """Joins the passages of each title, in order, as the paragraphs of one page.

        Args:
            passages: A corpus, or any passages.
            disambiguations: Titles of disambiguation pages.
        """
        paragraphs: dict[str, list[str]] = {}
        for passage in passages:
            paragraphs.setdefault(passage.title, []).append(passage.text)
        return cls({title: "\n".join(texts) for title, texts in paragraphs.items()}, disambiguations)

    def find(self, entity: str) -> str | None:
        """The title that an entity names, or None.

        That is the equal title, or else the first that is equal but for case, surplus spaces, underscores for spaces
        and Unicode's form: Wikipedia's search also goes straight to these.
        """
        if entity in self._pages:
            return entity
        from .wiki_titles import fold_title

        return self._index.get().folded.get(fold_title(entity))

    def is_disambiguation(self, title: str) -> bool:
        """Whether the page of a title only tells apart what the name may mean."""
        return title in self._disambiguations or DISAMBIGUATION in self._pages[title]

    def similar(self, entity: str, k: int = SIMILAR_TITLES) -> list[str]:
        """The titles nearest to an entity, the nearest first.

        Args:
            entity: Any text.
            k: How many titles; all, if there are fewer.

        Returns:
            Titles ranked by the character trigrams that they share with the entity (`TitleIndex`), so that a misspelt
            name finds its page. A search engine always names some titles, and so does this.

        Raises:
            InputError: If `k` is below 1.
        """
        if k < 1:
            raise InputError(f"similar() gives at least one title, not k={k}")
        index = self._index.get()
        return [index.titles[position] for position in index.nearness.nearest(entity, k)]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over titles and texts in order, and which pages are named as disambiguations."""
        digest = sha256()
        for title, text in self._pages.items():
            named = title in self._disambiguations
            digest.update(json.dumps([title, text, named], separators=(",", ":")).encode("ascii") + b"\n")
        return digest.hexdigest()

    def _make_index(self) -> _Index:
        from .wiki_titles import TitleIndex, fold_title

        titles = list(self._pages)
        folded: dict[str, str] = {}
        for title in titles:
            folded.setdefault(fold_title(title), title)
        return _Index(titles, folded, TitleIndex(titles))

    def __getitem__(self, title: str) -> str:
        return self._pages[title]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pages)

    def __len__(self) -> int:
        return len(self._pages)


class _Index(NamedTuple):
    titles: list[str]
    folded: dict[str, str]
    nearness: TitleIndex


def read_page(page: str) -> list[str]:
    """ReAct's sentences of a page that was opened: those of its paragraphs of more than two words.

    A word is what single spaces part, so that two spaces in a row enclose one (ysymyth/ReAct, `wikienv.py`,
    `search_step`).
    """
    paragraphs = (line.strip() for line in page.split("\n"))
    return split_sentences("\n".join(one for one in paragraphs if one.count(" ") >= _FEWEST_SPACES))


def split_sentences(page: str) -> list[str]:
    """ReAct's sentences: each paragraph cut at `'. '`, each piece ended by `.`.

    The last sentence of a paragraph keeps its own full stop and so ends with two, as in the original (`wikienv.py`,
    `get_page_obs`).
    """
    pieces = [piece.strip() for line in page.split("\n") for piece in line.strip().split(". ")]
    return [piece + "." for piece in pieces if piece]
