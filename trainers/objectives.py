"""Objectives: pure functions on 1-D rows of trained tokens, and the weights that aggregate them.

Every aggregation is written as a weight per token that is fixed before the batch is cut: the loss of a batch is
`sum(weight * token_loss)` however it is split into micro-batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Aggregation = Literal["token_mean", "sequence_mean_token_mean", "sequence_mean_token_sum", "token_sum_constant"]
KlEstimator = Literal["k1", "k2", "k3"]
_LOG_RATIO_BOUND = 20.0  # exp() beyond it overflows in half precision; verl and OpenRLHF clamp at the same value


class PolicyLoss(NamedTuple):
    """Loss of each token and where the clip bit.

    Attributes:
        loss: Shape (N,).
        clipped_low: Shape (N,), bool: the ratio fell below 1 - clip_low with a negative advantage.
        clipped_high: Shape (N,), bool: the ratio rose above 1 + clip_high with a positive advantage.
    """

    loss: Tensor
    clipped_low: Tensor
    clipped_high: Tensor


def clipped_policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
) -> PolicyLoss:
    """The clipped surrogate: -min(r A, clip(r, 1 - low, 1 + high) A) with r = exp(logprob - old).

    PPO (arXiv 1707.06347) with DAPO's two bounds (arXiv 2503.14476); `dual_clip` bounds the loss of negative
    advantages by -c A (arXiv 1912.09729).

    Args:
        logprobs: Logprobs under the policy that is trained, shape (N,).
        old_logprobs: Logprobs that fix the trust region, shape (N,), no gradient.
        advantages: Shape (N,).
        clip_low: Lower bound's distance from 1.
        clip_high: Upper bound's distance from 1.
        dual_clip: The constant c above 1, or None.

    Returns:
        Loss and clip indicators per token.
    """
    _same_rows(logprobs, old_logprobs, advantages)
    ratio = torch.exp((logprobs - old_logprobs).clamp(-_LOG_RATIO_BOUND, _LOG_RATIO_BOUND))
    plain = -advantages * ratio
    bounded = -advantages * ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    loss = torch.maximum(plain, bounded)
    if dual_clip is not None:
        loss = torch.where(advantages < 0, torch.minimum(loss, -dual_clip * advantages), loss)
    with torch.no_grad():
        clipped_low = (ratio < 1.0 - clip_low) & (advantages < 0)
        clipped_high = (ratio > 1.0 + clip_high) & (advantages > 0)
    return PolicyLoss(loss, clipped_low, clipped_high)


def kl_penalty(logprobs: Tensor, reference_logprobs: Tensor, estimator: KlEstimator = "k3") -> Tensor:
    """Estimates KL(policy || reference) per token from samples of the policy.

    With d = logprob - reference: k1 = d, k2 = d^2 / 2, k3 = exp(-d) + d - 1 (Schulman, "Approximating KL divergence").

    Args:
        logprobs: Shape (N,).
        reference_logprobs: Shape (N,), no gradient.
        estimator: Which.

    Returns:
        Shape (N,).
    """
    _same_rows(logprobs, reference_logprobs)
    difference = logprobs - reference_logprobs
    if estimator == "k1":
        return difference
    if estimator == "k2":
        return 0.5 * difference.square()
    return torch.exp((-difference).clamp(-_LOG_RATIO_BOUND, _LOG_RATIO_BOUND)) + difference - 1.0


def token_weights(
    trained_tokens: Sequence[int],
    episodes: Sequence[str],
    aggregation: Aggregation = "token_mean",
    constant: float | None = None,
) -> list[float]:
    """The weight of each trained token of a row, from the counts of the whole batch.

    The unit of sequence means is the episode: the rows of one episode share its length. Rows without a trained token
    belong to no mean.

    Args:
        trained_tokens: Trained tokens of each row, for all rows of the optimizer step.
        episodes: Episode id of each row.
        aggregation: `token_mean` 1 / all tokens (DAPO); `sequence_mean_token_mean` 1 / (episodes x the episode's
            tokens) (GRPO); `sequence_mean_token_sum` 1 / episodes; `token_sum_constant` 1 / (episodes x constant)
            (Dr. GRPO).
        constant: The divisor of `token_sum_constant`.

    Returns:
        One weight per row.

    Raises:
        ValueError: If `token_sum_constant` has no constant.
    """
    lengths: dict[str, int] = {}
    for count, episode in zip(trained_tokens, episodes, strict=True):
        if count:
            lengths[episode] = lengths.get(episode, 0) + count
    total, units = sum(lengths.values()), len(lengths)
    if not total:
        return [0.0] * len(trained_tokens)
    if aggregation == "token_sum_constant":
        if constant is None:
            raise ValueError("token_sum_constant needs its constant")
        return [1.0 / (units * constant)] * len(trained_tokens)
    if aggregation == "token_mean":
        return [1.0 / total] * len(trained_tokens)
    if aggregation == "sequence_mean_token_sum":
        return [1.0 / units] * len(trained_tokens)
    return [1.0 / (units * lengths[episode]) if episode in lengths else 0.0 for episode in episodes]


def _same_rows(*tensors: Tensor) -> None:
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ValueError(f"expected 1-D rows of one length, got shapes {sorted(shapes)}")
