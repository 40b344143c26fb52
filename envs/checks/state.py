"""Checks of copies: spawn, fork, snapshot and pickle."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from gymnasium.error import ResetNeeded

from ..env import ToolEnv
from .base import CheckFailed, Subject, check, expect
from .determinism import same_seed_alone, same_seed_interleaved
from .play import alike, begins, comparable, insistent, moments, rest, transcript

_MOST_TURNS = 6


def _points(subject: Subject) -> Iterator[tuple[ToolEnv, int, list[Any]]]:
    """Environments in mid-episode: before the first action, after it, ...; with what is told from there."""
    with subject.fresh() as env:
        told = [comparable(moment) for moment in moments(env, insistent(env), seed=subject.seed)]
    for turns in range(min(len(told) - 1, _MOST_TURNS)):
        with subject.fresh() as env:
            env.reset(seed=subject.seed)
            list(rest(env, insistent(env), most=turns))
            yield env, turns, told[turns + 1 :]


def _told(env: ToolEnv) -> list[Any]:
    """What an insistent oracle is told from where an environment stands."""
    return [comparable(moment) for moment in rest(env, insistent(env))]


def _disturb(env: ToolEnv) -> None:
    """Plays on otherwise, and starts another episode."""
    list(rest(env, begins(insistent(env), "Something else."), most=2))
    list(moments(env, insistent(env), most=1, seed=12345))


@check(
    "A copy that takes the episode of the environment it was copied from with it.",
    "GEM: wrappers copy the attributes of the environment inside once, and are stale ever after",
    needs=(same_seed_alone, same_seed_interleaved),
)
def spawn_shares_no_episode(subject: Subject) -> None:
    """A spawned environment has no episode, and playing it leaves the other's alone."""
    for env, turns, told in _points(subject):
        with closing(env.spawn()) as other:
            try:
                other.step("too early")
            except ResetNeeded:
                pass
            else:
                raise CheckFailed(f"what is spawned after {turns} turns can be stepped without a reset")
            other.reset(seed=subject.seed + 1)
            _disturb(other)
            alike(_told(env), told, f"after {turns} turns, with a spawned copy played")


@check(
    "A fork that is not in the same state, or not independent: tools, boards and records that are shared.",
    "GEM has `get_state` in some environments, TextArena copies deeply; of peers' tools none can be forked",
    needs=(same_seed_alone, same_seed_interleaved),
)
def fork(subject: Subject) -> None:
    """At each turn of the oracle's episode, forks and the original all go on alike, whatever is done to one."""
    for env, turns, told in _points(subject):
        with closing(env.fork()) as disturbed, closing(env.fork()) as quiet:
            _disturb(disturbed)
            alike(_told(quiet), told, f"a fork after {turns} turns, another one disturbed")
            alike(_told(env), told, f"the original after {turns} turns, its forks played to the end")
            alike([comparable(quiet.reset())], [comparable(env.reset())], "the next episodes of fork and original")


@check(
    "A snapshot that misses something: a tool's state, the record, the stream of random numbers.",
    "GEM restores some environments, and the state of no tool; SkyRL's and GEM's Python is without state",
    needs=(same_seed_alone, same_seed_interleaved),
)
def snapshot(subject: Subject) -> None:
    """At each turn, what is restored goes on as the original did, in another environment and in the same."""
    for env, turns, told in _points(subject):
        taken = env.snapshot()
        expect(isinstance(taken, bytes), f"snapshot() gives a {type(taken).__name__}, not bytes")
        _disturb(env)
        with subject.fresh() as other:
            other.reset(seed=subject.seed + 99)
            other.restore(taken)
            alike(_told(other), told, f"restored after {turns} turns in another environment")
            env.restore(taken)
            alike(_told(env), told, f"restored after {turns} turns in the same environment")
            alike([comparable(other.reset())], [comparable(env.reset())], "the next episodes after a restore")


@check(
    "Environments and records that cannot be sent to a worker or written to a checkpoint: lambdas, locks, handles.",
    "Gymnasium's asynchronous vectors pickle; this check found two environments of this package with local functions",
    needs=(same_seed_alone,),
)
def pickling(subject: Subject) -> None:
    """A pickled environment plays as before, and a pickled episode is the same."""
    with subject.fresh() as env:
        told = list(transcript(env, subject.seed))
        episode = env.episode
        try:
            copied = pickle.loads(pickle.dumps(episode))
            other: ToolEnv = pickle.loads(pickle.dumps(subject.env))
        except Exception as error:
            raise CheckFailed(f"it does not pickle: {type(error).__name__}: {error}") from error
        expect(copied == episode == copy.deepcopy(episode), "the record of an episode is another after pickling")
        with closing(other):
            alike(transcript(other, subject.seed), told, "after pickling")
