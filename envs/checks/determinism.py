"""Checks that the same seed gives the same episode, whatever else goes on."""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import zip_longest
from typing import Any

import gymnasium as gym
import numpy as np

from ..env import ToolEnv
from .base import CheckFailed, CheckSkipped, Subject, check, expect
from .play import Moment, alike, comparable, moments, oracle_or_silence, transcript
from .replay import CANNOT_IMPORT, Recipe, main

_SEEDS = 24
_COPIES = 3
_THREADS = 4
_PATIENCE = 300.0


@check(
    "A seed that is accepted and ignored, or that does not reach the episodes after the first.",
    "OpenEnv #1102 (six resets, six words); GEM PR#68; GEM's Sokoban, whose later episodes are unseeded",
)
def same_seed_alone(subject: Subject) -> None:
    """Two copies of a seed play alike, and reset alike after it without a seed."""
    with subject.fresh() as one, subject.fresh() as other:
        first = list(transcript(one, subject.seed))
        alike(transcript(other, subject.seed), first, "two copies with the same seed")
        following = [comparable(one.reset()) for _ in range(3)]
        alike((comparable(other.reset()) for _ in range(3)), following, "resets without a seed after it")


@check(
    "Resets that give the same task whatever the seed.",
    "the other side of OpenEnv #1102: a constant passes every test of determinism",
)
def seeds_differ(subject: Subject) -> None:
    """Many seeds draw several tasks."""
    if len(subject.env.tasks) == 1:
        raise CheckSkipped("there is a single task")
    with subject.fresh() as env:
        drawn = {env.reset(seed=subject.seed + number)[1]["task_id"] for number in range(_SEEDS)}
    # Of two tasks, one is drawn 24 times in a row with a chance of 1 in 8 million.
    expect(len(drawn) > 1, f"{_SEEDS} different seeds all drew the task {next(iter(drawn))!r}")


@check(
    "Randomness that copies share: stepping one changes what another does.",
    "GEM and TextArena seed the global generators, so that resetting one environment moves the others",
    needs=(same_seed_alone,),
)
def same_seed_interleaved(subject: Subject) -> None:
    """Two copies played in turn, each against itself played alone."""
    with subject.fresh() as one, subject.fresh() as other, subject.fresh() as third, subject.fresh() as fourth:
        alone = list(transcript(one, subject.seed)), list(transcript(other, subject.seed + 1))
        pairs = zip_longest(transcript(third, subject.seed), transcript(fourth, subject.seed + 1), fillvalue=None)
        turns = list(pairs)
    for position, wanted in enumerate(alone):
        found = [turn[position] for turn in turns if turn[position] is not None]
        alike(found, wanted, "with another copy stepped in between")


@check(
    "Draws from the generators of `random` and `numpy.random`, or seeds for them.",
    "GEM `set_seed`, TextArena; OpenEnv PR#1078: seeding them needs a lock for the whole process",
)
def global_random_state(subject: Subject) -> None:
    """The two generators of the process stay where they are."""

    def states() -> tuple[Any, Any]:
        return random.getstate(), repr(np.random.get_state())

    kept = random.getstate(), np.random.get_state()
    random.random(), np.random.random_sample()  # no seed alone leads to this state
    before = states()
    try:
        with subject.fresh() as env:
            list(transcript(env, subject.seed))
        after = states()
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
    expect(before[0] == after[0], "playing changed the state of Python's global `random`")
    expect(before[1] == after[1], "playing changed the state of numpy's global generator")


@check(
    "Something of an episode that is left over in the next.",
    "OpenEnv RFC 008 `episode_isolation`, announced and not built; its sessions leak (PR#1000)",
    needs=(same_seed_alone,),
)
def episodes_leave_nothing(subject: Subject) -> None:
    """After an episode that was finished and one that was left, a copy plays as a new one does."""
    with subject.fresh() as new, subject.fresh() as used:
        wanted = list(transcript(new, subject.seed))
        policy = oracle_or_silence(used)
        list(moments(used, policy, seed=subject.seed + 5))
        list(moments(used, policy, most=1, seed=subject.seed + 6))
        alike(transcript(used, subject.seed), wanted, "after other episodes of the same copy")


@check(
    "Races: copies that are right one after the other and wrong on several threads.",
    "rLLM's environments must declare `is_multithread_safe`; OpenEnv PR#1078: seeding needs a lock",
    needs=(same_seed_alone, same_seed_interleaved),
)
def same_seed_on_threads(subject: Subject) -> None:
    """Four copies on four threads, each against itself played alone."""
    seeds = [subject.seed + 10 * number for number in range(_THREADS)]
    with ExitStack() as stack:
        alone = [list(transcript(stack.enter_context(subject.fresh()), seed)) for seed in seeds]
        copies = [stack.enter_context(subject.fresh()) for _ in seeds]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            with ThreadPoolExecutor(_THREADS) as pool:
                together = list(pool.map(lambda env, seed: list(transcript(env, seed)), copies, seeds))
        finally:
            sys.setswitchinterval(interval)
    for found, wanted in zip(together, alone, strict=True):
        alike(found, wanted, "on one of four threads")


@check(
    "Copies that a vector makes and that differ from the environment alone.",
    "GEM: environment 0 of a vector is not the same environment with the same seed alone",
    needs=(same_seed_alone,),
)
def same_seed_in_a_vector(subject: Subject) -> None:
    """Three environments in Gymnasium's vector, each against itself alone."""
    vector = gym.vector.SyncVectorEnv([_maker(subject)] * _COPIES)
    try:
        _compare_with_vector(vector, subject)
    finally:
        vector.close()


def _maker(subject: Subject) -> Callable[[], ToolEnv]:
    """Makes the environment as its id says; a copy of the one that was given where it has none."""
    if subject.env.spec is None:
        return subject.env.spawn
    return Recipe.of(subject.env).make


def _compare_with_vector(vector: gym.vector.SyncVectorEnv, subject: Subject) -> None:
    seed = subject.seed
    observations, infos = vector.reset(seed=seed)
    envs: list[Any] = [env.unwrapped for env in vector.envs]
    actions = tuple(oracle_or_silence(env)(env.episode) for env in envs)
    outcome: Any = vector.step(actions)
    for place, action in enumerate(actions):
        where = f"place {place} of a vector with seed {seed} and an environment with seed {seed + place}"
        with subject.fresh() as alone:
            observation, info = alone.reset(seed=seed + place)
            expect(str(observations[place]) == observation, f"{where} begin differently")
            expect(infos["task_id"][place] == info["task_id"], f"{where} have different tasks")
            expect(oracle_or_silence(alone)(alone.episode) == action, f"the oracles of {where} act differently")
            step = Moment(*alone.step(action))
        found = [str(outcome[0][place]), *(comparable(column[place].item()) for column in outcome[1:4])]
        wanted = [step.observation, *map(comparable, (float(step.reward), step.terminated, step.truncated))]
        alike(found, wanted, f"{where}, after a step")


@check(
    "Episodes that depend on the process: the order of sets, hashes of texts, process ids, the clock.",
    "TextArena #99 asks for the same word from the same seed; rollouts run in worker processes",
    needs=(same_seed_alone,),
)
def same_seed_in_another_process(subject: Subject) -> None:
    """A new interpreter with another seed of hashes makes the environment by its id and plays the same episodes."""
    if subject.env.spec is None:
        raise CheckSkipped("made by hand: without an id another process cannot make it")
    with subject.fresh() as env:
        wanted = list(transcript(env, subject.seed))
    try:
        order = pickle.dumps((Recipe.of(subject.env), subject.seed))
    except Exception as error:
        raise CheckSkipped(f"its options cannot be sent to another process ({error})") from None
    path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
    variables = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": str(subject.seed % 1000 + 7)}
    command = [sys.executable, "-c", f"import sys; from {main.__module__} import main; sys.exit(main())"]
    done = subprocess.run(command, input=order, capture_output=True, timeout=_PATIENCE, env=variables, check=False)
    if done.returncode == CANNOT_IMPORT:
        raise CheckSkipped(done.stderr.decode(errors="replace").strip())
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise CheckFailed(f"another process could not play it: {lines[-1]}")
    alike(json.loads(done.stdout), wanted, "here and in another process")
