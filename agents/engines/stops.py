"""Finding stop strings while tokens arrive, without decoding all text at every token."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .base import StopChecker


class StopDetector:
    """Finds the token with which a stop string is complete.

    A token can complete a stop string only if its own text holds the string's last character; which tokens do is
    remembered. Last characters outside ASCII may be spread over several tokens, and spaces may change with a token's
    neighbours: with such a stop string every token is looked at.

    Args:
        stop: Stop strings.
        decode: Text of ids.
    """

    def __init__(self, stop: Sequence[str], decode: Callable[[Sequence[int]], str]) -> None:
        self._checker = StopChecker(tuple(mark for mark in stop if mark))
        self._decode = decode
        self._last = {mark[-1] for mark in self._checker.stop}
        self._plain = all(character.isascii() and not character.isspace() for character in self._last)
        # A token holds at least a byte, special tokens apart, so that a string spans no more tokens than it has bytes.
        self._window = max((len(mark.encode()) for mark in self._checker.stop), default=0) + 8
        self._known: dict[int, bool] = {}

    def may_end(self, token: int) -> bool:
        """Whether a stop string may be complete with this token."""
        known = self._known.get(token)
        if known is None:
            known = bool(self._last) and (not self._plain or not self._last.isdisjoint(self._decode([token])))
            self._known[token] = known
        return known

    def cut(self, ids: Sequence[int], start: int) -> tuple[str, int] | None:
        """Looks for a stop string that the last token completed.

        Args:
            ids: Tokens of the row.
            start: Where the sampled ones begin.

        Returns:
            The sampled text through the stop string and the number of characters after it, or None.
        """
        if self._checker.cut(self._decode(ids[max(start, len(ids) - self._window) :])) is None:
            return None
        return self._checker.cut(self._decode(ids[start:]))
