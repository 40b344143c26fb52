"""What an environment asks: tasks with stable ids, and sets of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..tools.errors import InputError


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
        order = np.random.default_rng(seed).permutation(len(self._tasks))
        return TaskSet((self._tasks[int(index)] for index in order), self.name)

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
    def generate(cls, make: Callable[[int, int], Task], size: int, seed: int = 0, name: str = "generated") -> TaskSet:
        """Tasks from a seeded generator.

        Args:
            make: `make(seed, index)` returns task `index`; it must depend on nothing else.
            size: How many.
            seed: Seed handed to `make`.
            name: Name of the set.
        """
        return cls((make(seed, index) for index in range(size)), name)
