"""Rows and tasks from files, Hugging Face data sets and Python iterables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..tools.errors import InputError
from ..tools.rows import HUB, JSON_ENDINGS, PARQUET
from ..tools.rows import read_rows as read_placed_rows
from .task import Task, TaskSet

Row = Mapping[str, Any]
RowSource = str | Path | Iterable[Row]
"""A file, a folder with one file per split, `hf:org/name[:config]`, or rows."""
TaskSource = RowSource | TaskSet

_TEST_SEED_OFFSET = 1_000_003
ENDINGS = (*JSON_ENDINGS, PARQUET)


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
        return (row.values for row in read_placed_rows(source, split))
    if isinstance(source, str | Path):
        return (row.values for row in read_placed_rows(_locate(Path(source), split)))
    return _checked(source)


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


def split_seed(split: str, seed: int) -> int:
    """Seed of a split of generated tasks: the test tasks' is far from the training tasks' of any small seed.

    Raises:
        InputError: If the split is neither `train` nor `test`.
    """
    if split not in ("train", "test"):
        raise InputError(f"generated tasks have the splits 'train' and 'test', not {split!r}")
    return seed + _TEST_SEED_OFFSET * (split == "test")


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


def _checked(rows: Iterable[Row]) -> Iterator[Row]:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise InputError(f"the given rows, row {number}: a {type(row).__name__}; each row is a mapping of fields")
        yield row
