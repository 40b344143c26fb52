"""Wiki pages with ReAct's two actions: `search` opens a page, `lookup` steps through its sentences.

The semantics, odd ones included, are those of the Wikipedia environment of ReAct (Yao et al., arXiv 2210.03629;
ysymyth/ReAct, `wikienv.py`), with a store of pages in place of the live site.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .base import FunctionSchema, Tool, ToolCall, ToolResult, ToolSession, ToolStatus
from .wiki_pages import FIRST_SENTENCES, PageStore, read_page

NOTHING_MORE = "No more results.\n"


class WikiTool(Tool):
    """ReAct's wiki: `search(entity)` and `lookup(keyword)` share the current page.

    `search` shows the first five sentences of the page with that title. Without such a page it lists similar titles
    and the current page stays open. `lookup` steps through the sentences of the current page that contain the
    keyword (case-insensitive), one a call; another keyword starts again from the top.

    Args:
        store: The pages.
    """

    timeout = None  # pages lie in memory: a call surely ends, and a busy machine must not change an episode
    max_output_characters = 100_000  # the original has no cap; five sentences can be long

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
    def identity(self) -> Mapping[str, Any]:
        """What results depend on, for recordings."""
        return {"wiki": [function.name for function in self._functions], "pages": self.store.fingerprint}

    @property
    def functions(self) -> Sequence[FunctionSchema]:
        """`search` and `lookup`."""
        return self._functions

    def open(self, seed: int = 0) -> WikiSession:
        """A session with no page open."""
        return WikiSession(self.store)


class WikiSession(ToolSession):
    """The page that is open, the keyword looked up last, and how many of its sentences were shown.

    Args:
        store: The pages.
    """

    def __init__(self, store: PageStore) -> None:
        self._store = store
        self._title: str | None = None
        self._keyword: str | None = None
        self._shown = 0

    def call(self, call: ToolCall) -> ToolResult:
        """Runs `search` or `lookup`."""
        if call.name == "search":
            return self.search(call.arguments["entity"])
        return self.lookup(call.arguments["keyword"])

    def search(self, entity: str) -> ToolResult:
        """Opens the page that an entity names and shows its head; the lookup starts anew.

        Without such a page, page and lookup stay as they are, and similar titles are listed. A disambiguation page
        is not opened: `[entity]`, in brackets, is searched instead. Wikipedia has no title in brackets and answers
        with a list, and so does a store, which also lists the disambiguation page's own title.
        """
        title = self._store.find(entity)
        while title is not None and self._store.is_disambiguation(title):
            entity = f"[{entity}]"
            title = self._store.find(entity)
        if title is None:
            similar = self._store.similar(entity)
            text = f"Could not find {entity}. Similar: {similar}."
            return ToolResult(ToolStatus.OK, text, metadata={"found": False, "titles": similar})
        self._title, self._keyword, self._shown = title, None, 0
        text = " ".join(read_page(self._store[title])[:FIRST_SENTENCES])
        return ToolResult(ToolStatus.OK, text, metadata={"found": True, "titles": [title]})

    def lookup(self, keyword: str) -> ToolResult:
        """The next sentence of the open page that contains the keyword; there is none while no page is open."""
        if keyword != self._keyword:
            self._keyword, self._shown = keyword, 0
        sentences = [] if self._title is None else read_page(self._store[self._title])
        wanted = keyword.lower()
        hits = [sentence for sentence in sentences if wanted in sentence.lower()]
        titles = [] if self._title is None else [self._title]
        if self._shown >= len(hits):
            return ToolResult(ToolStatus.OK, NOTHING_MORE, metadata={"found": False, "titles": titles})
        text = f"(Result {self._shown + 1} / {len(hits)}) {hits[self._shown]}"
        self._shown += 1
        return ToolResult(ToolStatus.OK, text, metadata={"found": True, "titles": titles})

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


def _one_string_function(name: str, description: str, argument: str, meaning: str) -> FunctionSchema:
    parameters = {
        "type": "object",
        "properties": {argument: {"type": "string", "description": meaning}},
        "required": [argument],
        "additionalProperties": False,
    }
    return FunctionSchema(name, description, parameters)
