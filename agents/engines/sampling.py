"""Drawing tokens for a batch of rows, each from its own random stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .base import SamplingParams

_BLOCK = 64


class UniformStream:
    """Uniform numbers of one request, from a counter-based generator keyed by its seed alone.

    Args:
        seed: The request's seed.
    """

    def __init__(self, seed: int) -> None:
        self._generator = np.random.Generator(np.random.Philox(key=seed % 2**128))
        self._block: list[float] = []

    def next(self) -> float:
        """The next number in [0, 1)."""
        if not self._block:
            self._block = self._generator.random(_BLOCK)[::-1].tolist()
        return self._block.pop()


class BatchSampler:
    """Samples one token for each of a fixed list of rows.

    Temperature divides the logits. Then tokens below `min_p` of the most likely one's probability go, then all but
    the `top_k` most likely, then all but the smallest set of those that holds `top_p` of what is left. The logprob
    that is returned is that of the distribution so cut and renormalised. Temperature 0 takes the most likely token;
    its logprob is that under temperature 1, uncut.

    Args:
        params: Parameters of each row.
        device: Where the logits are.
    """

    def __init__(self, params: Sequence[SamplingParams], device: torch.device) -> None:
        self._device = device
        self._temperature = self._column([item.temperature or 1.0 for item in params])
        self._scaled = any(item.temperature not in (0, 1) for item in params)
        greedy = [item.temperature == 0 for item in params]
        self._greedy = torch.tensor(greedy, device=device) if any(greedy) else None
        cut = [row for row, item in enumerate(params) if item.truncates and item.temperature > 0]
        self._cut = torch.tensor(cut, dtype=torch.long, device=device)
        self._min_p = self._column([params[row].min_p for row in cut])
        self._top_k = self._column([params[row].top_k or 2**31 for row in cut])
        self._top_p = self._column([params[row].top_p for row in cut])

    def _column(self, values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64, device=self._device).float()[:, None]

    def __call__(self, logits: torch.Tensor, uniforms: Sequence[float]) -> tuple[list[int], list[float]]:
        """Samples.

        Args:
            logits: Shape `[rows, vocabulary]`.
            uniforms: A number in [0, 1) for each row.

        Returns:
            Token and logprob of each row. The logprob is NaN when the row's logits are not finite.
        """
        logits = logits.float()
        scaled = logits / self._temperature if self._scaled else logits
        if len(self._cut):
            scaled = scaled.index_copy(0, self._cut, self._truncated(scaled[self._cut]))
        top = scaled.amax(-1, keepdim=True)
        cumulated = (scaled - top).exp_().cumsum(-1, dtype=torch.float64)
        total = cumulated[:, -1:]
        drawn = torch.tensor(uniforms, dtype=torch.float64, device=self._device)[:, None] * total
        # The first token whose cumulated weight passes the drawn one: never one of weight 0.
        tokens = torch.searchsorted(cumulated, drawn, right=True).clamp_(max=logits.shape[-1] - 1)
        if self._greedy is not None:
            tokens = torch.where(self._greedy[:, None], scaled.argmax(-1, keepdim=True), tokens)
        logprobs = (scaled.gather(-1, tokens) - top).double() - total.log()
        return tokens[:, 0].tolist(), logprobs[:, 0].tolist()

    def _truncated(self, scaled: torch.Tensor) -> torch.Tensor:
        """The logits of the rows that are cut, with minus infinity for what is left out."""
        ordered, order = scaled.sort(dim=-1, descending=True, stable=True)
        ranks = torch.arange(scaled.shape[-1], device=self._device)
        keep = (ranks < self._top_k) & ((ordered - ordered[:, :1]).exp() >= self._min_p)
        kept = ordered.masked_fill(~keep, -torch.inf).double().softmax(-1)
        # A token stays while those before it hold less than top_p: the first always does.
        keep &= (kept.cumsum(-1) - kept < self._top_p) | (self._top_p >= 1)
        return torch.full_like(scaled, -torch.inf).scatter_(-1, order, ordered.masked_fill(~keep, -torch.inf))
