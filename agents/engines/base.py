"""What an inference engine is: requests in, sampled ids with logprobs out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ...envs.episode import Episode, FinishReason, Message
from ...tools.errors import InputError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SamplingParams:
    """How to sample.

    Attributes:
        temperature: Divides the logits; 0 means greedy.
        max_tokens: Most new tokens.
        stop: Strings that end generation; they stay in the text.
        top_p: Nucleus; 1 keeps all.
        top_k: Most likely tokens kept; 0 keeps all.
        min_p: Tokens below this share of the top probability are dropped; 0 keeps all.
        seed: Seed of this request's own random stream.
    """

    temperature: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise InputError(f"temperature must be 0 (greedy) or more, not {self.temperature}")
        if self.max_tokens < 1:
            raise InputError(f"max_tokens must be at least 1, not {self.max_tokens}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p must be in (0, 1], not {self.top_p}")
        if self.top_k < 0 or not 0 <= self.min_p < 1:
            raise InputError(f"top_k must be 0 or more and min_p in [0, 1), not {self.top_k} and {self.min_p}")

    @property
    def truncates(self) -> bool:
        """Whether the distribution's tail is cut, so that its logprobs are renormalised over what is kept."""
        return self.top_p < 1 or self.top_k > 0 or self.min_p > 0


@dataclass(frozen=True)
class GenerationRequest:
    """A turn to be generated.

    Attributes:
        id: Unique id; the `Generation` carries it back.
        token_ids: The whole history; begins with all ids that were held after the previous turn of the session.
        sampling: How to sample.
        session: Requests with one session extend each other, so that an engine may keep their cache.
        messages: The same history as chat messages, for engines that take only those.
        tools: JSON schemas of the functions, where the action format wants native tool calls; empty otherwise.
        episode: The episode's record, for scripted policies; engines with a model never look at it.
    """

    id: str
    token_ids: tuple[int, ...]
    sampling: SamplingParams
    session: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    episode: Episode | None = None


@dataclass(frozen=True)
class Generation:
    """What an engine sampled.

    Attributes:
        request_id: The request it answers.
        token_ids: All sampled ids, an end token included when the model sampled one.
        logprobs: Logprob of each id under the distribution it was drawn from; None where the engine has none.
        text: The text for the environment: without the end token, cut after a stop string.
        finish_reason: `stop` (stop string), `eos` or `length`.
        surplus_characters: Characters that were sampled beyond the stop string within its last token.
        policy_version: Version of the weights that sampled it.
        error: Set when the request failed in the engine; the other fields are then empty.
    """

    request_id: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] | None = None
    text: str = ""
    finish_reason: FinishReason = "stop"
    surplus_characters: int = 0
    policy_version: int = 0
    error: str = ""


@dataclass
class EngineStatistics:
    """Counters of an engine since it was made.

    Attributes:
        generated_tokens: Tokens sampled.
        prefilled_tokens: Context tokens computed.
        reused_tokens: Context tokens taken from a cache.
        seconds: Time inside `step`.
    """

    generated_tokens: int = 0
    prefilled_tokens: int = 0
    reused_tokens: int = 0
    seconds: float = 0.0


class InferenceEngine(ABC):
    """Samples from a policy. One thread calls it.

    Attributes:
        exact_tokens: Whether `Generation.token_ids` are exactly what was sampled, with logprobs under the sampling
            distribution. Training refuses an engine without.
        max_context: Most tokens in a row (prompt and new tokens), or None if unknown.
        statistics: Counters.
    """

    exact_tokens: ClassVar[bool] = False
    max_context: int | None = None

    def __init__(self) -> None:
        self.statistics = EngineStatistics()

    @abstractmethod
    def submit(self, request: GenerationRequest) -> None:
        """Queues a request."""

    @abstractmethod
    def step(self) -> list[Generation]:
        """Advances all admitted requests by one unit of work (a token, typically) and returns the finished ones."""

    @property
    @abstractmethod
    def pending(self) -> int:
        """Requests that have been submitted and not returned."""

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Replaces the weights and drops every cache that the old ones filled.

        Args:
            weights: Name and tensor of each parameter, named as in the Hugging Face checkpoint.
            version: Version that later generations carry.

        Raises:
            InputError: If the engine has no weights of its own.
        """
        raise InputError(f"{type(self).__name__} has no weights to load; it serves evaluation and demonstrations only")

    def release(self, session: str) -> None:
        """Tells the engine that a session will not be extended, so that its cache may go."""
        return None

    def close(self) -> None:
        """Frees what the engine holds. May be called more than once."""
        return None


@dataclass
class StopChecker:
    """Finds the end of a generation in its text, token by token.

    Args:
        stop: Stop strings.

    Attributes:
        stop: Stop strings.
    """

    stop: Sequence[str] = field(default_factory=tuple)

    def cut(self, text: str) -> tuple[str, int] | None:
        """The text through the stop string that is complete first and how many characters follow it, or None."""
        ends = [text.index(mark) + len(mark) for mark in self.stop if mark and mark in text]
        return (text[: min(ends)], len(text) - min(ends)) if ends else None
