"""A corpus: the passages that a retriever searches, read from JSON lines or given directly."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast, overload

from ..errors import InputError


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text that can be found.

    Attributes:
        id: Identifier, unique within the corpus.
        title: Title of the document it comes from; may be empty.
        text: The text itself, without the title.
    """

    id: str
    title: str
    text: str


class Corpus(Sequence[Passage]):
    """An immutable sequence of passages with distinct ids.

    Args:
        passages: The passages, in the order that breaks ties between equal scores.
        name: What to call the corpus in error messages.

    Raises:
        InputError: If there is no passage, or two have the same id.
    """

    def __init__(self, passages: Iterable[Passage], name: str = "the corpus") -> None:
        self._passages = tuple(passages)
        if not self._passages:
            raise InputError(f"{name} has no passages; give at least one")
        self._positions: dict[str, int] = {}
        for position, passage in enumerate(self._passages):
            first = self._positions.setdefault(passage.id, position)
            if first != position:
                raise InputError(
                    f"{name}: passages {first + 1} and {position + 1} share the id {passage.id!r}; make ids distinct"
                )

    @classmethod
    def from_jsonl(cls, path: str | os.PathLike[str]) -> Corpus:
        r"""Reads JSON lines: plain, `.gz` or `.zst` (needs the `data` extra).

        A row has `text` and may have `title` and `id`; instead of `text` it may have `contents` in the form
        `"Title"\ntext`. A row without an id gets the number of its line. Empty lines are skipped.

        Args:
            path: The file.

        Raises:
            InputError: If the file is missing or damaged, a line is no JSON object or has no text (the message gives
                the line number), two ids are equal, or there is no row.
        """
        path = Path(path)
        passages: list[Passage] = []
        lines: dict[str, int] = {}
        for number, line in _read_lines(path):
            passage = _parse_row(line, f"{path}, line {number}", str(number))
            first = lines.setdefault(passage.id, number)
            if first != number:
                raise InputError(
                    f"{path}, line {number}: the id {passage.id!r} is already on line {first}; make ids distinct"
                )
            passages.append(passage)
        return cls(passages, str(path))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over ids, titles and texts in order: equal exactly when the passages are equal."""
        digest = hashlib.sha256()
        for passage in self._passages:
            for part in (passage.id, passage.title, passage.text):
                data = part.encode("utf-8", "surrogatepass")
                digest.update(len(data).to_bytes(8, "little"))
                digest.update(data)
        return digest.hexdigest()

    def get(self, id: str) -> Passage:
        """The passage with an id.

        Raises:
            KeyError: If there is none.
        """
        return self._passages[self._positions[id]]

    def __len__(self) -> int:
        return len(self._passages)

    def __iter__(self) -> Iterator[Passage]:
        return iter(self._passages)

    @overload
    def __getitem__(self, index: int) -> Passage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Passage]: ...
    def __getitem__(self, index: int | slice) -> Passage | Sequence[Passage]:
        return self._passages[index]

    def __repr__(self) -> str:
        return f"Corpus({len(self)} passages)"


def _read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, with their numbers from 1."""
    number = 0
    try:
        with _open(path) as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, line.decode("utf-8")
    except FileNotFoundError:
        raise InputError(f"corpus file {path} does not exist; give the path of a JSON lines file") from None
    except IsADirectoryError:
        raise InputError(f"corpus file {path} is a folder; give the path of a JSON lines file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}, line {number}: not UTF-8 ({error.reason}); re-encode the file") from None
    except (EOFError, zlib.error, OSError) as error:
        raise InputError(f"{path}, after line {number}: cannot be read ({error}); is the file damaged?") from None


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if path.suffix == ".zst":
        return _open_zstandard(path)
    return open(path, "rb")


def _open_zstandard(path: Path) -> BinaryIO:
    try:
        import zstandard
    except ImportError:
        raise InputError(f"{path} is compressed with zstandard; install it: pip install 'toolgym[data]'") from None

    class Reader(io.BufferedReader):
        """Turns the library's own error for damaged data into one that every caller of a file knows."""

        def __next__(self) -> bytes:
            try:
                return super().__next__()
            except zstandard.ZstdError as error:
                raise OSError(str(error)) from None

    raw = open(path, "rb")  # noqa: SIM115  # the reader closes it
    stream = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=True)
    return cast(BinaryIO, Reader(stream))


def _parse_row(line: str, place: str, number: str) -> Passage:
    try:
        row: Any = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{place}: not valid JSON ({error}); expected one object per line") from None
    if not isinstance(row, dict):
        raise InputError(f"{place}: expected a JSON object, got {type(row).__name__}")
    identifier = row.get("id", number)
    if isinstance(identifier, bool) or not isinstance(identifier, str | int) or identifier == "":
        raise InputError(f"{place}: the id must be a text or a whole number, got {identifier!r}")
    title = row.get("title")
    if title is not None and not isinstance(title, str):
        raise InputError(f"{place}: the title must be a text, got {type(title).__name__}")
    text = row.get("text")
    if text is None and isinstance(row.get("contents"), str):
        found, text = _split_contents(row["contents"])
        title = title if title is not None else found
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{place}: no text; expected a field 'text' (or 'contents'), got the fields {sorted(row)}")
    return Passage(str(identifier), title or "", text)


def _split_contents(contents: str) -> tuple[str, str]:
    r"""Splits `"Title"\ntext` into title and text; without a line break all is text."""
    first, separator, rest = contents.partition("\n")
    if not separator:
        return "", contents
    first = first.strip()
    if len(first) >= 2 and first[0] == first[-1] == '"':
        first = first[1:-1]
    return first, rest
