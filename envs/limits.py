"""Bounds of an episode, and which of them an environment goes by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from ..tools.errors import InputError
from ..tools.output import MINIMUM_CAP

SurplusCalls = Literal["truncate", "answer", "ignore"]
ObservationCut = Literal["ends", "head"]


@dataclass(frozen=True)
class Limits:
    """Bounds of one episode; None means no bound.

    The environment enforces turns, calls and characters. Tokens, context and wall time are seen by the rollout alone,
    which ends the episode through `ToolEnv.truncate`.

    Attributes:
        max_turns: Actions per episode; the episode is truncated after this many without an ending. An action that its
            format asks for the rest of (`ParsedAction.unfinished`) counts with that rest as one.
        max_calls: Tool calls per episode.
        surplus_calls: What a call beyond `max_calls` does: `truncate` ends the episode; `answer` lets it go on, and the
            call does not run but is answered with a result of status `BUDGET`; with `ignore`, actions are read for
            their answer alone once the calls are used up, and generation no longer stops for a call (ToRL).
        last_turn_calls: Whether calls of the last turn within `max_turns` still run. Otherwise that turn is read for
            its answer alone: Search-R1's final generation with the search switched off.
        max_observation_characters: Cap on one observation.
        max_observation_tokens: The same in tokens; needs a truncator, which the rollout injects.
        observation_cut: What those caps keep: head and tail (`ends`), with a note of what is missing, or the `head`.
        max_turn_tokens: Sampled tokens per action.
        max_tokens: Tokens after the prompt (sampled and observed) per episode.
        max_context: Length of the whole row, prompt included, in tokens.
        wall_seconds: Wall-clock time per episode in seconds.

    Raises:
        InputError: If `surplus_calls` or `observation_cut` is none of its values, or a bound is negative.
    """

    max_turns: int | None = 8
    max_calls: int | None = None
    surplus_calls: SurplusCalls = "truncate"
    last_turn_calls: bool = True
    max_observation_characters: int | None = None
    max_observation_tokens: int | None = None
    observation_cut: ObservationCut = "ends"
    max_turn_tokens: int | None = None
    max_tokens: int | None = None
    max_context: int | None = None
    wall_seconds: float | None = None

    def __post_init__(self) -> None:
        for name, kind in (("surplus_calls", SurplusCalls), ("observation_cut", ObservationCut)):
            if getattr(self, name) not in get_args(kind):
                choices = " or ".join(map(repr, get_args(kind)))
                raise InputError(f"limits.{name} must be {choices}, not {getattr(self, name)!r}")
        for name in ("max_turns", "max_calls", "max_turn_tokens", "max_tokens", "max_context", "wall_seconds"):
            value, least = getattr(self, name), 0 if name in ("max_calls", "wall_seconds") else 1
            if value is not None and not (isinstance(value, int | float) and value >= least):
                raise InputError(f"limits.{name} must be None or at least {least}, not {value!r}")

    def of_environment(self) -> Limits:
        """The bounds that an environment can keep by itself, without a tokenizer, and at most eight turns if unbounded.

        That is how a published system's limits apply where nobody asked for all of them.
        """
        return Limits(
            max_turns=8 if self.max_turns is None else self.max_turns,
            max_calls=self.max_calls,
            surplus_calls=self.surplus_calls,
            last_turn_calls=self.last_turn_calls,
            max_observation_characters=self.max_observation_characters,
            observation_cut=self.observation_cut,
        )


LimitsChoice = Limits | Literal["published"] | None
"""Bounds, those of the format's published system, or (None) those of them that need no tokenizer."""


class Truncator(Protocol):
    """Shortens a text to a number of tokens; only the rollout has a tokenizer to make one."""

    def __call__(self, text: str, max_tokens: int, keep: ObservationCut = "ends") -> str:
        """The text, or a shortened form of at most `max_tokens` tokens: its ends, or its head alone."""


def pick_limits(limits: LimitsChoice, published: Limits) -> Limits:
    """The bounds that an environment goes by.

    Args:
        limits: What was asked for.
        published: Those of the format's published system.

    Raises:
        InputError: If it is none of the choices, or the cap of an observation is too small to say what was cut.
    """
    if isinstance(limits, str) and limits != "published":
        raise InputError(f"limits must be Limits, None or 'published', not {limits!r}")
    picked = published.of_environment() if limits is None else published if limits == "published" else limits
    cap = picked.max_observation_characters
    if cap is not None and cap < MINIMUM_CAP:
        raise InputError(f"limits.max_observation_characters is {cap}; give at least {MINIMUM_CAP}, or None")
    return picked
