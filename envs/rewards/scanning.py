r"""Blocks, marks and boxes as the published rewards find them.

What the formats read an action with is in `formats.tags`; these are the readings that the rewards were published with,
which differ from it and from each other. All take linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

CHAT_HEADER = "<|im_start|>assistant\n"
"""What ends the prompt of a chat model in ChatML."""

_BRACE = re.compile(r"[{}]")


def spans(text: str, opening: str, closing: str) -> Iterator[tuple[int, int]]:
    """Start and end of what stands between two marks, from left to right; what is never closed ends the search."""
    start = text.find(opening)
    while start >= 0:
        inside = start + len(opening)
        end = text.find(closing, inside)
        if end < 0:
            return
        yield inside, end
        start = text.find(opening, end + len(closing))


def blocks(text: str, tag: str) -> list[str]:
    """What stands between an opening tag and the next closing tag, from left to right."""
    return [text[start:end] for start, end in spans(text, f"<{tag}>", f"</{tag}>")]


def first_block(text: str, tag: str) -> str | None:
    """What stands between the first opening tag and the closing tag after it; None if either is missing."""
    return next((text[start:end] for start, end in spans(text, f"<{tag}>", f"</{tag}>")), None)


def last_block(text: str, tag: str) -> str | None:
    """The last of `blocks`; None if there is none."""
    return next(reversed(blocks(text, tag)), None)


def without(text: str, opening: str, closing: str) -> str:
    """The text without its blocks between two marks, marks included; what is never closed stays."""
    kept, position = [], 0
    for start, end in spans(text, opening, closing):
        kept.append(text[position : start - len(opening)])
        position = end + len(closing)
    return "".join([*kept, text[position:]])


def paired(text: str, tag: str) -> bool:
    """Whether a tag is opened as often as it is closed."""
    return text.count(f"<{tag}>") == text.count(f"</{tag}>")


def in_order(text: str, marks: Sequence[str]) -> bool:
    """Whether every occurrence of the first mark is followed by the others in order, before the next one counts.

    ReSearch's walk through a response (`re_search.py`, `validate_format`): each of the other marks is looked for from
    the first one on, the last mark from the one before it, and the walk goes on after the last.
    """
    start = text.find(marks[0])
    while start >= 0:
        found = [start, *(text.find(mark, start) for mark in marks[1:-1])]
        found.append(text.find(marks[-1], max(found[-1], 0)))
        if any(left >= right for left, right in pairwise(found)):
            return False
        start = text.find(marks[0], found[-1])
    return True


def ended(response: str, finished: bool, eos: str | None, header: str = "") -> tuple[str, bool]:
    """The part of a response that counts, and whether the model ended it.

    Args:
        response: All that follows the prompt.
        finished: Whether the model ended its turn itself, where there is no `eos` to tell.
        eos: The end-of-turn token, if the response still holds it.
        header: Where a response repeats what ends the prompt, it is cut; without an `eos` at the cut it is not ended.
            Where it holds the chat header under another, it begins after that.
    """
    if header and CHAT_HEADER in response and header != CHAT_HEADER:
        response, header = response.partition(CHAT_HEADER)[2], CHAT_HEADER
    if header and header in response:
        response, finished = response.partition(header)[0], False
    return (response, finished) if eos is None else (response.removesuffix(eos), response.endswith(eos))


def braced(text: str, start: int) -> str | None:
    """What stands in the braces that open at a position, with inner braces matched; None if they do not close."""
    depth = 0
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return text[start + 1 : brace.start()]
    return None


def last_box(text: str) -> str | None:
    r"""The content of the last `\boxed{...}`, braces matched; None if there is none or it does not close."""
    start = text.rfind("\\boxed{")
    return None if start < 0 else braced(text, start + len("\\boxed"))


def hendrycks_box(text: str) -> str | None:
    r"""The boxed answer as the code of the MATH dataset finds it; None where that code fails.

    Where `\boxed ` stands anywhere, with a space, what follows the last of them up to the next `$` counts, though a
    braced box may follow. Else the last `\boxed` must be `\boxed{`. A `\fbox` is found by that code and then refused.
    Source: Hendrycks et al., arXiv 2103.03874; used by ReSearch, ReCall and AutoTIR (`remove_boxed`).
    """
    _, spaced, after = text.rpartition("\\boxed ")
    if spaced:
        return after.partition("$")[0]
    start = text.rfind("\\boxed")
    return braced(text, start + len("\\boxed")) if text.startswith("\\boxed{", max(start, 0)) else None
