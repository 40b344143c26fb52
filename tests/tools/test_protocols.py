"""The wire forms of passages, and what clients make of answers."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolgym.tools import InputError
from toolgym.tools.retrievers import Passage
from toolgym.tools.retrievers.protocols import (
    PROTOCOLS,
    document,
    line,
    passage_from_document,
    passage_from_line,
    retriever_protocol,
)

TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
TITLE = TEXT.filter(lambda title: "\n" not in title)


@given(st.text(min_size=1), TITLE, TEXT)
def test_a_document_carries_id_title_and_text(identifier: str, title: str, text: str) -> None:
    passage = Passage(identifier, title, text)
    assert passage_from_document(document(passage)) == passage


@given(st.integers(0), TITLE.filter(lambda title: f"{title} Text:".index(" Text:") == len(title)), TEXT)
def test_a_line_carries_numbers_titles_and_texts(number: int, title: str, text: str) -> None:
    passage = Passage(str(number), title, text)
    assert passage_from_line(line(passage)) == passage


def test_the_published_forms() -> None:
    passage = Passage("7", "Lucy Mair", "She was an anthropologist.")
    assert document(passage) == {"id": "7", "contents": '"Lucy Mair"\nShe was an anthropologist.'}
    assert line(passage) == "7\tTitle: Lucy Mair Text:  She was an anthropologist."
    # What R1-Searcher's client shows the model: without a number that stands at the start.
    assert re.sub(r"^\d+\s+", "", line(passage)) == "Title: Lucy Mair Text:  She was an anthropologist."
    assert line(Passage("p7", "T", "1984 was a year.")) == "Title: T Text:  1984 was a year."
    assert document(Passage("7", "two\nlines", "t"))["contents"] == '"two lines"\nt'


@pytest.mark.parametrize(
    ("value", "title", "text"),
    [
        ({"contents": '"Bern"\nA city.'}, "Bern", "A city."),  # Search-R1's web search
        ({"title": "Bern", "text": "A city.", "contents": '"Bern"\nA city.'}, "Bern", "A city."),  # its BM25
        ({"contents": "no line break"}, "", "no line break"),
        ({"contents": "Bern\nA city."}, "Bern", "A city."),
        ({"text": "A city.", "title": None}, "", "A city."),
    ],
)
def test_documents_without_an_id_get_one_from_their_content(value: Any, title: str, text: str) -> None:
    passage = passage_from_document(value)
    assert (passage.title, passage.text) == (title, text)
    assert re.fullmatch("[0-9a-f]{16}", passage.id) and passage == passage_from_document(value)


def test_lines_in_other_forms() -> None:
    kilt = passage_from_line("12\tA   A A is the first letter")
    assert (kilt.id, kilt.title, kilt.text) == ("12", "", "A   A A is the first letter")
    assert passage_from_line("1984 was a year.").text == "1984 was a year."
    assert passage_from_line("12\t").text == passage_from_line("").text == ""
    assert passage_from_line("Title: A Text: b").text == "b"


GOOD: dict[str, Any] = {
    "search_r1": {"result": [[{"document": {"id": "1", "contents": '"T"\nx'}, "score": 2}]]},
    "r1_searcher": {"queries": ["q"], "answers": [["1\tTitle: T Text:  x"]]},
    "research": [[[{"id": "1", "contents": '"T"\nx'}]], [[2.0]]],
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_answers_are_read(name: str) -> None:
    protocol = retriever_protocol(name)
    ((hit,),) = protocol.parse(GOOD[name], 1, 3)
    assert hit.passage == Passage("1", "T", "x")
    assert hit.score == (1.0 if name == "r1_searcher" else 2.0)
    with pytest.raises(ValueError, match="1 lists came for 2 queries"):
        protocol.parse(GOOD[name], 2, 3)


def test_more_than_k_is_dropped_and_missing_scores_fall_with_the_rank() -> None:
    documents = [{"document": {"contents": f'"T"\n{i}'}} for i in range(4)]
    (row,) = retriever_protocol("search_r1").parse({"result": [documents]}, 1, 3)
    assert [hit.passage.text for hit in row] == ["0", "1", "2"]
    assert [hit.score for hit in row] == [1, 1 / 2, 1 / 3]


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize(
    "answer", [None, [], {}, "x", 3, {"result": 1}, {"answers": ["x"]}, [[1], [2]], {"result": [[{"document": 1}]]}]
)
def test_anything_else_is_an_error_that_says_what_came(name: str, answer: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|instead of|came for"):
        retriever_protocol(name).parse(answer, 1, 3)


@pytest.mark.parametrize("score", ["high", True])
def test_scores_are_numbers(score: Any) -> None:
    with pytest.raises(ValueError, match="instead of a number"):
        retriever_protocol("research").parse([[[{"contents": "x"}]], [[score]]], 1, 1)


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(InputError, match=r"'gopher'; choose from search_r1, r1_searcher, research"):
        retriever_protocol("gopher")
