"""What an environment asks: tasks with stable ids, and sets of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..tools.errors import InputError

ENDLESS = 2**31 - 1
"""Length of a set whose tasks never run out."""
MOST_AT_ONCE = 1_000_000
"""Tasks of a generated set that are made at once, at most."""
_KEPT = 4096


@dataclass(frozen=True)
class Task:
    """One question, puzzle or problem.

    Attributes:
        id: Stable identifier, unique within its task set.
        question: The text that is put to the agent.
        answers: Accepted answers; empty only where a verifier needs none.
        metadata: Further facts for oracles, verifiers and reports (gold passages, puzzle solution, hops); the agent
            never sees them.
    """

    id: str
    question: str
    answers: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


class TaskSet(Sequence[Task]):
    """A named, immutable sequence of tasks with unique ids.

    Rows from files are mapped by `Task`-making functions of the environments (`SearchQAEnv.task_from_row`, ...), so
    that one file can serve several environments.

    Args:
        tasks: The tasks, in their order.
        name: Where they come from, for reports and errors.

    Raises:
        InputError: If there is no task or two have the same id.
    """

    def __init__(self, tasks: Iterable[Task], name: str = "tasks") -> None:
        self._tasks = tuple(tasks)
        self.name = name
        if not self._tasks:
            raise InputError(f"{name}: there is no task in it; at least one is needed")
        self._position = {task.id: index for index, task in enumerate(self._tasks)}
        if len(self._position) != len(self._tasks):
            seen: set[str] = set()
            double = next(task.id for task in self._tasks if task.id in seen or seen.add(task.id))  # type: ignore[func-returns-value]
            raise InputError(f"{name}: two tasks have the id {double!r}; ids must be unique")

    @property
    def endless(self) -> bool:
        """Whether the tasks never run out; a set that is written down always does."""
        return False

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks)

    def __getitem__(self, index: Any) -> Any:
        """The task at a position, or a `TaskSet` of a slice."""
        if isinstance(index, slice):
            return TaskSet(self._tasks[index], self.name)
        return self._tasks[index]

    def by_id(self, task_id: str) -> Task:
        """The task with an id.

        Raises:
            InputError: If there is none.
        """
        if task_id not in self._position:
            raise InputError(f"{self.name}: no task has the id {task_id!r}; ids look like {self._tasks[0].id!r}")
        return self._tasks[self._position[task_id]]

    def head(self, count: int) -> TaskSet:
        """The first `count` tasks (all, if there are fewer)."""
        return TaskSet(self._tasks[:count], self.name)

    def shuffled(self, seed: int) -> TaskSet:
        """The same tasks in an order that depends on `seed` alone."""
        order = np.random.default_rng(seed).permutation(len(self))
        return TaskSet((self[int(index)] for index in order), self.name)

    @classmethod
    def from_rows(
        cls, rows: Iterable[Mapping[str, Any]], make: Callable[[Mapping[str, Any], str], Task], name: str = "rows"
    ) -> TaskSet:
        """Tasks from mappings.

        Args:
            rows: The rows.
            make: Makes a task of a row; its second argument is the id to use when the row has none
                (`NAME-POSITION`). It raises `KeyError` for a missing field.
            name: Where the rows come from.

        Raises:
            InputError: If a row lacks a field; names the row.
        """
        tasks = []
        for index, row in enumerate(rows):
            try:
                tasks.append(make(row, f"{name}-{index}"))
            except KeyError as error:
                raise InputError(f"{name}: row {index + 1} has no field {error}; it has {sorted(row)}") from error
        return cls(tasks, name)

    @classmethod
    def generate(
        cls, make: Callable[[int, int], Task], size: int | None = None, seed: int = 0, name: str = "generated"
    ) -> GeneratedTaskSet:
        """Tasks from a seeded generator, each made when it is asked for.

        Args:
            make: `make(seed, index)` returns task `index`; it must depend on nothing else. The set gives it its id,
                `NAME-INDEX`.
            size: How many; None means that they never run out.
            seed: Seed handed to `make`.
            name: Name of the set.

        Raises:
            InputError: If the size is below 1.
        """
        return GeneratedTaskSet(make, size, seed, name)


class GeneratedTaskSet(TaskSet):
    """Tasks that are made when they are asked for; only the last few are kept. `TaskSet.generate` makes one."""

    def __init__(self, make: Callable[[int, int], Task], size: int | None, seed: int, name: str) -> None:
        if size is not None and not 1 <= size <= ENDLESS:
            raise InputError(f"{name}: size must be None (endless) or from 1 to {ENDLESS}, not {size}")
        self.name = name
        self._make, self._size, self._seed = make, ENDLESS if size is None else size, seed
        self._recent: list[tuple[int, Task] | None] = [None] * min(self._size, _KEPT)

    @property
    def endless(self) -> bool:
        """Whether the tasks never run out."""
        return self._size == ENDLESS

    def __len__(self) -> int:
        """How many; `ENDLESS` where they never run out."""
        return self._size

    def __iter__(self) -> Iterator[Task]:
        return (self._task(index) for index in range(self._size))

    def __getitem__(self, index: Any) -> Any:
        """The task at a position, or a `TaskSet` of a slice."""
        if isinstance(index, slice):
            positions = range(self._size)[index]
            if positions.start == 0 and positions.step == 1 and len(positions) > 0:
                return self.head(len(positions))
            if len(positions) > MOST_AT_ONCE:
                raise InputError(f"{self.name}: {len(positions)} tasks at once are too many; take a shorter slice")
            return TaskSet((self._task(position) for position in positions), self.name)
        return self._task(range(self._size)[index])

    def by_id(self, task_id: str) -> Task:
        """The task with an id.

        Raises:
            InputError: If there is none.
        """
        prefix, _, number = task_id.rpartition("-")
        known = prefix == self.name and number.isascii() and number.isdecimal() and str(int(number[:12])) == number
        if not known or int(number) >= self._size:
            raise InputError(f"{self.name}: no task has the id {task_id!r}; ids look like '{self.name}-0'")
        return self._task(int(number))

    def head(self, count: int) -> TaskSet:
        """The first `count` tasks (all, if there are fewer)."""
        return GeneratedTaskSet(self._make, min(count, self._size), self._seed, self.name)

    def shuffled(self, seed: int) -> TaskSet:
        """The same tasks in an order that depends on `seed` alone.

        Raises:
            InputError: If they are too many to be put in an order.
        """
        if self._size > MOST_AT_ONCE:
            raise InputError(f"{self.name} has {self._size} tasks, too many to shuffle; take head(COUNT) first")
        return super().shuffled(seed)

    def _task(self, index: int) -> Task:
        place = index % len(self._recent)
        kept = self._recent[place]
        if kept is not None and kept[0] == index:
            return kept[1]
        task = replace(self._make(self._seed, index), id=f"{self.name}-{index}")
        self._recent[place] = (index, task)
        return task
