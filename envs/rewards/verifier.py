"""math-verify and sympy, in processes of their own, under limits."""

from __future__ import annotations

import builtins
import keyword
import os
import re
import threading
import unicodedata
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ...tools.errors import InputError, ToolUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...tools.sandbox import Sandbox

SECONDS = 2.0
"""Processor time of one comparison. Wall time is no measure: on a busy machine it would make right answers wrong."""

_PATIENCE = 120.0
_MEMORY = 2 << 30
_CACHED = 4096

_FORMULA = re.compile(r"[\w\s.,+*/()!=<>^%-]*")
_UNSAFE = re.compile(r"\.\s*[^\W\d]|__")
_LETTERS = re.compile(r"[^\W\d_]+")
_BUILTINS = frozenset(dir(builtins)) - {"abs", "max", "min", "pow", "round", "sum"} | frozenset(keyword.kwlist)

_PRELUDE = """
import logging
import math_verify
import sympy
from sympy.parsing import sympy_parser

_RULES = (*sympy_parser.standard_transformations, sympy_parser.implicit_multiplication_application)

# They warn, once a process, that their own time limits are off; those use signals, and these are not needed here.
for _module in ("math_verify.parser", "math_verify.grader"):
    logging.getLogger(_module).setLevel(logging.CRITICAL)


def verified(prediction, answer):
    try:
        gold = math_verify.parse("\\\\boxed{" + answer + "}", parsing_timeout=None)
        given = math_verify.parse("\\\\boxed{" + prediction + "}", parsing_timeout=None)
        return bool(math_verify.verify(gold, given, timeout_seconds=None))
    except Exception:  # whatever a model's expression does to the parser, it is not equal
        return False


def vanishes(expression):
    try:
        return bool(sympy.simplify(sympy_parser.parse_expr(expression, transformations=_RULES)) == 0)
    except Exception:
        return False
"""


def require_math_verify() -> None:
    """Checks that math-verify is installed; what compares answers in `step` should not find out there that it is not.

    Raises:
        InputError: If it is not.
    """
    if find_spec("math_verify") is None:
        raise InputError("comparing mathematical expressions needs math-verify: pip install 'toolgym[math]'")


class MathVerifier:
    """Judges expressions by math-verify (huggingface/Math-Verify) and sympy, each under a processor limit.

    The processes are interpreters of the sandbox at isolation "process": the code in them is theirs, and only the
    expressions come from a model. They start with the first comparison (about a second), at most one for each
    processor, and are used again. Safe to use from several threads, and in a forked process.

    Args:
        seconds: Processor time of one comparison; what takes longer is not equal.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._free: list[Sandbox] = []
        self._lock = threading.Lock()
        self._places = threading.Semaphore(os.cpu_count() or 1)
        self._owner = os.getpid()

    def equal(self, prediction: str, answer: str) -> bool:
        r"""Whether math-verify finds two expressions, written without `\boxed`, equal.

        Raises:
            InputError: If math-verify is not installed.
            ToolUnavailable: If its process cannot be started.
        """
        return self._judge(f"verified({prediction!r}, {answer!r})")

    def vanishes(self, expression: str) -> bool:
        """Whether sympy simplifies an expression in Python's notation (implicit products allowed) to zero.

        sympy's parser executes what it is given: text that could be more than a formula is refused, and does not
        vanish.

        Raises:
            InputError: If math-verify, which brings sympy, is not installed.
            ToolUnavailable: If its process cannot be started.
        """
        return _is_formula(expression) and self._judge(f"vanishes({expression!r})")

    def _judge(self, question: str) -> bool:
        from ...tools.sandbox import Outcome

        require_math_verify()
        with self._sandbox() as sandbox:
            if not sandbox.running:
                started = sandbox.run(_PRELUDE)
                if started.outcome is not Outcome.OK:
                    raise ToolUnavailable(f"math-verify cannot be loaded: {started.output.strip()[-500:]}")
            # A timeout kills the process; the next comparison starts another.
            return sandbox.run(f"print({question})").output == "True\n"

    @contextmanager
    def _sandbox(self) -> Iterator[Sandbox]:
        with self._places:
            sandbox = self._take()
            try:
                yield sandbox
            finally:
                with self._lock:
                    self._free.append(sandbox)

    def _take(self) -> Sandbox:
        from ...tools.sandbox import Sandbox, SandboxLimits

        with self._lock:
            if self._owner != os.getpid():  # a fork: the processes belong to the parent
                self._free, self._owner = [], os.getpid()
            if self._free:
                return self._free.pop()
        limits = SandboxLimits(wall_seconds=_PATIENCE, cpu_seconds=self._seconds, memory_bytes=_MEMORY)
        return Sandbox(isolation="process", limits=limits, remember=False)


def _is_formula(expression: str) -> bool:
    """Whether a text has nothing by which Python could do more than calculate: no attribute, text, item or builtin.

    Letters of every alphabet and underscores may stand in names ("θ", "x_1").
    """
    if not _FORMULA.fullmatch(expression) or _UNSAFE.search(expression):
        return False
    return not any(unicodedata.normalize("NFKC", letters) in _BUILTINS for letters in _LETTERS.findall(expression))


_SHARED = MathVerifier()


@lru_cache(maxsize=_CACHED)
def verified_equal(prediction: str, answer: str) -> bool:
    """`MathVerifier.equal` of the one verifier that all rewards of this process share.

    Verdicts are kept: the episodes of a group ask for the same again and again.
    """
    return _SHARED.equal(prediction, answer)


@lru_cache(maxsize=_CACHED)
def vanishes(expression: str) -> bool:
    """`MathVerifier.vanishes` of the shared verifier."""
    return _SHARED.vanishes(expression)
