"""Programs judged by unit tests, run in the sandbox (HumanEval, MBPP)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...tools.sandbox import Isolation, SandboxLimits

_PATIENCE = 12
_FENCED = re.compile(r"```[ \t]*(?:python3?|py)?[ \t]*\r?\n(.*?)```", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class UnitTestResult:
    """What came of a program under its tests.

    Attributes:
        passed: Whether the program ran and every test held.
        stage: `program` if it failed before the tests began, `tests` otherwise.
        output: What was printed by the stage that failed, traceback included; by the tests if all held.
    """

    passed: bool
    stage: str
    output: str


def run_unit_tests(
    program: str, tests: str, *, isolation: Isolation = "sandbox", limits: SandboxLimits | None = None
) -> UnitTestResult:
    """Runs a program, then its tests in the same namespace, in a fresh interpreter of the sandbox.

    The tests are followed by a secret that the program cannot know when it is written: a program that leaves early
    (`sys.exit()` inside of the function that is tested) has not passed. The program and its tests share a process, so
    one that rewrites the interpreter under its tests (an `__eq__` that is always true, a patched `compile`) can still
    deceive them.

    Args:
        program: What the model wrote, with everything that it needs.
        tests: Code that raises if a test fails. HumanEval (arXiv 2107.03374): `test`, then `check(ENTRY_POINT)`. MBPP
            (arXiv 2108.07732): `test_setup_code`, then the lines of `test_list`.
        isolation: How the code is confined: see `PythonTool`.
        limits: What each of the two may use.

    Raises:
        InputError: If the machine cannot give the isolation.
    """
    from ...tools.sandbox import Outcome, Sandbox

    secret = secrets.token_hex(16)
    with Sandbox(isolation, limits) as sandbox:
        written = sandbox.run(program)
        if written.outcome is not Outcome.OK:
            return UnitTestResult(False, "program", written.output)
        tested = sandbox.run(f"{tests}\nprint({secret!r})")
    output, found, _ = tested.output.rpartition(f"{secret}\n")
    passed = tested.outcome is Outcome.OK and bool(found)
    return UnitTestResult(passed, "tests", output if found else tested.output)


def unit_test_reward(
    program: str, tests: str, *, isolation: Isolation = "sandbox", limits: SandboxLimits | None = None
) -> float:
    """1 if a program passes its unit tests, else 0: the functional correctness of HumanEval and MBPP.

    Args:
        program: See `run_unit_tests`.
        tests: See `run_unit_tests`.
        isolation: See `run_unit_tests`.
        limits: See `run_unit_tests`.
    """
    return float(run_unit_tests(program, tests, isolation=isolation, limits=limits).passed)


def program_of(answer: str) -> str:
    """The program in an answer: its last fenced block of Python, or all of it; what is indented stays indented."""
    blocks: list[str] = _FENCED.findall(answer)
    return blocks[-1] if blocks else answer


def passes(answer: str, facts: Mapping[str, Any], isolation: Isolation, seconds: float) -> bool:
    """Whether the program in an answer passes a task's tests.

    Args:
        answer: The answer, which holds the program (`program_of`).
        facts: The task's `tests` and, where the answer goes on with it, what stands `before` the program.
        isolation: See `run_unit_tests`.
        seconds: Processor time for the program and for its tests.
    """
    return _verdict(f"{facts.get('before', '')}{program_of(answer)}", str(facts["tests"]), isolation, seconds)


@lru_cache(maxsize=1024)
def _verdict(program: str, tests: str, isolation: Isolation, seconds: float) -> bool:
    """The verdict on a program; the reward and the score of an episode ask for the same."""
    from ...tools.sandbox import SandboxLimits

    # Processor time decides: on a busy machine wall time would make right programs wrong.
    limits = SandboxLimits(wall_seconds=_PATIENCE * seconds, cpu_seconds=seconds)
    return run_unit_tests(program, tests, isolation=isolation, limits=limits).passed
