import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolgym.tools.output import MINIMUM_CAP, BoundedText, clean_text, keep_ends

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_clean_text_is_valid_utf8_without_nul(text: str) -> None:
    cleaned = clean_text(text)
    cleaned.encode("utf-8")
    assert "\x00" not in cleaned


def test_clean_text_joins_pairs_and_marks_lone_surrogates() -> None:
    assert clean_text("\ud83d\ude00 \ud83d \x00") == "\U0001f600 \ufffd \ufffd"
    assert clean_text("Zürich") == "Zürich"


@given(st.integers(0, 5_000), st.integers(MINIMUM_CAP, 300))
def test_keep_ends_counts_exactly_what_is_missing(length: int, limit: int) -> None:
    text = "".join(chr(ord("a") + i % 26) for i in range(length))
    kept, omitted = keep_ends(text, limit)
    assert len(kept) <= limit
    if length <= limit:
        assert (kept, omitted) == (text, 0)
        return
    mark = re.search(r"\n\[\.\.\. ([\d,]+) characters omitted \.\.\.\]\n", kept)
    assert mark is not None
    head, tail = kept[: mark.start()], kept[mark.end() :]
    assert text.startswith(head) and text.endswith(tail) and head and tail
    assert int(mark[1].replace(",", "")) == omitted == length - len(head) - len(tail)


@given(ANY_TEXT, st.integers(1, 200))
def test_keep_ends_never_exceeds_its_limit(text: str, limit: int) -> None:
    assert len(keep_ends(text, limit).text) <= limit


def test_keep_ends_refuses_a_limit_below_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        keep_ends("x", 0)


@given(st.lists(st.binary(max_size=90), max_size=12), st.integers(1, 200))
def test_bounded_text_equals_cutting_the_whole(parts: list[bytes], limit: int) -> None:
    stream = BoundedText(limit)
    for part in parts:
        stream.feed(part)
    whole = b"".join(parts).decode("utf-8", "replace")
    text, omitted = keep_ends(whole, limit)
    assert stream.take() == (clean_text(text), omitted)


def test_bounded_text_holds_little() -> None:
    stream = BoundedText(100)
    for _ in range(2_000):
        stream.feed(b"x" * 10_000)
    assert len(stream._head) + len(stream._tail) <= 200
    text, omitted = stream.take(reserve=20)
    assert len(text) <= 80 and "19,999," in text and omitted > 19_999_900
