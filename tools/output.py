"""The text of a tool result: valid UTF-8 and of bounded length, with head and tail kept."""

from __future__ import annotations

import codecs

MINIMUM_CAP = 64
"""Smallest cap in characters that leaves room for the mark of an omission and some text around it."""


def clean_text(text: str) -> str:
    """The text as valid UTF-8 without NUL: lone surrogates and NUL become U+FFFD."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # UTF-16 joins surrogate pairs that stand apart, and replaces each lone one by a single mark.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def omission_mark(count: int) -> str:
    """The line that stands where `count` characters were cut."""
    return f"\n[... {count:,} characters omitted ...]\n"


def cap_text(text: str, limit: int) -> tuple[str, int]:
    """Cuts the middle out of a text that is too long.

    Args:
        text: Any text.
        limit: Cap in characters, at least `MINIMUM_CAP`; the mark of the omission counts towards it.

    Returns:
        The text, at most `limit` characters, and how many characters of it were cut.

    Raises:
        ValueError: If the limit is below `MINIMUM_CAP`.
    """
    head, tail, omitted = split_cap(len(text), limit)
    if not omitted:
        return text, 0
    return text[:head] + omission_mark(omitted) + text[len(text) - tail :], omitted


def split_cap(length: int, limit: int) -> tuple[int, int, int]:
    """How a text of `length` characters is cut to `limit`.

    Returns:
        Characters kept of the head, of the tail, and omitted between them. When nothing is cut, the head is all.

    Raises:
        ValueError: If the limit is below `MINIMUM_CAP`.
    """
    if limit < MINIMUM_CAP:
        raise ValueError(f"an output cap of {limit} characters is too small: use at least {MINIMUM_CAP}")
    if length <= limit:
        return length, 0, 0
    kept = limit - len(omission_mark(length))
    head = kept - kept // 2
    tail = kept // 2
    return head, tail, length - kept


class BoundedText:
    """Collects a stream of bytes as text in bounded memory: the head and the tail of what came.

    Args:
        limit: Cap in characters of the text that `take` returns, at least `MINIMUM_CAP`.
    """

    def __init__(self, limit: int) -> None:
        split_cap(0, limit)
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

    def take(self) -> tuple[str, int]:
        """Ends the stream.

        Returns:
            The text, at most the cap, and how many characters were cut.
        """
        self.feed(b"", final=True)
        head, tail, omitted = split_cap(self._length, self._limit)
        if not omitted:
            return clean_text(self._head), 0
        kept_tail = (self._head + self._tail)[-tail:]
        return clean_text(self._head[:head] + omission_mark(omitted) + kept_tail), omitted
