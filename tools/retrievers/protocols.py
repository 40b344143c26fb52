r"""The retriever protocols that were published with search-training recipes, for both sides of the wire.

All three are `POST` with a JSON body, and take several queries at once. Their servers always return k documents;
a retriever that finds fewer (BM25, when no more passages share a word with the query) returns fewer.

**search_r1** (PeterGriffinJin/Search-R1, `search_r1/search/retrieval_server.py`): `POST /retrieve`

| request | type | default |
|---|---|---|
| `queries` | list of str | required |
| `topk` | int or null | the server's `--topk`, 3; 0 and null mean that default |
| `return_scores` | bool | false |

Answer: `{"result": [per query [{"document": DOCUMENT, "score": float}, ...]]}`; without `return_scores` the inner
items are the documents alone. (The repository's own server breaks there, since it unpacks two values where one comes;
its training client always asks for scores.) DOCUMENT is a row of the corpus, `{"id": str, "contents": str}`; its BM25
variant sends `title`, `text` and `contents` instead and no id, its web variants `contents` alone.
No queries give `{"result": []}`.

**r1_searcher** (RUCAIBox/R1-Searcher, `train/wiki_corpus_load.py`): `POST /queries`

| request | type | default |
|---|---|---|
| `queries` | list of str | required |
| `k` | int | 3 (the training client sends 3, the evaluation 5) |

Answer: `{"queries": [as sent], "answers": [per query [str, ...]]}`, no scores. A document is a line of a file,
`NUMBER<tab>Title: TITLE Text:  TEXT` (of KILT's passages `NUMBER<tab>TITLE   TEXT`, where nothing tells the title from
the text); the client deletes a leading number (`^\d+\s+`). There is no other id.

**research** (Agent-RL/ReCall, branch `re-search`, `scripts/serving/retriever_serving.py`, FlashRAG behind it):
`POST /search` and `POST /batch_search`

| request | type | default |
|---|---|---|
| `query` | str; for `/batch_search` a list of str | required |
| `top_n` | int | 10 (the training client sends 5) |
| `return_score` | bool | false |

Answer of `/search`: `[{"id": str, "contents": str}, ...]`, with `return_score` `[documents, [float, ...]]`. Answer of
`/batch_search`: one such list per query, with `return_score` `[documents per query, scores per query]`. `/search`
answers 400 with `{"detail": "Query content cannot be empty"}` to a query without any character but spaces.
`GET /health`: `{"status": "healthy", "retrievers": {"total": int, "available": int}}`.

`contents` is `"TITLE"\nTEXT` in all published corpora: the title in double quotes, a line break, the text.
A request that does not fit is answered with 422 and a `detail` that names the field (FastAPI's form), by our server
for all routes.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, ClassVar

from ..errors import InputError
from .base import ScoredPassage
from .corpus import Passage

SEARCH_R1_K, R1_SEARCHER_K, RESEARCH_K = 3, 3, 10
"""Passages for a request that does not say how many."""

_LINE = re.compile(r"(?:(\d+)\t)?(?:Title: (.*?) Text: ? ?)?(.*)", re.DOTALL)


def document(passage: Passage) -> dict[str, str]:
    r"""A passage as `search_r1` and `research` send it: `id`, and `contents` in the form `"TITLE"\nTEXT`.

    A line break within the title becomes a space, since the first one ends it.
    """
    return {"id": passage.id, "contents": f'"{_one_line(passage.title)}"\n{passage.text}'}


def passage_from_document(value: Any) -> Passage:
    """The passage of a document.

    Args:
        value: `contents`, or `text` and maybe `title`; maybe an `id`. Without an id the content's hash stands in.

    Raises:
        ValueError: If it is nothing of that kind.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"a document is {_brief(value)} instead of an object")
    title, text = value.get("title"), value.get("text")
    if not isinstance(text, str):
        contents = value.get("contents")
        if not isinstance(contents, str):
            raise ValueError(f"a document has the fields {sorted(map(str, value))}; expected contents")
        title, text = _split(contents)
    title = title if isinstance(title, str) else ""
    identifier = value.get("id")
    if isinstance(identifier, bool) or not isinstance(identifier, str | int):
        identifier = _hash(title, text)
    return Passage(str(identifier), title, text)


def line(passage: Passage) -> str:
    """A passage as `r1_searcher` sends it. An id that is no number is left out: the client would read it as text."""
    number = f"{passage.id}\t" if passage.id.isascii() and passage.id.isdigit() else ""
    return f"{number}Title: {_one_line(passage.title)} Text:  {passage.text}"


def passage_from_line(value: Any) -> Passage:
    """The passage of a line: with id if it starts with a number and a tab, with title if it says `Title: ... Text:`.

    Raises:
        ValueError: If it is no text.
    """
    if not isinstance(value, str):
        raise ValueError(f"a document is {_brief(value)} instead of a text")
    match = _LINE.fullmatch(value)
    assert match is not None  # any text is a line without number and title
    number, title, text = match[1], match[2] or "", match[3]
    return Passage(number or _hash(title, text), title, text)


class RetrieverProtocol(ABC):
    """What a client says and understands.

    Attributes:
        name: Name in options.
        route: Where requests go, below the server's address.
        k_field: Field of a request that says how many passages are wanted.
    """

    name: ClassVar[str]
    route: ClassVar[str]
    k_field: ClassVar[str]

    @abstractmethod
    def request(self, queries: Sequence[str], k: int) -> dict[str, Any]:
        """The body of a request."""

    @abstractmethod
    def rows(self, answer: Any) -> list[list[ScoredPassage]]:
        """The passages in an answer, one list per query, as they came.

        Where no scores come they are 1, 1/2, 1/3, ...

        Raises:
            ValueError: If the answer is none of this protocol.
        """

    def parse(self, answer: Any, queries: int, k: int) -> list[list[ScoredPassage]]:
        """The passages in an answer.

        Args:
            answer: The JSON.
            queries: How many queries were sent.
            k: How many passages were asked for; further ones are dropped.

        Raises:
            ValueError: If the answer is none of this protocol, or has another number of queries. Says what came.
        """
        rows = self.rows(answer)
        if len(rows) != queries:
            raise ValueError(f"{len(rows)} lists came for {queries} queries")
        return [row[:k] for row in rows]


class SearchR1Protocol(RetrieverProtocol):
    """`POST /retrieve`."""

    name = "search_r1"
    route = "/retrieve"
    k_field = "topk"

    def request(self, queries: Sequence[str], k: int) -> dict[str, Any]:
        """Asks for scores, as the training client does."""
        return {"queries": list(queries), "topk": k, "return_scores": True}

    def rows(self, answer: Any) -> list[list[ScoredPassage]]:
        """With the scores that came; servers in front of web search send none."""
        result = answer.get("result") if isinstance(answer, Mapping) else None
        return [self._row(row) for row in _lists(result, "an object with result, a list of lists", answer)]

    @staticmethod
    def _row(row: Sequence[Any]) -> list[ScoredPassage]:
        found = []
        for rank, item in enumerate(row, 1):
            wrapped = isinstance(item, Mapping) and "document" in item
            score = item.get("score") if wrapped else None
            passage = passage_from_document(item["document"] if wrapped else item)
            found.append(ScoredPassage(passage, 1 / rank if score is None else _number(score)))
        return found


class R1SearcherProtocol(RetrieverProtocol):
    """`POST /queries`."""

    name = "r1_searcher"
    route = "/queries"
    k_field = "k"

    def request(self, queries: Sequence[str], k: int) -> dict[str, Any]:
        """Queries and k."""
        return {"queries": list(queries), "k": k}

    def rows(self, answer: Any) -> list[list[ScoredPassage]]:
        """The protocol carries no scores."""
        answers = answer.get("answers") if isinstance(answer, Mapping) else None
        rows = _lists(answers, "an object with answers, a list of lists", answer)
        return [[ScoredPassage(passage_from_line(text), 1 / rank) for rank, text in enumerate(row, 1)] for row in rows]


class ReSearchProtocol(RetrieverProtocol):
    """`POST /batch_search`."""

    name = "research"
    route = "/batch_search"
    k_field = "top_n"

    def request(self, queries: Sequence[str], k: int) -> dict[str, Any]:
        """Asks for scores."""
        return {"query": list(queries), "top_n": k, "return_score": True}

    def rows(self, answer: Any) -> list[list[ScoredPassage]]:
        """Documents and scores lie in two lists of the same shape."""
        expected = "two lists of lists, documents and scores"
        documents, scores = answer if isinstance(answer, list) and len(answer) == 2 else (None, None)
        found = []
        rows = _lists(documents, expected, answer)
        for row, numbers in zip(rows, _lists(scores, expected, answer), strict=True):
            pairs = zip(row, numbers, strict=True)
            found.append([ScoredPassage(passage_from_document(value), _number(score)) for value, score in pairs])
        return found


PROTOCOLS: dict[str, RetrieverProtocol] = {
    protocol.name: protocol for protocol in (SearchR1Protocol(), R1SearcherProtocol(), ReSearchProtocol())
}


def retriever_protocol(name: str) -> RetrieverProtocol:
    """The protocol of a name.

    Raises:
        InputError: If there is none.
    """
    if name not in PROTOCOLS:
        raise InputError(f"unknown retriever protocol {name!r}; choose from {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def _lists(value: Any, expected: str, answer: Any) -> list[list[Any]]:
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        raise ValueError(f"expected {expected}, not {_brief(answer)}")
    return value


def _number(score: Any) -> float:
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise ValueError(f"a score is {_brief(score)} instead of a number")
    return float(score)


def _one_line(title: str) -> str:
    return title.replace("\n", " ")


def _split(contents: str) -> tuple[str, str]:
    title, separator, text = contents.partition("\n")
    if not separator:
        return "", contents
    quoted = len(title) >= 2 and title[0] == title[-1] == '"'
    return title[1:-1] if quoted else title, text


def _hash(title: str, text: str) -> str:
    return sha256(f"{title}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
