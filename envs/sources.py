"""Rows and tasks from files, Hugging Face data sets and Python iterables."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from ..tools.errors import InputError
from .task import Task, TaskSet

Row = Mapping[str, Any]
RowSource = str | Path | Iterable[Row]
"""A file, a folder with one file per split, `hf:org/name[:config]`, or rows."""
TaskSource = RowSource | TaskSet

ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
HUB = "hf:"


def read_rows(source: RowSource, split: str | None = None) -> Iterator[Row]:
    """Reads rows one by one.

    Args:
        source: A path that ends in `.jsonl`, `.jsonl.gz`, `.jsonl.zst` or `.parquet`; a folder that holds one such file
            per split (`train.jsonl.gz`); a Hugging Face data set `hf:org/name` or `hf:org/name:config`; or an iterable
            of mappings.
        split: Which split of a folder or a Hugging Face data set. A single file and an iterable are one split already.

    Raises:
        InputError: If the source is missing, has an unknown ending, needs a package that is not installed, or holds
            something that is not a JSON object (file and line are named).
    """
    if isinstance(source, str) and source.startswith(HUB):
        return _hub_rows(source, split)
    if isinstance(source, str | Path):
        return _file_rows(_locate(Path(source), split))
    return _checked(source, "the given rows")


def load_tasks(
    source: TaskSource, make: Callable[[Row, str], Task], split: str | None = None, name: str | None = None
) -> TaskSet:
    """Tasks from a source of rows; a `TaskSet` is returned as it is.

    Args:
        source: As for `read_rows`, or a `TaskSet`.
        make: Makes a task of a row; its second argument is the id to use when the row has none.
        split: As for `read_rows`.
        name: Name of the set, by which rows without an id are numbered (`NAME-INDEX`); the file's name by default.

    Raises:
        InputError: If the source cannot be read, holds no row, a row lacks a field, or two rows have the same id.
    """
    if isinstance(source, TaskSet):
        return source
    return TaskSet.from_rows(read_rows(source, split), make, name or source_name(source))


def source_name(source: TaskSource) -> str:
    """A short name of a source: that of the file without its endings, of the data set, or `rows`."""
    if isinstance(source, TaskSet):
        return source.name
    if isinstance(source, str) and source.startswith(HUB):
        return source.removeprefix(HUB)
    if isinstance(source, str | Path):
        path = Path(source)
        ending = next((ending for ending in ENDINGS if path.name.endswith(ending)), "")
        return path.name.removesuffix(ending)
    return "rows"


def _locate(path: Path, split: str | None) -> Path:
    if path.is_dir():
        if split is None:
            raise InputError(
                f"{path} is a folder; say which split of it to read (a file such as {path / 'train.jsonl'})"
            )
        found = [path / f"{split}{ending}" for ending in ENDINGS if (path / f"{split}{ending}").is_file()]
        if not found:
            here = sorted(entry.name for entry in path.iterdir() if entry.name.endswith(ENDINGS))
            raise InputError(f"{path} has no split {split!r}; it has {here or 'no ' + '/'.join(ENDINGS) + ' file'}")
        return found[0]
    if not path.name.endswith(ENDINGS):
        raise InputError(f"{path}: unknown ending; rows are read from {', '.join(ENDINGS)} or hf:org/name")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; give the path of a file with one row per line")
    return path


def _file_rows(path: Path) -> Iterator[Row]:
    if path.name.endswith(".parquet"):
        return _parquet_rows(path)
    return _json_rows(path)


def _json_rows(path: Path) -> Iterator[Row]:
    try:
        with _open_text(path) as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise InputError(
                        f"{path}, line {number}: broken JSON ({error.msg}); each line holds one object"
                    ) from error
                if not isinstance(row, dict):
                    raise InputError(f"{path}, line {number}: a JSON {type(row).__name__}; each line holds one object")
                yield row
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); give a UTF-8 file in the format its ending says"
        ) from error


def _open_text(path: Path) -> IO[str]:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8")
    if path.name.endswith(".zst"):
        return io.TextIOWrapper(io.BufferedReader(_ZstdReader(path)), encoding="utf-8")
    return path.open(encoding="utf-8")


class _ZstdReader(io.RawIOBase):
    """Decompressed bytes of a file; damage and a missing end are an `OSError`, as in gzip."""

    def __init__(self, path: Path) -> None:
        self._zstandard = _package("zstandard", path)
        self._file = path.open("rb")
        self._frame: Any = None
        self._pending = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._pending:
            data = self._file.read(1 << 16)
            if not data:
                if self._frame is not None:
                    raise OSError("the compressed data ends too early")
                return 0
            self._pending = self._decompress(data)
        size = min(len(buffer), len(self._pending))
        buffer[:size] = self._pending[:size]
        self._pending = self._pending[size:]
        return size

    def _decompress(self, data: bytes) -> bytes:
        parts = []
        while data:
            self._frame = self._frame or self._zstandard.ZstdDecompressor().decompressobj()
            try:
                parts.append(self._frame.decompress(data))
            except self._zstandard.ZstdError as error:
                raise OSError(str(error)) from error
            data = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
        return b"".join(parts)

    def close(self) -> None:
        self._file.close()
        super().close()


def _parquet_rows(path: Path) -> Iterator[Row]:
    _package("pyarrow", path)
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(path) as table:
            for batch in table.iter_batches():
                yield from batch.to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({_line(error)}); write the file again") from error


def _hub_rows(source: str, split: str | None) -> Iterator[Row]:
    if split is None:
        raise InputError(f"{source}: say which split of the data set to read, such as split='train'")
    name, _, config = source.removeprefix(HUB).partition(":")
    if not name:
        raise InputError(f"{source!r} names no data set; write hf:org/name or hf:org/name:config")
    datasets = _package("datasets", source)
    try:
        rows = datasets.load_dataset(name, config or None, split=split)
    except Exception as error:  # the hub, its cache and the parsers raise many kinds
        raise InputError(f"{source}, split {split!r}: cannot be loaded ({_line(error)})") from error
    return _checked(rows, source)


def _checked(rows: Iterable[Row], name: str) -> Iterator[Row]:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise InputError(f"{name}, row {number}: a {type(row).__name__}; each row is a mapping of fields")
        yield row


def _package(name: str, source: object) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"{source}: reading it needs {name!r}; install it with: pip install 'toolgym[data]'"
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
