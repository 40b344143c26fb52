"""Logprobs of sampled tokens, without holding the logits of the batch."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .batching import MicroBatch

_LOGITS_AT_ONCE = 1 << 25
"""Most logits (positions x vocabulary) that exist at one time, unless asked otherwise: 128 MiB in fp32."""


class TokenLogprobs(NamedTuple):
    """Logprob of each trained token and entropy of the distribution it came from, shape (N,) each."""

    logprobs: Tensor
    entropy: Tensor


def token_logprobs(
    model: Any, batch: MicroBatch, *, temperature: float = 1.0, logits_at_once: int = _LOGITS_AT_ONCE
) -> TokenLogprobs:
    """Logprobs of a micro-batch's trained tokens under the policy at a sampling temperature.

    The head runs over the trained positions alone, a chunk at a time; the logits of a chunk are computed again in the
    backward pass instead of being kept. Sums are accumulated in fp32.

    Args:
        model: A Hugging Face causal language model.
        batch: The micro-batch.
        temperature: Divides the logits, as the sampler did.
        logits_at_once: Most logits in a chunk.

    Returns:
        Logprobs and entropies, shape (N,), fp32 or the model's own precision if that is higher.
    """
    hidden = model.get_decoder()(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        use_cache=False,
    ).last_hidden_state[batch.row_index, batch.column_index]
    head = model.get_output_embeddings()
    softcap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    chunk = max(1, logits_at_once // head.weight.shape[0])

    def score(hidden_chunk: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = head(hidden_chunk)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if softcap is not None:
            logits = softcap * torch.tanh(logits / softcap)
        logits = logits / temperature
        normaliser = torch.logsumexp(logits, dim=-1)
        logprobs = logits.gather(-1, targets[:, None]).squeeze(-1) - normaliser
        entropy = normaliser - (torch.softmax(logits, dim=-1) * logits).sum(-1)
        return logprobs, entropy

    chunks = list(zip(torch.split(hidden, chunk), torch.split(batch.targets, chunk), strict=True))
    if len(chunks) == 1 or not torch.is_grad_enabled():
        parts = [score(*pair) for pair in chunks]
    else:
        parts = [checkpoint(score, *pair, use_reentrant=False) for pair in chunks]
    return TokenLogprobs(torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts]))
