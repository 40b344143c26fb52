"""The reward of SWE-RL: how similar a change is to the true one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

BAD_FORM = -1.0
"""What an output in the wrong form earns (SWE-RL, arXiv 2502.18449)."""

MAX_COMPARISON = 30_000_000
"""Largest product of the lengths of two changes that are compared; difflib takes quadratic time."""

MAX_FILE_CHARACTERS = 10_000_000
"""Longest file that edits may make; an edit that matches everywhere can double it each time."""

_TAGS = ("<think>", "</think>", "<solution>", "</solution>")
_CONTEXT_LINES = 3


class _FormError(Exception):
    """The output has not the form that was asked for."""


def swe_rl_reward(output: str, code: Mapping[str, str], new_code: Mapping[str, str]) -> float:
    """The mean similarity over all files that either side changes, in [0, 1]; or -1.

    Source: SWE-RL, arXiv 2502.18449, section 2.2; facebookresearch/swe-rl, `reward.py`. The output is a thought in
    `<think>`, not empty, and in `<solution>` search-and-replace edits in fences. Similar are two unified diffs, with
    three lines of context and without their headers, by the ratio of difflib's `SequenceMatcher`; a file that one side
    alone changes counts 0, and where neither changes any the reward is 1. The wrong form is: a tag that does not occur
    exactly once, an empty thought, no edit, an edit whose two halves are equal, or one whose first half does not stand
    in the file at the start of a line. Departures, so that no output takes hours: changes that differ are compared up
    to about 5,000 by 5,000 characters and count 0 beyond, and edits that make a file of more than ten million
    characters are in the wrong form.

    Args:
        output: What the model wrote.
        code: The files, by path.
        new_code: What the true change makes of them, by path.
    """
    try:
        predicted = _edited(code, _edits(_solution(output)))
    except _FormError:
        return BAD_FORM
    true_changes, changes = _changes(code, new_code), _changes(code, predicted)
    paths = true_changes.keys() | changes.keys()
    if not paths:
        return 1.0
    return sum(_similarity(changes.get(path, ""), true_changes.get(path, "")) for path in sorted(paths)) / len(paths)


def _solution(output: str) -> str:
    if any(output.count(tag) != 1 for tag in _TAGS):
        raise _FormError
    thought = output.partition("<think>")[2].partition("</think>")[0]
    if not thought.strip():
        raise _FormError
    return output.partition("<solution>")[2].partition("</solution>")[0].strip()


_HEAD = re.compile(r"\n### ([^\n]*)\n<<<<<<< SEARCH\n")
_DIVIDER, _END = "\n=======\n", "\n>>>>>>> REPLACE\n```"


def _edits(solution: str) -> dict[str, list[tuple[str, str]]]:
    """Search and replacement texts by path, in order."""
    edits: dict[str, list[tuple[str, str]]] = {}
    position = 0
    for head in _HEAD.finditer(solution):
        line = max(position, solution.rfind("\n", 0, head.start()) + 1)
        if "```" not in solution[line : head.start()]:  # the fence opens on the line before
            continue
        divider = solution.find(_DIVIDER, head.end())
        end = solution.find(_END, divider + len(_DIVIDER)) if divider >= 0 else -1
        if end < 0:
            break
        pair = (solution[head.end() : divider], solution[divider + len(_DIVIDER) : end])
        edits.setdefault(head[1], []).append(pair)
        position = end + len(_END)
    if not edits:
        raise _FormError
    return edits


def _edited(code: Mapping[str, str], edits: Mapping[str, list[tuple[str, str]]]) -> dict[str, str]:
    edited = {}
    for path, pairs in edits.items():
        # Edits begin at the start of a line: the file gets a line break before it, and so do they.
        text = "\n" + code.get(path, "")
        for search, replacement in pairs:
            growth = text.count(f"\n{search}") * (len(replacement) - len(search))
            if search == replacement or f"\n{search}" not in text or len(text) + growth > MAX_FILE_CHARACTERS:
                raise _FormError
            text = text.replace(f"\n{search}", f"\n{replacement}")
        edited[path] = text[1:]
    return edited


def _changes(code: Mapping[str, str], new_code: Mapping[str, str]) -> dict[str, str]:
    """The unified diffs of the files that change, by path."""
    changes = {}
    for path, text in new_code.items():
        lines = difflib.unified_diff(code.get(path, "").splitlines(), text.splitlines(), lineterm="", n=_CONTEXT_LINES)
        body = list(lines)[2:]
        if body:
            changes[path] = "\n".join(body)
    return changes


def _similarity(change: str, true_change: str) -> float:
    if change == true_change:
        return float(bool(change))
    if not change or not true_change or len(change) * len(true_change) > MAX_COMPARISON:
        return 0.0
    return difflib.SequenceMatcher(None, change, true_change, autojunk=False).ratio()
