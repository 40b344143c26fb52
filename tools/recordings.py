"""A file of recorded requests and responses, written by several threads and processes at once."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from .errors import InputError, ToolUnavailable
from .redaction import Secrets

FORMAT = 1


def request_key(request: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a request: of its JSON with sorted keys and no spaces."""
    return sha256(_dump(request, sort_keys=True).encode("ascii")).hexdigest()


class RecordingFile:
    """Responses by key, and the file they are kept in. Safe for threads; appending is safe for processes.

    Args:
        path: The file, JSON lines.
        secrets: Names of environment variables whose values `{env:NAME}` replaces in what is written.

    Raises:
        InputError: If a secret is so short that it may be part of other words.
    """

    def __init__(self, path: Path, secrets: Sequence[str] = ()) -> None:
        self._path = path
        self._secrets = Secrets(secrets)
        self._lock = threading.Lock()
        self._responses: dict[str, Any] = {}
        self._end = 0

    def read(self) -> None:
        """Reads all recordings; of two with one key the later counts.

        Raises:
            InputError: If a line before the last is damaged, or the file is no cassette.
        """
        if self._path.exists():
            with self._opened("rb") as stream:
                self._responses.update(self._news(stream))

    def skip(self) -> None:
        """Leaves alone what is there."""
        if self._path.exists():
            with self._opened("rb") as stream:
                self._end = stream.seek(0, os.SEEK_END)

    def make(self) -> None:
        """Makes the file if it is missing: a recording of nothing can be replayed as well.

        Raises:
            InputError: If it cannot be made.
        """
        with contextlib.suppress(OSError):  # what is in the way is named when the file is opened
            self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._opened("ab"):
            pass

    def append(self, key: str, request: Mapping[str, Any], response: Any) -> None:
        """Writes a recording, unless another process was first since this file was read: then that one counts.

        Raises:
            ToolUnavailable: If the response is no JSON, or the file cannot be written.
        """
        entry = {"format": FORMAT, "key": key, "request": request, "response": response}
        try:
            line = self._secrets.redact(_dump(entry))
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock, self._opened("a+b") as stream, _locked(stream):
                self._write(stream, key, line)
        except (TypeError, ValueError, OSError) as error:
            # Not the model's doing: as any other exception it would be taken for the tool's answer to it.
            raise ToolUnavailable(f"cassette {self._path}: this cannot be recorded: {error}") from error

    def as_kept(self, response: Any) -> Any:
        """A response as it comes back: through JSON, without secrets.

        Raises:
            TypeError, ValueError: If it is no JSON.
        """
        return json.loads(self._secrets.redact(_dump(response)))

    def __contains__(self, key: str) -> bool:
        return key in self._responses

    def __getitem__(self, key: str) -> Any:
        # A copy, so that whoever changes a result changes his own alone.
        return json.loads(json.dumps(self._responses[key]))

    def __len__(self) -> int:
        return len(self._responses)

    @contextlib.contextmanager
    def _opened(self, mode: str) -> Iterator[Any]:
        try:
            with open(self._path, mode) as stream:
                yield stream
        except OSError as error:
            raise InputError(
                f"cassette {self._path}: {error.strerror}; give a file that can be read and written"
            ) from None

    def _news(self, stream: BinaryIO) -> Iterator[tuple[str, Any]]:
        """The recordings from the stream's position on. Sets where the last whole line ends."""
        self._end = stream.tell()
        for line in stream:
            if not line.endswith(b"\n"):
                warnings.warn(f"cassette {self._path}: the last line is cut off and left out", stacklevel=5)
                return
            try:
                entry = json.loads(line)
                if entry["format"] != FORMAT:
                    raise InputError(
                        f"cassette {self._path}: format {entry['format']}, expected {FORMAT}; record it again"
                    )
                recording = (str(entry["key"]), entry["response"])
            except (ValueError, KeyError, TypeError) as error:
                if isinstance(error, InputError):
                    raise
                raise InputError(
                    f"cassette {self._path}: what stands at byte {self._end} is no recording; delete that line"
                ) from None
            self._end += len(line)
            yield recording

    def _write(self, stream: BinaryIO, key: str, line: str) -> None:
        stream.seek(self._end)
        for other, known in self._news(stream):
            self._responses.setdefault(other, known)
        if key in self._responses:
            return
        # Nobody else is writing: what is left behind the last whole line was cut off by a crash.
        stream.truncate(self._end)
        stream.seek(self._end)
        stream.write(line.encode("ascii") + b"\n")
        stream.flush()
        self._end = stream.tell()
        self._responses[key] = json.loads(line)["response"]


def _dump(value: Any, sort_keys: bool = False) -> str:
    return json.dumps(value, sort_keys=sort_keys, separators=(",", ":"))


@contextlib.contextmanager
def _locked(stream: BinaryIO) -> Iterator[None]:
    import fcntl

    fcntl.flock(stream, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(stream, fcntl.LOCK_UN)
