"""Scripted policies behind the interface of an engine, for demonstrations and tests."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from ...envs.episode import Episode, FinishReason
from .base import Generation, GenerationRequest, InferenceEngine, StopChecker

if TYPE_CHECKING:
    from ..encoding import Codec


class ScriptedEngine(InferenceEngine):
    """Lets a scripted policy write the actions.

    The ids are what the codec makes of the action's text, special tokens spelled out, and the codec's end id unless
    the action ends with a stop string. Text after a stop string is dropped, as a model could not have written it.
    There are no logprobs, because nobody sampled: a cold start learns from such rows, policy gradients refuse them.

    Args:
        policy: Writes the next action of an episode. What it raises leaves `step`.
        codec: Encodes the actions.
    """

    exact_tokens: ClassVar[bool] = False

    def __init__(self, policy: Callable[[Episode], str], codec: Codec) -> None:
        super().__init__()
        self.policy, self.codec = policy, codec
        self._waiting: deque[GenerationRequest] = deque()

    def submit(self, request: GenerationRequest) -> None:
        """Queues a request, which must carry its episode.

        Raises:
            ValueError: If it carries none.
        """
        if request.episode is None:
            raise ValueError(f"request {request.id!r} has no episode; a scripted policy acts on the episode's record")
        self._waiting.append(request)

    @property
    def pending(self) -> int:
        """Requests that have been submitted and not returned."""
        return len(self._waiting)

    def step(self) -> list[Generation]:
        """Writes the actions of all waiting requests."""
        started = time.perf_counter()
        generations = []
        while self._waiting:
            generations.append(self._write(self._waiting.popleft()))
        self.statistics.generated_tokens += sum(len(generation.token_ids) for generation in generations)
        self.statistics.seconds += time.perf_counter() - started
        return generations

    def close(self) -> None:
        """Drops the waiting requests."""
        self._waiting.clear()

    def _write(self, request: GenerationRequest) -> Generation:
        assert request.episode is not None
        text, sampling = str(self.policy(request.episode)), request.sampling
        cut = StopChecker(sampling.stop).cut(text)
        reason: FinishReason = "eos" if cut is None else "stop"
        text = text if cut is None else cut[0]
        ids = self.codec.encode_text(text)
        if cut is None:
            ids += (self.codec.end_id,)
        if len(ids) > sampling.max_tokens:
            ids, reason = ids[: sampling.max_tokens], "length"
            # The end id alone may have been one too many: then the text is whole.
            text = self.codec.decode(ids)
        return Generation(request.id, ids, None, text, reason)
