"""Texts that the processes of an `AsyncVectorEnv` hand to their parent.

Gymnasium shares observations between processes through memory of a fixed size, which texts do not have. This memory
grows: a file for each environment, in a temporary folder that is removed with the vector.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


class TextMemory:
    """One text for each of several environments; written in their processes, read in the one that made this.

    Args:
        count: Number of environments.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._folder = tempfile.mkdtemp(prefix="toolgym-texts-")
        weakref.finalize(self, _remove, self._folder, os.getpid())

    def write(self, index: int, text: str) -> None:
        """Sets the text of an environment. Whoever is told of it after this returns reads it whole."""
        self._file(index).write_bytes(text.encode("utf-8", "surrogatepass"))

    def read(self, index: int) -> str:
        """The text of an environment; empty before the first was written."""
        file = self._file(index)
        return file.read_bytes().decode("utf-8", "surrogatepass") if file.exists() else ""

    def _file(self, index: int) -> Path:
        return Path(self._folder, str(index))


class SharedTexts(Sequence[str]):
    """The texts of a memory as they are now. A deep copy is a tuple of them, which stays as it is.

    Args:
        memory: Where they stand.
    """

    def __init__(self, memory: TextMemory) -> None:
        self._memory = memory

    def __len__(self) -> int:
        return self._memory.count

    def __getitem__(self, index: Any) -> Any:
        return tuple(self)[index] if isinstance(index, slice) else self._memory.read(range(len(self))[index])

    def __iter__(self) -> Iterator[str]:
        return map(self._memory.read, range(len(self)))

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        return repr(tuple(self))


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:  # a forked process has this to do at its end, too
        shutil.rmtree(folder, ignore_errors=True)
