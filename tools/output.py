"""The text of a tool result: valid UTF-8 and of bounded length, with head and tail kept."""

from __future__ import annotations

import codecs
from typing import NamedTuple

MINIMUM_CAP = 64
"""Smallest cap in characters that leaves room for the mark of an omission; below it only the head is kept."""


class KeptText(NamedTuple):
    """A text that was cut to a cap.

    Attributes:
        text: What is left, with the mark of the omission.
        omitted: How many characters were cut; 0 when nothing was.
    """

    text: str
    omitted: int


def clean_text(text: str) -> str:
    """The text as valid UTF-8 without NUL: lone surrogates and NUL become U+FFFD."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # UTF-16 joins surrogate pairs that stand apart, and replaces each lone one by a single mark.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def keep_ends(text: str, limit: int) -> KeptText:
    """Cuts the middle out of a text that is too long, and says in its place how much was cut.

    Args:
        text: Any text.
        limit: Cap in characters, at least 1; the mark of the omission counts towards it.

    Returns:
        The text, at most `limit` characters, and how many characters of it were cut.

    Raises:
        ValueError: If the limit is below 1.
    """
    return _join_ends(text, text, len(text), limit)


class BoundedText:
    """Collects a stream of bytes as text in bounded memory: the head and the tail of what came.

    Args:
        limit: Cap in characters of the text that `take` returns, at least 1.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._head = ""
        self._tail = ""
        self._length = 0

    def feed(self, data: bytes, *, final: bool = False) -> None:
        """Adds bytes; `final` ends a character that was begun."""
        text = self._decoder.decode(data, final)
        self._length += len(text)
        missing = self._limit - len(self._head)
        if missing > 0:
            self._head += text[:missing]
            text = text[missing:]
        if text:
            self._tail = (self._tail + text)[-self._limit :]

    def take(self, reserve: int = 0) -> KeptText:
        """Ends the stream.

        Args:
            reserve: Characters by which the cap is lowered, to leave room for a note.

        Returns:
            The text as valid UTF-8, at most the cap, and how many characters were cut.
        """
        self.feed(b"", final=True)
        text, omitted = _join_ends(self._head, self._head + self._tail, self._length, max(self._limit - reserve, 1))
        return KeptText(clean_text(text), omitted)


def _join_ends(head: str, tail: str, length: int, limit: int) -> KeptText:
    """Joins the first characters of `head` and the last of `tail`, of a text that had `length` characters."""
    if limit < 1:
        raise ValueError(f"an output cap must be at least 1 character, got {limit}")
    if length <= limit:
        return KeptText(head, 0)
    if limit < MINIMUM_CAP:
        return KeptText(head[:limit], length - limit)
    kept = limit - len(_mark(length))
    after = kept // 2
    return KeptText(head[: kept - after] + _mark(length - kept) + tail[len(tail) - after :], length - kept)


def _mark(count: int) -> str:
    return f"\n[... {count:,} characters omitted ...]\n"
