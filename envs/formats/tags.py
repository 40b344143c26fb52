r"""Finding tagged blocks and \boxed{} in a model's text, in linear time and without ever raising."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from msgspec import Struct

END_MARKS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>")
"""End-of-turn marks of common tokenizers, for texts that were decoded with their special tokens."""


class Block(Struct, frozen=True):
    """A tagged block of a text.

    Attributes:
        tag: Name of the tag.
        start: Position of its opening tag.
        end: Position after its closing tag; after the opening tag (hidden tags: the end of the text) if not closed.
        content: What stands between the tags.
        closed: Whether there is a closing tag.
    """

    tag: str
    start: int
    end: int
    content: str
    closed: bool = True

    @property
    def innermost(self) -> str:
        """What follows the last opening tag: a thought that mentions a tag does not swallow the block after it."""
        return self.content.rpartition(f"<{self.tag}>")[2]


def scan(text: str, tags: Sequence[str], hidden: Sequence[str] = ()) -> Iterator[Block]:
    """The blocks of a text from left to right, none inside another.

    Args:
        text: The text.
        tags: Tags to look for. An opening tag that is never closed is reported and passed over.
        hidden: Tags whose blocks nothing is looked for in; such a block that is never closed hides the rest.
    """
    opening = _opening_tags((*tags, *hidden))
    never_closed: set[str] = set()
    match = opening.search(text)
    while match:
        tag, inside = match[1], match.end()
        close = -1 if tag in never_closed else text.find(f"</{tag}>", inside)
        if close >= 0:
            end = close + len(f"</{tag}>")
            yield Block(tag, match.start(), end, text[inside:close])
        elif tag in hidden:
            yield Block(tag, match.start(), len(text), text[inside:], closed=False)
            return
        else:
            never_closed.add(tag)
            end = inside
            yield Block(tag, match.start(), end, "", closed=False)
        match = opening.search(text, end)


def first_closed(text: str, *tags: str) -> Block | None:
    r"""The block that opens first among those that close: what `<(a|b)>(.*?)</\1>` finds, in linear time."""
    found = None
    for tag in tags:
        opening, closing = _MARKS[tag]
        start = text.find(opening)
        if start < 0 or (found is not None and start > found.start):
            continue
        inside = start + len(opening)
        close = text.find(closing, inside)
        if close >= 0:
            found = Block(tag, start, close + len(closing), text[inside:close])
    return found


def lone_block(tag: str) -> re.Pattern[str]:
    """What fully matches a text that is one block of a tag, after a thought or none, and holds no other mark.

    Most actions are such texts, and there is nothing wrong with them: who knows that at a glance need not look for
    each mark by itself. Group 1 is the block's content.

    Args:
        tag: Name of the tag.
    """
    return re.compile(f"(?:[^<]*+<think>[^<]*+</think>)?+[^<]*+<{tag}>([^<]*+)</{tag}>")


def left_open(text: str, *tags: str) -> bool:
    """Whether one of the tags is opened and not closed after that."""
    return any(text.rfind(f"<{tag}>") > text.rfind(f"</{tag}>") for tag in tags)


class _Marks(dict[str, tuple[str, str]]):
    """Opening and closing mark of each tag that was asked for."""

    def __missing__(self, tag: str) -> tuple[str, str]:
        self[tag] = f"<{tag}>", f"</{tag}>"
        return self[tag]


_MARKS = _Marks()


@lru_cache(maxsize=64)
def _opening_tags(tags: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(f"<({'|'.join(re.escape(tag) for tag in tags)})>")


def is_blank(text: str) -> bool:
    """Whether a text holds nothing but whitespace and end-of-turn marks."""
    for mark in END_MARKS:
        text = text.replace(mark, "")
    return not text.strip()


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` (or `\fbox{...}`), with braces matched; None if there is none.

    `\boxed x` without braces takes the text up to the next `$`, as the extraction of the MATH dataset (Hendrycks et
    al., arXiv 2103.03874) does.
    """
    command = "\\boxed"
    start = text.rfind(command)
    if start < 0:
        command = "\\fbox"
        start = text.rfind(command)
    if start < 0:
        return None
    rest = text[start + len(command) :]
    inside = rest.lstrip()
    if not inside.startswith("{"):
        return rest.partition("$")[0].strip() or None if inside != rest else None
    depth = 0
    for brace in re.finditer(r"[{}]", inside):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return inside[1 : brace.start()].strip()
    return None
