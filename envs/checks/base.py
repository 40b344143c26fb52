"""What a check is, and the environment that it looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..env import ScriptedPolicy, ToolEnv
from ..task import Task


class CheckFailed(Exception):  # a verdict, not a mistake in a program
    """The environment has the defect that the check stops; the message says how it showed."""


class CheckSkipped(Exception):
    """The check cannot be made of this environment; the message says why."""


@dataclass(frozen=True)
class Subject:
    """An environment under examination.

    Attributes:
        env: The environment. No check resets or steps it: each takes fresh copies.
        tasks: The tasks that are played.
        seed: Keys everything that a check draws.
    """

    env: ToolEnv
    tasks: tuple[Task, ...]
    seed: int

    @contextmanager
    def fresh(self) -> Iterator[ToolEnv]:
        """A new environment without an episode, closed in the end."""
        env = self.env.spawn()
        try:
            yield env
        finally:
            env.close()

    def oracle(self, env: ToolEnv) -> ScriptedPolicy:
        """The oracle of an environment.

        Raises:
            CheckSkipped: If it has none.
        """
        try:
            return env.oracle()
        except NotImplementedError:
            raise CheckSkipped("the environment has no oracle") from None


Examine = Callable[[Subject], None]
"""Looks at an environment; raises `CheckFailed` or `CheckSkipped`."""


@dataclass(frozen=True)
class Check:
    """A named check.

    Attributes:
        name: By which it is asked for.
        stops: The defect that it stops, in a sentence.
        seen: Where that defect was shipped.
        examine: The check itself.
        needs: Checks without which this one says nothing: where one of them is red, it is skipped, so that a defect
            shows once.
    """

    name: str
    stops: str
    seen: str
    examine: Examine
    needs: tuple[str, ...] = ()


def check(stops: str, seen: str, needs: tuple[Check, ...] = ()) -> Callable[[Examine], Check]:
    """Makes a check of a function, whose name it takes.

    Args:
        stops: The defect that it stops, in a sentence.
        seen: Where that defect was shipped.
        needs: Checks without which it says nothing.
    """
    names = tuple(needed.name for needed in needs)
    return lambda examine: Check(examine.__name__, stops, seen, examine, names)


def expect(holds: object, reason: str) -> None:
    """Goes on if something holds.

    Raises:
        CheckFailed: If it does not, for that reason.
    """
    if not holds:
        raise CheckFailed(reason)


def shown(text: object, most: int = 80) -> str:
    """A value for a reason: its repr, shortened."""
    written = repr(text[: most * 2] if isinstance(text, str) else text)
    return written if len(written) <= most else f"{written[: most - 3]}..."
