"""Results kept for calls that would give the same again."""

from __future__ import annotations

import json
import pickle
import threading
from collections import OrderedDict
from collections.abc import Hashable

from msgspec.structs import replace

from .base import ToolCall, ToolResult

_encode = json.JSONEncoder(sort_keys=True).encode
_RUN = {"seconds": 0.0, "queue_seconds": 0.0, "retries": 0}
"""What belongs to one run of a call, and not to its result."""


def cache_key(call: ToolCall, seed: int | None) -> Hashable | None:
    """What a result depends on: the function, the arguments as JSON with sorted keys, and the seed if it is given.

    Returns:
        The key; None for arguments that are no JSON, whose results are not kept.
    """
    try:
        return call.name, _encode(call.arguments), seed
    except (TypeError, ValueError, RecursionError):
        return None


class ResultCache:
    """The most recently used results, within bounds of number and bytes. Safe for threads.

    Results are kept pickled: that gives their size, and whoever changes a result's metadata changes his copy alone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> ToolResult | None:
        """The result kept for a key, as successful as when it was put in, or None."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
        result: ToolResult = pickle.loads(entry)
        return result

    def put(self, key: Hashable, result: ToolResult, most_entries: int, most_bytes: int) -> None:
        """Keeps a successful result; any other, and one that cannot be pickled or is too large, is not kept.

        Args:
            key: What `cache_key` gave.
            result: The result as the model sees it.
            most_entries: Entries that may stay, this one included.
            most_bytes: Bytes that they may take, keys not counted.
        """
        if not result.ok:
            return
        try:
            entry = pickle.dumps(replace(result, **_RUN), pickle.HIGHEST_PROTOCOL)
        except Exception:  # metadata may hold anything, although it should be JSON
            return
        if len(entry) > most_bytes or most_entries < 1:
            return
        with self._lock:
            self._bytes += len(entry) - len(self._entries.pop(key, b""))
            self._entries[key] = entry
            while len(self._entries) > most_entries or self._bytes > most_bytes:
                self._bytes -= len(self._entries.popitem(last=False)[1])

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """Bytes that the results take."""
        return self._bytes
