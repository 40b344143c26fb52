"""Errors for names that a registry does not know."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ...tools.errors import InputError


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for an unknown name: says what is known and what may have been meant.

    Args:
        kind: What is looked up (`action format`, `reward`).
        name: The name that was given.
        known: The names that exist.
    """
    names = sorted(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return InputError(f"unknown {kind} {name!r}{hint} (known: {', '.join(names)})")
