"""Checks that no text makes an environment fail, or slow."""

from __future__ import annotations

import gc
import time
from random import Random

from ..env import ToolEnv
from ..episode import Action, FinishReason
from ..task import Task
from .base import CheckFailed, Subject, check, expect, shown
from .laws import broken_law
from .play import Moment, answers, has_oracle, moments, oracle_or_silence, says
from .texts import Grammar, awkward_texts, growing_texts

_DRAWN = 100
_FINISH: tuple[FinishReason, ...] = ("stop", "length", "eos")
_SHORT, _LONG = 2_000, 32_000
_NOTICED = 0.05
"""Seconds of processor time below which no growth is looked at."""
_GROWTH = 64.0
"""Times slower for sixteen times the text that is too much: linear gives 16, quadratic 256."""
_REPEATS = 3
_CERTAIN = 1.0
"""Seconds of processor time that no busy machine explains."""


@check(
    "Exceptions for what a model may write: unclosed and nested tags, NUL, lone surrogates, `²`, broken or deep JSON.",
    "NeMo Gym #214: one bad response ends the whole generation; verifiers #2027, a parser lost in its tags",
)
def parser_fuzz(subject: Subject) -> None:
    """Hundreds of odd texts, at the start and in mid-episode: no exception, and every law of a step holds.

    A law that plain words break as well is left to the check that is about it.
    """
    task = subject.tasks[0]
    with subject.fresh() as env:
        lawful = _keeps_the_laws(env, subject.seed)
        for number, text in enumerate(awkward_texts(env, task)):
            env.reset(seed=subject.seed, options={"task_id": task.id})
            _judge(env, Action(text, _FINISH[number % len(_FINISH)]), lawful)
        policy = oracle_or_silence(env)
        grammar = Grammar(env, Random(f"fuzz/{subject.seed}"))
        grammar.about(task)
        for _ in range(_DRAWN):
            env.reset(seed=subject.seed, options={"task_id": task.id})
            if has_oracle(env) and env.step(policy(env.episode))[2:4] != (False, False):
                env.reset(seed=subject.seed, options={"task_id": task.id})
            _judge(env, grammar.action(lambda: policy(env.episode)), lawful)


def _keeps_the_laws(env: ToolEnv, seed: int) -> bool:
    """Whether the laws hold for the oracle, for idle words and for a wrong answer."""
    policies = (oracle_or_silence(env), says("Well, well."), answers(env, "nobody knows"))
    return not any(broken_law(env, moment) for policy in policies for moment in moments(env, policy, seed=seed))


def _judge(env: ToolEnv, action: Action, lawful: bool) -> None:
    where = f"{len(action)} characters, {shown(str(action), 120)}, finish reason {action.finish_reason!r}"
    try:
        moment = Moment(*env.step(action))
    except Exception as error:
        raise CheckFailed(f"step() raised {type(error).__name__}: {shown(str(error), 80)} for {where}") from error
    fault = broken_law(env, moment) if lawful else None
    expect(fault is None, f"{fault}, for {where}")


@check(
    "Time that grows with the square of a text: one repetitive rollout stalls the batch.",
    "Search-R1 `qa_em.py`: 64,000 characters of `<answer>` take its pattern 17 seconds (measured)",
)
def parse_time(subject: Subject) -> None:
    """Repetitive texts of two lengths: processor time grows about as the text does."""
    task = subject.tasks[0]
    with subject.fresh() as env:
        for name, make in growing_texts(env).items():
            short, long = _seconds(env, task, make(_SHORT)), _seconds(env, task, make(_LONG))
            if short * _GROWTH < long < _CERTAIN and long > _NOTICED:
                # The best of several: a busy machine slows some of them, not all.
                long = min(_seconds(env, task, make(_LONG)) for _ in range(_REPEATS))
                short = min(_seconds(env, task, make(_SHORT)) for _ in range(_REPEATS))
            grows = long > max(_NOTICED, _GROWTH * short)
            expect(not grows, f"{name}: {_SHORT} characters take {short:.4f} s, {_LONG} take {long:.3f} s")


def _seconds(env: ToolEnv, task: Task, text: str) -> float:
    """Processor time of this thread for a step, without the collection of garbage."""
    env.reset(seed=0, options={"task_id": task.id})
    collecting = gc.isenabled()
    gc.disable()
    started = time.thread_time()
    try:
        env.step(text)
    finally:
        spent = time.thread_time() - started
        if collecting:
            gc.enable()
    return spent
