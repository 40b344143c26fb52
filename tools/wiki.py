"""Wiki pages with ReAct's two actions: `search` opens a page, `lookup` steps through its sentences.

The semantics, odd ones included, are those of the Wikipedia environment of ReAct (Yao et al., 2023), with a store of
pages in place of the live site.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from .base import FunctionSchema, Tool, ToolCall, ToolResult, ToolSession, ToolStatus
from .errors import InputError
from .retrievers.bm25 import BM25Retriever
from .retrievers.corpus import Corpus, Passage

_FIRST_SENTENCES = 5
_SIMILAR_TITLES = 5
_GRAM = 3


class PageStore(Mapping[str, str]):
    """Pages by title. Paragraphs of a page are its lines.

    Args:
        pages: Text of each page by its title.

    Raises:
        InputError: If there is no page, or a title is empty.
    """

    def __init__(self, pages: Mapping[str, str]) -> None:
        self._pages = dict(pages)
        if not self._pages:
            raise InputError("a PageStore needs at least one page")
        if any(not title.strip() for title in self._pages):
            raise InputError("a page has an empty title; give every passage a title")
        self._folded: dict[str, str] = {}
        for title in self._pages:
            self._folded.setdefault(title.strip().casefold(), title)
        self._lock = threading.Lock()

    @classmethod
    def from_corpus(cls, passages: Iterable[Passage]) -> PageStore:
        """Joins the passages of each title, in order, as the paragraphs of one page.

        Args:
            passages: A corpus, or any passages.
        """
        paragraphs: dict[str, list[str]] = {}
        for passage in passages:
            paragraphs.setdefault(passage.title, []).append(passage.text)
        return cls({title: "\n".join(texts) for title, texts in paragraphs.items()})

    def find(self, entity: str) -> str | None:
        """The title that equals the entity, exactly or else without regard to case and outer spaces; or None."""
        return entity if entity in self._pages else self._folded.get(entity.strip().casefold())

    def similar(self, entity: str, k: int = _SIMILAR_TITLES) -> list[str]:
        """The titles nearest to an entity.

        Args:
            entity: Any text.
            k: How many titles at most.

        Returns:
            Titles ranked by BM25 over words and character trigrams (so that a misspelt name finds its page);
            fewer than `k` when not so many have anything in common with the entity.
        """
        grams = " ".join(_grams(entity))
        if not grams:
            return []
        with self._lock:  # built on the first miss; sessions of many episodes share the store
            index = self._title_index
        return [] if index is None else [hit.passage.id for hit in index.search(grams, k)]

    @cached_property
    def _title_index(self) -> BM25Retriever | None:
        passages = [Passage(title, "", " ".join(_grams(title))) for title in self._pages]
        return BM25Retriever(Corpus(passages)) if any(passage.text for passage in passages) else None

    def __getitem__(self, title: str) -> str:
        return self._pages[title]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pages)

    def __len__(self) -> int:
        return len(self._pages)


class WikiTool(Tool):
    """ReAct's wiki: `search(entity)` and `lookup(keyword)` share the current page.

    `search` shows the first five sentences of the page with that title. Without such a page it lists similar titles
    and the current page stays open. `lookup` steps through the sentences of the current page that contain the
    keyword (case-insensitive), one a call; another keyword starts again from the top.

    Args:
        store: The pages.
    """

    timeout = None  # pages lie in memory: a call surely ends, and a busy machine must not change an episode

    def __init__(self, store: PageStore) -> None:
        self.store = store
        self._functions = (
            _one_string_function(
                "search",
                "Opens the page with this title and returns its first sentences, or lists similar titles.",
                "entity",
                "Title of the page.",
            ),
            _one_string_function(
                "lookup",
                "Returns the next sentence of the open page that contains the keyword.",
                "keyword",
                "Text to find on the page.",
            ),
        )

    @property
    def functions(self) -> Sequence[FunctionSchema]:
        """`search` and `lookup`."""
        return self._functions

    def open(self, seed: int = 0) -> WikiSession:
        """A session with no page open."""
        return WikiSession(self.store)


class WikiSession(ToolSession):
    """The page that is open, the keyword looked up last, and how many of its sentences were shown."""

    def __init__(self, store: PageStore) -> None:
        self._store = store
        self._title: str | None = None
        self._keyword: str | None = None
        self._shown = 0

    def call(self, call: ToolCall) -> ToolResult:
        """Runs `search` or `lookup`."""
        if call.name == "search":
            return self._search(call.arguments["entity"])
        return self._lookup(call.arguments["keyword"])

    def fork(self) -> WikiSession:
        """A session over the same store at the same place."""
        twin = WikiSession(self._store)
        twin._title, twin._keyword, twin._shown = self._title, self._keyword, self._shown
        return twin

    def snapshot(self) -> bytes:
        """Title, keyword and position as JSON."""
        return json.dumps({"title": self._title, "keyword": self._keyword, "shown": self._shown}).encode()

    def restore(self, snapshot: bytes) -> None:
        """Opens the same page at the same place.

        Raises:
            ValueError: If the store has no page with the snapshot's title.
        """
        state = json.loads(snapshot)
        if state["title"] is not None and state["title"] not in self._store:
            raise ValueError(f"the snapshot's page {state['title']!r} is not in this store of {len(self._store)} pages")
        self._title, self._keyword, self._shown = state["title"], state["keyword"], state["shown"]

    def _search(self, entity: str) -> ToolResult:
        title = self._store.find(entity)
        if title is None:
            similar = self._store.similar(entity)
            text = f"Could not find {entity}. Similar: {similar}."
            return ToolResult(ToolStatus.OK, text, metadata={"found": False, "titles": similar})
        self._title, self._keyword, self._shown = title, None, 0
        text = " ".join(split_sentences(self._store[title])[:_FIRST_SENTENCES])
        return ToolResult(ToolStatus.OK, text, metadata={"found": True, "titles": [title]})

    def _lookup(self, keyword: str) -> ToolResult:
        if keyword != self._keyword:
            self._keyword, self._shown = keyword, 0
        page = "" if self._title is None else self._store[self._title]
        hits = [sentence for sentence in split_sentences(page) if keyword.lower() in sentence.lower()]
        titles = [] if self._title is None else [self._title]
        if self._shown >= len(hits):
            return ToolResult(ToolStatus.OK, "No more results.\n", metadata={"found": False, "titles": titles})
        text = f"(Result {self._shown + 1} / {len(hits)}) {hits[self._shown]}"
        self._shown += 1
        return ToolResult(ToolStatus.OK, text, metadata={"found": True, "titles": titles})


def split_sentences(page: str) -> list[str]:
    """ReAct's sentences: each paragraph cut at `'. '`, each piece ended by `.`.

    The last sentence of a paragraph keeps its own full stop and so ends with two, as in the original.
    """
    pieces = [piece.strip() for line in page.split("\n") for piece in line.strip().split(". ")]
    return [piece + "." for piece in pieces if piece]


def _grams(text: str) -> list[str]:
    """The words of a text and the character trigrams of each word, marked so that the two never meet."""
    grams = []
    for word in text.casefold().split():
        letters = "".join(character for character in word if character.isalnum())
        if letters:
            padded = f"_{letters}_"
            grams.append(letters)
            grams += [padded[i : i + _GRAM] + "_" for i in range(len(padded) - _GRAM + 1)]
    return grams


def _one_string_function(name: str, description: str, argument: str, meaning: str) -> FunctionSchema:
    parameters = {
        "type": "object",
        "properties": {argument: {"type": "string", "description": meaning}},
        "required": [argument],
        "additionalProperties": False,
    }
    return FunctionSchema(name, description, parameters)
