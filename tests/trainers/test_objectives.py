"""Losses and weights by hand, and their gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolgym.trainers.objectives import clipped_policy_loss, kl_penalty, token_weights

AGGREGATIONS = ("token_mean", "sequence_mean_token_mean", "sequence_mean_token_sum", "token_sum_constant")


def rows(*values: float, gradient: bool = False) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=gradient)


def loss_of_ratios(ratios: list[float], signs: list[float], **options):
    """Loss, clip indicators and d loss / d logprob for given ratios; the old policy gave probability e^-1."""
    old = rows(*[-1.0] * len(ratios))
    logprobs = (old + rows(*ratios).log()).detach().requires_grad_()
    result = clipped_policy_loss(logprobs, old, rows(*signs), **options)
    (gradient,) = torch.autograd.grad(result.loss.sum(), logprobs)
    return result, gradient.tolist()


def test_the_clipped_loss_by_hand() -> None:
    # -min(r A, clip(r, 0.8, 1.2) A):
    #   A = +1: r = 1.1 inside -> -1.1; r = 1.5 above -> -1.2; r = 0.5 below -> min(0.5, 0.8) -> -0.5.
    #   A = -1: r = 0.9 inside -> 0.9; r = 0.5 below -> -min(-0.5, -0.8) = 0.8; r = 1.5 -> -min(-1.5, -1.2) = 1.5.
    result, gradient = loss_of_ratios([1.1, 1.5, 0.5, 0.9, 0.5, 1.5], [1, 1, 1, -1, -1, -1])
    assert result.loss.tolist() == pytest.approx([-1.1, -1.2, -0.5, 0.9, 0.8, 1.5])
    assert result.clipped_high.tolist() == [False, True, False, False, False, False]
    assert result.clipped_low.tolist() == [False, False, False, False, True, False]
    # Where the bound decides there is no gradient; elsewhere d(-r A)/d logprob = -r A.
    assert gradient == pytest.approx([-1.1, 0, -0.5, 0.9, 0, 1.5])


def test_the_two_bounds_are_apart() -> None:
    # clip(r, 0.8, 1.28): r = 1.25 is inside above, r = 0.75 outside below (DAPO's numbers).
    result, gradient = loss_of_ratios([1.25, 1.3, 0.75, 0.85], [1, 1, -1, -1], clip_low=0.2, clip_high=0.28)
    assert result.loss.tolist() == pytest.approx([-1.25, -1.28, 0.8, 0.85])
    assert result.clipped_high.tolist() == [False, True, False, False]
    assert result.clipped_low.tolist() == [False, False, True, False]
    assert gradient == pytest.approx([-1.25, 0, 0, 0.85])
    # The other way round: the bounds are 0.72 and 1.2.
    result, _ = loss_of_ratios([1.25, 0.75], [1, -1], clip_low=0.28, clip_high=0.2)
    assert result.loss.tolist() == pytest.approx([-1.2, 0.75])


def test_the_dual_clip_bounds_negative_advantages_alone() -> None:
    # A = -2: r = 5 gives 10, bounded by -c A = 6; r = 1.1 gives 2.2 and stays. A = +2 is never touched.
    result, gradient = loss_of_ratios([5, 1.1, 5, 0.1], [-2, -2, 2, 2], dual_clip=3.0)
    assert result.loss.tolist() == pytest.approx([6, 2.2, -2.4, -0.2])
    assert gradient == pytest.approx([0, 2.2, 0, -0.2])
    without, _ = loss_of_ratios([5], [-2])
    assert without.loss.tolist() == pytest.approx([10])


def test_on_policy_the_gradient_is_that_of_the_policy_gradient() -> None:
    # r = 1: loss -A, gradient -A, nothing clipped.
    result, gradient = loss_of_ratios([1, 1, 1], [2, -3, 0])
    assert result.loss.tolist() == [-2, 3, 0] and gradient == pytest.approx([-2, 3, 0])
    assert not result.clipped_low.any() and not result.clipped_high.any()


def test_the_exponent_is_bounded() -> None:
    # |logprob - old| is cut at 20, so that no ratio overflows.
    result = clipped_policy_loss(rows(0.0, -1000.0), rows(-1000.0, 0.0), rows(-1.0, 1.0))
    assert result.loss.tolist() == pytest.approx([math.exp(20), -math.exp(-20)])


@settings(deadline=None)
@given(st.floats(-3, 3), st.floats(-4, 4), st.floats(0.05, 0.5), st.floats(0.05, 0.5))
def test_the_loss_is_the_larger_of_the_two(log_ratio: float, advantage: float, low: float, high: float) -> None:
    result = clipped_policy_loss(rows(log_ratio), rows(0.0), rows(advantage), clip_low=low, clip_high=high)
    ratio = math.exp(log_ratio)
    bounded = min(max(ratio, 1 - low), 1 + high)
    assert float(result.loss) == pytest.approx(-min(ratio * advantage, bounded * advantage))


def test_kl_estimators_by_hand() -> None:
    # d = logprob - reference = 0.1: k1 = 0.1, k2 = 0.005, k3 = e^-0.1 + 0.1 - 1 = 0.904837 - 0.9 = 0.004837.
    logprobs, reference = rows(-1.0, -1.3), rows(-1.1, -1.2)
    assert kl_penalty(logprobs, reference, "k1").tolist() == pytest.approx([0.1, -0.1])
    assert kl_penalty(logprobs, reference, "k2").tolist() == pytest.approx([0.005, 0.005])
    # d = -0.1: e^0.1 - 0.1 - 1 = 0.005171.
    assert kl_penalty(logprobs, reference, "k3").tolist() == pytest.approx([0.00483742, 0.00517092], abs=1e-8)
    assert kl_penalty(logprobs, reference).tolist() == kl_penalty(logprobs, reference, "k3").tolist()


def test_kl_gradients() -> None:
    # d k1 / d logprob = 1, d k2 = d, d k3 = 1 - e^-d: at d = 0.1 that is 0.0951626.
    for estimator, expected in (("k1", 1.0), ("k2", 0.1), ("k3", 1 - math.exp(-0.1))):
        logprobs = rows(-1.0, gradient=True)
        kl_penalty(logprobs, rows(-1.1), estimator).sum().backward()
        assert logprobs.grad.tolist() == pytest.approx([expected])


@settings(deadline=None)
@given(st.floats(-5, 5))
def test_k3_is_never_negative(difference: float) -> None:
    assert float(kl_penalty(rows(difference), rows(0.0), "k3")) >= -1e-15


def test_rows_must_have_one_length() -> None:
    with pytest.raises(ValueError, match="1-D rows of one length"):
        clipped_policy_loss(rows(1, 2), rows(1, 2), rows(1))
    with pytest.raises(ValueError, match="1-D rows of one length"):
        kl_penalty(torch.zeros(2, 2), torch.zeros(2, 2))


# Episodes a (rows of 3 and 1 trained tokens), b (2 tokens) and c (nothing to train): 6 tokens, 2 episodes that count.
COUNTS, EPISODES = [3, 2, 1, 0], ["a", "b", "a", "c"]


def test_aggregations_by_hand() -> None:
    # 1/6 per token.
    assert token_weights(COUNTS, EPISODES, "token_mean") == pytest.approx([1 / 6] * 4)
    # Episode a has 4 tokens: 1/(2*4); b has 2: 1/(2*2); c has none and no weight.
    assert token_weights(COUNTS, EPISODES, "sequence_mean_token_mean") == pytest.approx([1 / 8, 1 / 4, 1 / 8, 0])
    # 1/2 per token: the mean over two episodes of the sums.
    assert token_weights(COUNTS, EPISODES, "sequence_mean_token_sum") == pytest.approx([1 / 2] * 4)
    # 1/(2*10).
    assert token_weights(COUNTS, EPISODES, "token_sum_constant", 10) == pytest.approx([1 / 20] * 4)
    assert token_weights(COUNTS, EPISODES) == token_weights(COUNTS, EPISODES, "token_mean")


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_nothing_to_train_weighs_nothing(aggregation: str) -> None:
    assert token_weights([0, 0], ["a", "b"], aggregation, 5.0) == [0.0, 0.0]
    assert token_weights([], [], aggregation, 5.0) == []


def test_the_constant_is_required() -> None:
    with pytest.raises(ValueError, match="constant"):
        token_weights([1], ["a"], "token_sum_constant")


def test_rows_and_episodes_must_match() -> None:
    with pytest.raises(ValueError, match="shorter"):
        token_weights([1, 2], ["a"])


BATCHES = st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abcd")), min_size=1, max_size=12).filter(
    lambda batch: any(count for count, _ in batch)
)


@settings(deadline=None)
@given(BATCHES)
def test_means_sum_to_one(batch: list[tuple[int, str]]) -> None:
    counts, episodes = [count for count, _ in batch], [episode for _, episode in batch]
    for aggregation in ("token_mean", "sequence_mean_token_mean"):
        weights = token_weights(counts, episodes, aggregation)
        assert sum(count * weight for count, weight in zip(counts, weights, strict=True)) == pytest.approx(1)


@settings(deadline=None)
@given(BATCHES)
def test_episodes_weigh_the_same_however_many_rows_they_have(batch: list[tuple[int, str]]) -> None:
    counts, episodes = [count for count, _ in batch], [episode for _, episode in batch]
    weights = token_weights(counts, episodes, "sequence_mean_token_mean")
    totals: dict[str, float] = {}
    for count, episode, weight in zip(counts, episodes, weights, strict=True):
        if count:
            totals[episode] = totals.get(episode, 0.0) + count * weight
    assert list(totals.values()) == pytest.approx([1 / len(totals)] * len(totals))


@settings(deadline=None)
@given(BATCHES, st.sampled_from(AGGREGATIONS))
def test_rows_without_trained_tokens_belong_to_no_mean(batch: list[tuple[int, str]], aggregation: str) -> None:
    counts, episodes = [count for count, _ in batch], [episode for _, episode in batch]
    weights = token_weights(counts, episodes, aggregation, 7.0)
    more = token_weights([*counts, 0, 0], [*episodes, "masked", "masked too"], aggregation, 7.0)
    assert more[: len(weights)] == weights
