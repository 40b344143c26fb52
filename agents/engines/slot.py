"""What the transformers engine knows about one row of its cache."""

from __future__ import annotations

from dataclasses import dataclass, field

from .base import GenerationRequest
from .sampling import UniformStream
from .stops import StopDetector


@dataclass
class Slot:
    """One row of the cache.

    Attributes:
        index: Position in the cache.
        session: Session whose tokens it holds; "" for none.
        ids: Tokens of the row. The first `length` of them have keys and values.
        length: See `ids`.
        request: What is being generated, or None.
        prompt: Length of the request's prompt.
        limit: Most tokens to sample.
        logprobs: Of the sampled tokens.
        uniforms: Random stream of the request.
        stops: Finds the request's stop strings.
        used: Step of the last use, for eviction.
        released: Whether the session will not be extended.
    """

    index: int
    session: str = ""
    ids: list[int] = field(default_factory=list)
    length: int = 0
    request: GenerationRequest | None = None
    prompt: int = 0
    limit: int = 0
    logprobs: list[float] = field(default_factory=list)
    uniforms: UniformStream = field(default_factory=lambda: UniformStream(0))
    stops: StopDetector | None = None
    used: int = 0
    released: bool = False

    def clear(self) -> None:
        """Forgets the session and its tokens."""
        self.session, self.ids, self.length, self.request, self.released = "", [], 0, None, False
