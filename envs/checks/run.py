"""`check_env`: runs the checks and the canaries on an environment."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import gymnasium as gym

from ...tools.errors import InputError, ToolUnavailable
from ..env import ToolEnv
from ..registration import make_env
from .base import Check, CheckFailed, CheckSkipped, Subject
from .canaries import Canary
from .catalogue import picked
from .play import answers, last_moment
from .report import CheckReport, CheckResult, Verdict
from .trials import Trial, try_canary

TASKS = 30
"""Tasks that are played by default."""

Progress = Callable[["CheckResult | Trial"], None]
"""Is told of each check and each canary as it is done."""


def check_env(
    env: str | gym.Env[Any, Any],
    *,
    tasks: int = TASKS,
    seed: int = 0,
    only: Sequence[str] | None = None,
    raise_on_failure: bool = True,
    progress: Progress | None = None,
    **options: Any,
) -> CheckReport:
    """Checks an environment: named checks of its contract, and canaries that try to cheat it.

    The environment that is given is not stepped: the checks take copies (`ToolEnv.spawn`). Wrappers are left out, what
    is inside of them is checked.

    Args:
        env: An environment, or an id, which is made for the purpose.
        tasks: How many tasks oracle and canaries play, from the first on.
        seed: Keys all draws.
        only: Names of checks and canaries (`canaries` for all of those); all by default.
        raise_on_failure: Whether to raise if anything is red, as Gymnasium's checker does.
        progress: Told of each result as it comes.
        **options: Options of an environment that is made by id.

    Returns:
        What was found.

    Raises:
        ChecksFailed: If something is red, unless `raise_on_failure` is False.
        InputError: If the environment is no `ToolEnv`, cannot be made, or a name is unknown.
        ToolUnavailable: If what a tool stands on is gone: no verdict on the environment.
    """
    checks, canaries = picked(only)
    if tasks < 1:
        raise InputError(f"check_env() plays at least 1 task, not {tasks}")
    made = isinstance(env, str)
    inner = make_env(env, **options) if isinstance(env, str) else env.unwrapped
    if options and not made:
        raise InputError(f"options are for environments made by an id, not for a given one: {sorted(options)}")
    if not isinstance(inner, ToolEnv):
        raise InputError(f"{type(inner).__name__} is no ToolEnv; gymnasium.utils.env_checker checks any environment")
    subject = Subject(inner.spawn(), tuple(islice(inner.tasks, tasks)), seed)
    _play_once(subject)
    results: list[CheckResult] = []
    trials: list[Trial] = []
    started = time.perf_counter()
    for check in checks:
        red = [result.name for result in results if result.verdict == "red" and result.name in check.needs]
        results.append(_skipped(check, red) if red else _run(check, subject))
        if progress:
            progress(results[-1])
    for canary in canaries:
        trials.append(_try(canary, subject))
        if progress:
            progress(trials[-1])
    if made:
        inner.close()
    report = CheckReport(
        inner.spec.id if inner.spec is not None else type(inner).__name__,
        inner.action_format.name,
        inner.reward_function.name,
        len(subject.tasks),
        seed,
        float(inner.guess_rate),
        float(inner.reward_function.wrong_ceiling),
        time.perf_counter() - started,
        tuple(results),
        tuple(trials),
    )
    if raise_on_failure:
        report.raise_if_failed()
    return report


def _play_once(subject: Subject) -> None:
    """Plays and judges an episode.

    Raises:
        InputError: If the options do not fit together: no verdict on the environment.
    """
    try:
        with subject.fresh() as env:
            last_moment(env, answers(env, "nobody knows"), seed=subject.seed)
    except (InputError, ToolUnavailable):
        raise
    except Exception:
        return  # the checks will find it, and say more


def _skipped(check: Check, red: Sequence[str]) -> CheckResult:
    return CheckResult(check.name, "skipped", f"{' and '.join(red)} must be green first", 0.0)


def _run(check: Check, subject: Subject) -> CheckResult:
    verdict: Verdict = "green"
    reason, started = "", time.perf_counter()
    try:
        check.examine(subject)
    except ToolUnavailable:
        raise
    except CheckSkipped as skipped:
        verdict, reason = "skipped", str(skipped)
    except CheckFailed as failed:
        verdict, reason = "red", str(failed)
    except Exception as error:
        verdict, reason = "red", _raised(error)
    return CheckResult(check.name, verdict, reason, time.perf_counter() - started)


def _try(canary: Canary, subject: Subject) -> Trial:
    try:
        return try_canary(subject, canary)
    except ToolUnavailable:
        raise
    except CheckFailed as failed:
        return Trial(canary.name, False, str(failed))
    except Exception as error:
        return Trial(canary.name, False, _raised(error))


def _raised(error: Exception) -> str:
    """An exception and the line of the environment's that raised it."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    where = ""
    if traceback is not None:
        code = traceback.tb_frame.f_code
        where = f" in {code.co_qualname} ({code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno})"
    return f"{type(error).__name__}: {error}{where}"
