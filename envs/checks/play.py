"""Episodes played by scripts, and their records in a form that can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from ...tools.base import FunctionSchema, ToolCall
from ...tools.errors import InputError
from ..env import ScriptedPolicy, ToolEnv
from ..episode import Action, Episode
from .base import CheckFailed, expect, shown

MOST_TURNS = 64
"""Turns after which a scripted episode is left alone."""
_PLACE = "HERETHEANSWER"


class Moment(NamedTuple):
    """What an environment said: to `reset` (without reward and flags), or to a step."""

    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    info: Any

    @property
    def over(self) -> bool:
        """Whether the episode has ended."""
        return bool(self.terminated or self.truncated)


def moments(env: ToolEnv, policy: ScriptedPolicy, most: int = MOST_TURNS, **reset: Any) -> Iterator[Moment]:
    """Plays an episode and yields what the environment says, the reset's first."""
    observation, info = env.reset(**reset)
    yield Moment(observation, 0.0, False, False, info)
    yield from rest(env, policy, most)


def rest(env: ToolEnv, policy: ScriptedPolicy, most: int = MOST_TURNS) -> Iterator[Moment]:
    """Plays on from where the episode stands."""
    for _ in range(most):
        moment = Moment(*env.step(policy(env.episode)))
        yield moment
        if moment.over:
            return


def last_moment(env: ToolEnv, policy: ScriptedPolicy, **reset: Any) -> Moment:
    """Plays an episode to its end.

    Raises:
        CheckFailed: If it does not end.
    """
    *_, last = moments(env, policy, **reset)
    expect(last.over, f"the episode had not ended after {MOST_TURNS} turns")
    return last


def has_oracle(env: ToolEnv) -> bool:
    """Whether the environment has an oracle."""
    try:
        env.oracle()
    except NotImplementedError:
        return False
    return True


def oracle_or_silence(env: ToolEnv) -> ScriptedPolicy:
    """The oracle; where there is none, a policy that writes nothing."""
    return env.oracle() if has_oracle(env) else lambda episode: ""


def insistent(env: ToolEnv) -> ScriptedPolicy:
    """The oracle, which makes its first call three times: what a tool remembers of a call shows in the next."""
    oracle = oracle_or_silence(env)

    def act(episode: Episode) -> str:
        again = 0 < len(episode.turns) < 3 and episode.turns[0].results
        return episode.turns[0].action if again else oracle(episode)

    return act


def says(*texts: str) -> ScriptedPolicy:
    """A policy that writes these texts in turn, the last one for ever."""
    return lambda episode: texts[min(len(episode.turns), len(texts) - 1)]


def begins(policy: ScriptedPolicy, *texts: str) -> ScriptedPolicy:
    """A policy that leaves its first action to another one and goes on with these texts."""
    return lambda episode: texts[min(len(episode.turns), len(texts)) - 1] if episode.turns else policy(episode)


def transcript(env: ToolEnv, seed: int) -> Iterator[Any]:
    """Three episodes of a seed, as values that can be compared.

    By the oracle; by the oracle for one action and idle words after it; by idle words alone.
    """
    oracle = oracle_or_silence(env)
    for number, policy in enumerate((oracle, begins(oracle, "Let me see.", ""), says("Well, well."))):
        for moment in moments(env, policy, most=8, seed=seed + number):
            yield comparable(moment)


def comparable(value: Any) -> Any:
    """A value without wall times, made of texts and lists alone: equal for equal episodes, in any process."""
    if isinstance(value, Mapping):
        items = ((str(key), item) for key, item in value.items())
        return [[key, comparable(item)] for key, item in sorted(items) if not key.endswith("seconds")]
    if isinstance(value, list | tuple):
        return [comparable(item) for item in value]
    if isinstance(value, bool):  # numpy's are another check's affair
        return str(value)
    return value if isinstance(value, str) else repr(float(value)) if _is_number(value) else repr(value)


def _is_number(value: Any) -> bool:
    try:
        return bool(float(value) == value)
    except (TypeError, ValueError, OverflowError):
        return False


def alike(found: Iterable[Any], wanted: Sequence[Any], what: str) -> None:
    """Compares two transcripts.

    Raises:
        CheckFailed: If they differ; says where.
    """
    absent = object()
    for position, (one, other) in enumerate(zip_longest(found, wanted, fillvalue=absent)):
        if one != other:
            ended = "one goes on, the other is over" if absent in (one, other) else _difference(one, other)
            raise CheckFailed(f"{what}: moment {position} differs: {ended}")


def _difference(one: Any, other: Any) -> str:
    """The first place where two comparable values part."""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return next(_difference(left, right) for left, right in zip(one, other, strict=True) if left != right)
    if isinstance(one, str) and isinstance(other, str):
        pairs = enumerate(zip(one, other, strict=False))
        start = next((place for place, (left, right) in pairs if left != right), min(len(one), len(other)))
        start = max(0, start - 20)
        return f"{shown(one[start:], 50)} and {shown(other[start:], 50)}"
    return f"{shown(one, 50)} and {shown(other, 50)}"


def answers(env: ToolEnv, answer: str) -> ScriptedPolicy:
    """A policy that gives an answer at once."""
    return lambda episode: answer_text(env, answer, len(episode.turns) + 1)


# Writing in any format ----------------------------------------------------------------------------------------


def answer_text(env: ToolEnv, answer: str, turn: int = 1, thought: str = "I guess.") -> str:
    """An action that gives an answer, whatever characters it holds: a model is not held to what can be read back."""
    return env.action_format.write_answer(thought, _PLACE, turn).replace(_PLACE, answer)


def call_text(env: ToolEnv, call: ToolCall, turn: int = 1, thought: str = "I look.") -> str | None:
    """An action that makes a call; None where the format cannot express it."""
    try:
        return env.action_format.write_call(thought, call, turn)
    except InputError:
        return None


def is_answer(env: ToolEnv, text: str) -> bool:
    """Whether the format reads a text as a final answer."""
    return env.action_format.parse(Action(text), env.functions).answer is not None


def text_arguments(function: FunctionSchema) -> list[str]:
    """Names of the arguments of a function that are texts."""
    properties: Mapping[str, Any] = function.parameters.get("properties", {})
    return [name for name, kind in properties.items() if kind.get("type") == "string"]


def is_program(function: FunctionSchema, argument: str) -> bool:
    """Whether an argument is the text of a program."""
    return "contentMediaType" in function.parameters["properties"][argument]
