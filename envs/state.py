"""What an environment holds between two steps, and how it is copied, stored and brought back."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import gymnasium as gym
from gymnasium.error import ResetNeeded

from ..tools.base import Tool
from ..tools.errors import InputError
from ..tools.identity import type_name
from ..tools.runtime import ToolRuntime
from .episode import Episode
from .formats.base import ActionFormat
from .reward import RewardFunction
from .task import Task

if TYPE_CHECKING:
    from ..tools.cassettes import Cassette
    from .plain_steps import PlainSteps

_MARK = b"toolgym snapshot 1\n"


class StatefulEnv(gym.Env[str, str]):
    """An episode and the sessions of its tools: the state of a `ToolEnv`.

    Attributes:
        tools: What may be called; shared by all copies.
        action_format: The wire language.
        reward_function: What a trainer optimises.
    """

    episode_attributes: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes in which a subclass keeps what belongs to the episode; forks and snapshots have them."""

    tools: tuple[Tool, ...]
    action_format: ActionFormat
    reward_function: RewardFunction
    _episode: Episode | None = None
    _runtime: ToolRuntime | None = None
    _plain_steps: PlainSteps | None = None
    """Serves one episode alone, and goes with its runtime."""

    @property
    def episode(self) -> Episode:
        """The record of the current episode.

        Raises:
            ResetNeeded: Before the first `reset`.
        """
        if self._episode is None:
            raise ResetNeeded("call reset() before the first step")
        return self._episode

    def episode_tools(self, task: Task) -> Sequence[Tool]:
        """The tools with which an episode is played; `tools`, unless one of them is set up for the task."""
        del task
        return self.tools

    def record(self, cassette: Cassette) -> None:
        """Puts all tools on a cassette, for this environment and those that are spawned or forked from now on.

        Their calls are recorded, or played back without the tools: the cassette's mode says which.

        Raises:
            InputError: If an episode is under way.
        """
        if self._runtime is not None:
            raise InputError("an episode is under way with tools that nobody records; call record() before reset()")
        self.tools = tuple(cassette.wrap(tool) for tool in self.tools)

    def spawn(self) -> Self:
        """A new environment that shares tasks, tools, format and reward, and has no episode yet."""
        other = copy.copy(self)
        other._episode = None
        other._runtime = None
        other._np_random = None
        other._np_random_seed = None
        for name, value in self._more_state().items():
            setattr(other, name, copy.deepcopy(value))
        return other

    def fork(self) -> Self:
        """An independent environment in the same state, tool sessions included.

        What cannot be changed is shared: the task, and the turns so far.
        """
        other = self.spawn()
        other._np_random, other._np_random_seed = copy.deepcopy(self._np_random), self._np_random_seed
        other._episode = None if self._episode is None else self._episode.copy()
        other._runtime = None if self._runtime is None else self._runtime.fork()
        return other

    def snapshot(self) -> bytes:
        """The episode's state, tool sessions included, as bytes for `restore`, in this process or another.

        Raises:
            ResetNeeded: Before the first `reset`.
        """
        draws = (self.np_random.bit_generator.state, self._np_random_seed)
        sessions = None if self._runtime is None else self._runtime.snapshot()
        return _pack(self, _State(draws, self.episode, sessions, self._more_state()))

    def restore(self, snapshot: bytes) -> None:
        """Sets the state to that of a snapshot of an environment of the same kind.

        Its class, tools, format and reward must be the same; the limits are this one's. Unpickles: only restore what
        you made.

        Raises:
            InputError: If the bytes are no snapshot of such an environment.
        """
        state = _unpack(self, snapshot)
        runtime = None
        if state.sessions is not None:
            runtime = ToolRuntime(self.episode_tools(state.episode.task))
            try:
                runtime.restore(state.sessions)
            except BaseException:
                runtime.close()
                raise
        self._close_runtime()
        self.np_random.bit_generator.state, self._np_random_seed = state.draws
        self._episode, self._runtime = state.episode, runtime
        for name, value in state.more.items():
            setattr(self, name, value)

    def close(self) -> None:
        """Closes the episode's tool sessions. The tools themselves stay open for others that share them."""
        self._close_runtime()

    # Inside ---------------------------------------------------------------------------------------------------

    def _close_runtime(self) -> None:
        self._plain_steps = None
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None

    def _more_state(self) -> dict[str, Any]:
        """What a subclass keeps of the episode, as far as it is there."""
        return {name: getattr(self, name) for name in self.episode_attributes if hasattr(self, name)}


class _State(NamedTuple):
    """What an environment must know to go on.

    Attributes:
        draws: State of the random generator, and the seed that it came from.
        episode: The record so far.
        sessions: State of the tools' sessions; None once the episode has ended.
        more: Values of the environment's `episode_attributes`.
    """

    draws: tuple[Any, int | None]
    episode: Episode
    sessions: bytes | None
    more: dict[str, Any]


def _fingerprint(env: StatefulEnv) -> dict[str, Any]:
    """What two environments must have in common for one to go on where the other stood.

    Tasks and limits are no part of it: the task is in the state, and to go on under other limits may be the purpose.
    """
    return {
        "class": type_name(type(env)),
        "tools": [[type_name(tool), [function.name for function in tool.functions]] for tool in env.tools],
        "format": env.action_format.name,
        "reward": env.reward_function.name,
    }


def _pack(env: StatefulEnv, state: _State) -> bytes:
    """A state as bytes: a mark, the environment's fingerprint as a line of JSON, and the pickled state."""
    return _MARK + json.dumps(_fingerprint(env)).encode() + b"\n" + pickle.dumps(tuple(state))


def _unpack(env: StatefulEnv, snapshot: bytes) -> _State:
    """The state in a snapshot; nothing is unpickled unless the fingerprint fits.

    Raises:
        InputError: If the bytes are no snapshot, or one of another environment; names what differs.
    """
    head, _, state = snapshot.removeprefix(_MARK).partition(b"\n")
    if not snapshot.startswith(_MARK) or not state:
        raise InputError(f"these {len(snapshot)} bytes are no snapshot of an environment; take one with snapshot()")
    theirs, ours = json.loads(head), _fingerprint(env)
    differing = [name for name in ours if ours[name] != theirs.get(name)]
    if differing:
        said = "; ".join(f"its {name} is {theirs.get(name)}, here it is {ours[name]}" for name in differing)
        raise InputError(f"the snapshot was taken of another environment: {said}; restore it into one that is alike")
    return _State(*pickle.loads(state))
