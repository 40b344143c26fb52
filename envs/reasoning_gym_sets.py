"""Reasoning-gym's data sets: opened, their items, their levels."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import json
import os
import random
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..tools.errors import InputError, ToolUnavailable
from ..tools.sandbox.layers import ISOLATIONS, Isolation

if TYPE_CHECKING:
    from ..tools.sandbox import Sandbox

APART: Mapping[str, str] = MappingProxyType(
    {
        "bf": "it prints to the terminal",
        "codeio": "it runs programs that a language model wrote, which may write files",
        "isomorphic_strings": "it draws from sets, in the order of hashes",
        "knight_swap": "it draws from sets, in the order of hashes",
        "polynomial_multiplication": "it draws from sets, in the order of hashes",
        "ransom_note": "it draws from sets, in the order of hashes",
        "word_ladder": "it draws from sets, in the order of hashes",
    }
)
"""Data sets whose items are made in an interpreter of their own, and why (reasoning-gym 0.1.25)."""
RUNS_PROGRAMS = frozenset({"codeio"})
"""Those that need a sandbox for it."""

Entry = dict[str, Any]
"""An item as reasoning-gym has it: `question`, `answer`, `metadata`."""

_OPEN_AT_ONCE = 32
_ITEM_SECONDS = 600.0
_PRELUDE = """
import json
import math
import random
import zlib
from functools import lru_cache

import numpy
from reasoning_gym.factory import create_dataset

@lru_cache(maxsize=8)
def open_set(name, config):
    return create_dataset(name, **json.loads(config))

def item(name, config, index):
    opened, key = open_set(name, config), f"{config} {index}"
    random.seed(key)
    numpy.random.seed(zlib.crc32(key.encode()))
    return plain(opened[index])

def plain(value):
    if isinstance(value, dict):
        return {plain(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value)) if type(value) in (list, tuple) else list(map(plain, value))
    known = value is None or type(value) in (bool, int, str) or type(value) is float and math.isfinite(value)
    return value if known else repr(value)
"""
_GLOBAL_RANDOMNESS = threading.RLock()


class Source(NamedTuple):
    """A data set with its configuration.

    Attributes:
        name: Its name in reasoning-gym.
        config: Its configuration as JSON, seed and size included.
    """

    name: str
    config: str


class Interpreter:
    """An interpreter of its own, with limits, and with string hashes that are always the same.

    It starts with the first request, which takes the seconds of its imports; requests take turns.

    Args:
        prelude: Code that it starts with.
        cpu_seconds: Processor time of the prelude, and of one request.
        isolation: Of the interpreter. What it runs is reasoning-gym's code; only programs need more than "process".
    """

    def __init__(self, prelude: str, cpu_seconds: float, isolation: Isolation = "process") -> None:
        self._prelude, self._cpu_seconds, self._isolation = prelude, cpu_seconds, isolation
        self._sandbox: Sandbox | None = None
        self._owner = os.getpid()
        self._turn = threading.Lock()

    def value(self, expression: str) -> Any:
        """The value of an expression, or None where it raises or takes too long.

        Args:
            expression: Python whose value is a literal.

        Raises:
            ToolUnavailable: If the interpreter cannot be started.
        """
        from ..tools.sandbox import Outcome

        with self._turn:
            run = self._running().run(f"print(chr(10) + repr({expression}))")
        if run.outcome is not Outcome.OK:
            return None
        return ast.literal_eval(run.output.rstrip().rpartition("\n")[2])  # what comes before was printed on the way

    def _running(self) -> Sandbox:
        from ..tools.sandbox import Outcome, Sandbox, SandboxLimits

        if self._owner != os.getpid():  # a fork: the interpreter belongs to the parent
            self._sandbox, self._owner = None, os.getpid()
        if self._sandbox is None:
            # Wall time says little on a busy machine.
            limits = SandboxLimits(
                wall_seconds=10 * self._cpu_seconds + 60,
                cpu_seconds=self._cpu_seconds,
                memory_bytes=4 << 30,
                output_characters=1_000_000,
            )
            self._sandbox = Sandbox(isolation=self._isolation, limits=limits, remember=False)
        if not self._sandbox.running:
            started = self._sandbox.run(self._prelude)
            if started.outcome is not Outcome.OK:
                raise ToolUnavailable(f"reasoning-gym's interpreter does not start: {started.output.strip()[-500:]}")
        return self._sandbox


@lru_cache(maxsize=len(ISOLATIONS))
def _maker(isolation: Isolation) -> Interpreter:
    """The one interpreter of this process that makes items at an isolation."""
    return Interpreter(_PRELUDE, _ITEM_SECONDS, isolation)


def set_names() -> list[str]:
    """The names of all data sets, mixtures left out.

    Raises:
        InputError: If reasoning-gym is not installed.
    """
    if find_spec("reasoning_gym") is None:
        raise InputError("this environment needs reasoning-gym: pip install 'toolgym[puzzles]'")
    import reasoning_gym  # registers the data sets
    from reasoning_gym.factory import DATASETS

    del reasoning_gym
    return sorted(set(DATASETS) - {"composite"})


def source(name: str, options: Mapping[str, Any]) -> Source:
    """The data set of a name and a configuration.

    Raises:
        InputError: If reasoning-gym is not installed, there is no such data set, or it refuses the configuration.
    """
    known = set_names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(known)}"
        raise InputError(f"reasoning-gym has no data set {name!r:.80}; {hint}")
    fields = _fields(name)
    for option in options:
        if option not in fields:
            raise InputError(f"the configuration of {name!r} has no {option!r:.80}; it has {', '.join(fields)}")
    try:
        made = Source(name, json.dumps(dict(options), sort_keys=True))
        open_set(made)
    except (AssertionError, TypeError, ValueError) as error:
        raise InputError(
            f"reasoning-gym refuses the configuration {dict(options)!r:.200} of {name!r}: {error}"
        ) from error
    return made


@lru_cache(maxsize=_OPEN_AT_ONCE)
def open_set(made: Source) -> Any:
    """The data set itself, made once for a configuration."""
    from reasoning_gym.factory import create_dataset

    with _private_randomness(made.config):
        return create_dataset(made.name, **json.loads(made.config))


def item(made: Source, index: int, isolation: Isolation = "sandbox") -> Entry:
    """An item, which depends on nothing but the configuration and its position, and leaves nothing behind.

    Of its own accord, reasoning-gym 0.1.25 does not hold to that: some data sets draw from the global generators, which
    are seeded here from the item's position and given back as they were, and those in `APART` do worse.

    Args:
        made: The data set.
        index: Position of the item.
        isolation: How the programs of `RUNS_PROGRAMS` are confined.

    Raises:
        InputError: If the machine cannot confine programs so.
        ToolUnavailable: If an interpreter fails.
    """
    if made.name in APART:
        maker = _maker(isolation if made.name in RUNS_PROGRAMS else "process")
        found = maker.value(f"item({made.name!r}, {made.config!r}, {index})")
        if found is None:
            raise ToolUnavailable(f"reasoning-gym made no item {index} of {made.name!r} in {_ITEM_SECONDS:.0f} s")
        return dict(found)
    opened = open_set(made)
    with _private_randomness(f"{made.config} {index}"):
        return dict(opened[index])


@contextmanager
def _private_randomness(key: str) -> Iterator[None]:
    """Seeds the global generators from a key, and gives them back as they were."""
    with _GLOBAL_RANDOMNESS:
        states = random.getstate(), np.random.get_state()
        random.seed(key)
        np.random.seed(zlib.crc32(key.encode()))
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def levels(name: str, difficulty: float) -> dict[str, Any]:
    """The configuration at a difficulty: each attribute of the curriculum at that share of its levels.

    Levels that the data set itself refuses (reasoning-gym 0.1.25 has a few) are left out; an attribute with none left
    keeps its default.

    Raises:
        InputError: If the data set has no curriculum.
    """
    set_names()
    from reasoning_gym.coaching.base_curriculum import DefaultCurriculumContext
    from reasoning_gym.factory import create_curriculum, has_curriculum

    if not has_curriculum(name):
        raise InputError(f"reasoning-gym has no curriculum for {name!r}: leave difficulty out, and give a config")
    curriculum, context = create_curriculum(name), DefaultCurriculumContext()
    chosen: dict[str, Any] = {}
    for attribute in curriculum.attributes.values():
        usable = []
        for level in range(len(attribute.levels)):
            curriculum.set_attr_level(attribute.name, level)
            value = context.get_attr_value(curriculum, attribute)
            if hasattr(attribute, "field_name"):
                options = {attribute.field_name: value}
            else:
                options = {attribute.lower_field_name: min(value), attribute.upper_field_name: max(value)}
            if _accepts(name, options):
                usable.append(options)
        if usable:
            chosen |= usable[round(difficulty * (len(usable) - 1))]
    return chosen


def _accepts(name: str, options: Mapping[str, Any]) -> bool:
    from reasoning_gym.factory import DATASETS

    try:
        config = DATASETS[name][1](**options)
        if hasattr(config, "validate"):
            config.validate()
    except (AssertionError, TypeError, ValueError):
        return False
    return True


def _fields(name: str) -> list[str]:
    from reasoning_gym.factory import DATASETS

    return [field.name for field in dataclasses.fields(DATASETS[name][1])]
