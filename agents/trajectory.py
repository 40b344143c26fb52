"""Trajectories: the exact tokens of an episode, by who wrote them.

A mask is never stored: it is derived from the segments, whose roles say where each token came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

from ..envs.episode import Episode, StopReason


class Role(StrEnum):
    """Who wrote the tokens of a segment."""

    PROMPT = "prompt"
    """The task, instructions, prefilled text; after a fork also the history that another row trains."""
    ACTION = "action"
    """Sampled by the policy. The only tokens that can be trained."""
    OBSERVATION = "observation"
    """Tool results and everything the framework put around them, end marks that it appended included."""


@dataclass(frozen=True)
class Segment:
    """A run of tokens with one author.

    Attributes:
        role: Who wrote them.
        token_ids: The ids as sampled or as encoded once; never re-tokenised.
        logprobs: For actions, the logprob of each token under the distribution it was sampled from; None for
            demonstrations, which nobody sampled.
        turn: Number of the action (from 1) that the tokens are or follow; 0 for the first prompt.
        policy_version: Weights version that sampled them; None for all but sampled actions.
    """

    role: Role
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None = None
    turn: int = 0
    policy_version: int | None = None

    def __post_init__(self) -> None:
        if self.logprobs is not None and self.role is not Role.ACTION:
            raise ValueError(f"only actions have logprobs; this segment is a {self.role.value}")
        if self.logprobs is not None and len(self.logprobs) != len(self.token_ids):
            raise ValueError(f"{len(self.token_ids)} tokens cannot have {len(self.logprobs)} logprobs")


class Span(NamedTuple):
    """A half-open range of positions within a row."""

    start: int
    stop: int


@dataclass
class Outcome:
    """How an episode ended; shared by all rows of the episode.

    Attributes:
        episode_id: Unique id of the episode.
        task_id: The task.
        group_id: Episodes with one group id are compared with each other.
        reward: What the trainer optimises.
        score: Verified correctness in [0, 1].
        reward_terms: Named parts of the reward.
        stop_reason: Why it ended.
        answer: The final answer, if any.
        turns: Actions taken.
        call_statuses: Tool calls by status.
        faults: Format faults by name.
        observation_tokens: Tokens that the environment wrote after the prompt.
        action_tokens: Tokens that the policy sampled.
        surplus_characters: Text sampled beyond a stop string within its last token.
        tool_seconds: Time spent in `env.step`.
        seconds: Wall time from reset to end.
        error: For failed episodes, what happened.
        compared: Whether it counts among its group; False for one that a trainer's stop rule leaves out.
        episode: The record of the episode; None for one that failed.
    """

    episode_id: str
    task_id: str
    group_id: str
    reward: float = 0.0
    score: float = 0.0
    reward_terms: Mapping[str, float] = field(default_factory=dict)
    stop_reason: StopReason = StopReason.FAILED
    answer: str | None = None
    turns: int = 0
    call_statuses: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    observation_tokens: int = 0
    action_tokens: int = 0
    surplus_characters: int = 0
    tool_seconds: float = 0.0
    seconds: float = 0.0
    error: str = ""
    compared: bool = True
    episode: Episode | None = field(default=None, repr=False, compare=False)

    @property
    def failed(self) -> bool:
        """Whether the infrastructure failed: such an episode is no evidence about the policy."""
        return self.stop_reason is StopReason.FAILED


@dataclass
class Trajectory:
    """One row of token ids, as a list of segments.

    An episode is one row unless its chat template could not extend the history verbatim; then it has several, and
    the earlier tokens stand in the later rows as context (role `prompt`).

    Attributes:
        outcome: How the episode ended.
        segments: The tokens by author.
        row: Position of the row within its episode, from 0.
        advantage: Assigned by the trainer per episode; None until then.
        trainable: False when a filter took the row's weight away. Filters can only take away.
    """

    outcome: Outcome
    segments: list[Segment] = field(default_factory=list)
    row: int = 0
    advantage: float | None = None
    trainable: bool = True

    @property
    def token_ids(self) -> list[int]:
        """All token ids, in order."""
        return list(chain.from_iterable(segment.token_ids for segment in self.segments))

    @property
    def loss_mask(self) -> list[bool]:
        """True where the policy sampled the token (and no filter took the row out)."""
        return [self.trainable and segment.role is Role.ACTION for segment in self.segments for _ in segment.token_ids]

    @property
    def logprobs(self) -> list[float]:
        """The sampler's logprobs, 0.0 where there are none; aligned with `token_ids`."""
        return list(
            chain.from_iterable(segment.logprobs or (0.0,) * len(segment.token_ids) for segment in self.segments)
        )

    @property
    def has_logprobs(self) -> bool:
        """Whether every action carries the sampler's logprobs."""
        return all(segment.logprobs is not None for segment in self.segments if segment.role is Role.ACTION)

    @property
    def turn_spans(self) -> list[Span]:
        """Positions of each action, in order."""
        spans, position = [], 0
        for segment in self.segments:
            if segment.role is Role.ACTION:
                spans.append(Span(position, position + len(segment.token_ids)))
            position += len(segment.token_ids)
        return spans

    @property
    def action_token_count(self) -> int:
        """Tokens that the policy sampled in this row."""
        return sum(len(segment.token_ids) for segment in self.segments if segment.role is Role.ACTION)

    def __len__(self) -> int:
        return sum(len(segment.token_ids) for segment in self.segments)
