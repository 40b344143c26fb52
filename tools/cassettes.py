"""Cassettes: calls of tools and retrievers recorded in a file, and played back without what answered them.

A cassette is a file of JSON lines, one for each different request:

    {"format": 1, "key": SHA-256 of the request, "request": {...}, "response": {...}}

The request names what was asked (the identity of the tool or retriever, function and arguments, or query and k) and
so is content-addressed: the same request has the same key in every run. Where sessions have state, it also names the
session's request before it (`after`), and so everything that led to the state, and the seed if the tool draws. The
response is whole: status, text, cuts, times and metadata of a tool's result; ids, titles, texts and scores of passages.
Headers and keys that a tool sends are no part of a call, and so of no recording.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

from .base import Tool
from .errors import InputError, ToolUnavailable
from .identity import identity_of
from .recorded_tools import RecordedTool
from .recordings import RecordingFile, request_key
from .retrievers.base import Retriever, ScoredPassage
from .retrievers.corpus import Passage

Mode = Literal["record", "replay", "auto", "off"]
MODES: tuple[Mode, ...] = ("record", "replay", "auto", "off")


class MissingRecording(ToolUnavailable):
    """A request that a cassette in mode `replay` does not have. No observation: the model did not cause it."""


class Cassette:
    """Records requests and their responses in a file, or plays them back.

    Within one cassette equal requests get equal responses: a request goes out once, even when several threads or (in
    mode `auto`) processes ask at the same time, so that a replay repeats exactly what was seen. That holds for a
    failure of the model's making as for a success; when the tool is unavailable, nothing is recorded.

    Sessions with state are recorded by the calls that they make. On replay no session is opened. When a call has to go
    out after others were answered from the file (another episode had begun alike, or the session was restored from a
    snapshot), those are made first in the tool's own session; if one of them now gives something else, that is an error
    (`ChangedAnswer`), since the state would be another one.

    Args:
        path: The file; made when missing, except by `replay`.
        mode: `replay` answers from the file alone. `auto` answers from the file and records what is missing there.
            `record` asks everything anew, once, and records it over what was there. `off` does nothing.
        secrets: Names of environment variables whose values must not get into the file; `{env:NAME}` stands in.

    Attributes:
        hits: Requests that were answered from the file so far.
        misses: Requests that were not there.

    Raises:
        InputError: If the mode is unknown, or the file is missing, damaged before its last line, or no cassette.
    """

    def __init__(self, path: str | os.PathLike[str], mode: Mode = "auto", secrets: Sequence[str] = ()) -> None:
        if mode not in MODES:
            raise InputError(f"unknown cassette mode {mode!r}; choose from {', '.join(MODES)}")
        self.path, self.mode = Path(path), mode
        if mode == "replay" and not self.path.exists():
            raise InputError(f"cassette {path} does not exist; record it first, with mode 'record' or 'auto'")
        self._secrets = tuple(secrets)
        self._file = RecordingFile(self.path, secrets)
        if mode in ("record", "auto"):
            self._file.make()
        if mode in ("replay", "auto"):
            self._file.read()
        elif mode == "record":
            self._file.skip()
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self.hits = self.misses = 0

    @overload
    def wrap(self, target: Tool, identity: str | None = None) -> Tool: ...
    @overload
    def wrap(self, target: Retriever, identity: str | None = None) -> Retriever: ...
    def wrap(self, target: Tool | Retriever, identity: str | None = None) -> Tool | Retriever:
        """The same tool or retriever, with its calls on this cassette.

        Args:
            target: A tool or a retriever. A tool that is on this cassette already is returned as it is.
            identity: What its results depend on, where it cannot say so itself (see `identity_of`) or where recordings
                should be shared, such as one index behind several addresses.

        Raises:
            InputError: If it is neither tool nor retriever.
        """
        name = partial(identity_of, target) if identity is None else partial(dict, name=identity)
        if isinstance(target, Tool):
            wrapped = isinstance(target, RecordedTool) and target.tape is self
            return target if wrapped or self.mode == "off" else RecordedTool(self, target, name)
        if not isinstance(target, Retriever):
            raise InputError(f"a cassette wraps tools and retrievers, not {type(target).__name__}")
        return target if self.mode == "off" else RecordedRetriever(self, target, name)

    def play(self, requests: Sequence[Mapping[str, Any]], ask: Callable[[list[int]], Sequence[Any]]) -> list[Any]:
        """The responses to requests: recorded ones, and what `ask` brings for the others.

        Args:
            requests: JSON-able descriptions.
            ask: Takes the positions of requests that are not recorded, each different one once; returns their
                responses, JSON-able.

        Returns:
            One response per request, as the file has it.

        Raises:
            MissingRecording: In mode `replay`, for a request that is not there.
            ToolUnavailable: If a response is no JSON or cannot be written.
        """
        keys = [request_key(request) for request in requests]
        # In one order, so that two threads never wait for each other.
        locks = [self._lock_of(key) for key in sorted(set(keys))]
        for lock in locks:
            lock.acquire()
        try:
            first = {key: keys.index(key) for key in dict.fromkeys(keys)}
            missing = [position for key, position in first.items() if key not in self._file]
            with self._lock:
                self.misses += len(missing)
                self.hits += len(keys) - len(missing)
            if missing:
                if self.replays:
                    request = dict(requests[missing[0]])
                    raise MissingRecording(f"{self.path} has no recording of {request}; record it in mode 'auto'")
                responses = ask(missing)
                for position, response in zip(missing, responses, strict=True):
                    self._file.append(keys[position], requests[position], response)
            return [self._file[key] for key in keys]
        finally:
            for lock in reversed(locks):
                lock.release()

    @property
    def replays(self) -> bool:
        """Whether the file alone answers."""
        return self.mode == "replay"

    def has(self, request: Mapping[str, Any]) -> bool:
        """Whether a request is recorded."""
        return request_key(request) in self._file

    def note(self, request: Mapping[str, Any], response: Any) -> None:
        """Writes down what nobody had to be asked for; it counts neither as hit nor as miss.

        Raises:
            ToolUnavailable: If the response is no JSON or cannot be written.
        """
        self._file.append(request_key(request), request, response)

    def as_kept(self, response: Any) -> Any:
        """A response as it comes back from the file: through JSON, without secrets.

        Raises:
            TypeError, ValueError: If it is no JSON.
        """
        return self._file.as_kept(response)

    def __len__(self) -> int:
        return len(self._file)

    def __reduce__(self) -> tuple[type[Cassette], tuple[Path, Mode, tuple[str, ...]]]:
        return Cassette, (self.path, self.mode, self._secrets)  # a copy, and another process, opens the file itself

    def _lock_of(self, key: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(key, threading.Lock())


class RecordedRetriever:
    """A retriever whose searches are on a cassette. Make one with `Cassette.wrap`."""

    def __init__(self, cassette: Cassette, retriever: Retriever, identity: Callable[[], Mapping[str, Any]]) -> None:
        self._cassette, self._retriever, self._identity = cassette, retriever, identity
        self.bounds_its_time = getattr(retriever, "bounds_its_time", False) or cassette.mode == "replay"
        self.cacheable = getattr(retriever, "cacheable", True)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What results depend on: the retriever's own, as it is now, or the one that was given."""
        return self._identity()

    def search(self, query: str, k: int) -> list[ScoredPassage]:
        """As the retriever's."""
        return self.search_batch([query], k)[0]

    def search_batch(self, queries: Sequence[str], k: int) -> list[list[ScoredPassage]]:
        """As the retriever's; queries that are not recorded are asked together."""

        def ask(positions: list[int]) -> list[Any]:
            rows = self._retriever.search_batch([queries[position] for position in positions], k)
            return [
                [[hit.passage.id, hit.passage.title, hit.passage.text, float(hit.score)] for hit in r] for r in rows
            ]

        identity = self.identity
        requests = [{"retriever": identity, "query": query, "k": k} for query in queries]
        rows = self._cassette.play(requests, ask)
        return [[ScoredPassage(Passage(i, title, text), score) for i, title, text, score in row] for row in rows]
