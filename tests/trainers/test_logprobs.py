"""Logprobs of the trained tokens against the full softmax."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from toolgym.trainers.batching import micro_batches, training_rows
from toolgym.trainers.logprobs import token_logprobs

EVERYTHING = 1 << 20


def plain_logprobs(model, rows, temperature: float, softcap: float | None = None):
    """What the definition says: one row at a time, the whole vocabulary, no chunk."""
    logprobs, entropies = [], []
    for row in rows:
        logits = model(input_ids=torch.tensor([row.token_ids]), use_cache=False).logits[0].double()
        if softcap is not None:
            logits = softcap * torch.tanh(logits / softcap)
        distribution = torch.log_softmax(logits / temperature, dim=-1)
        for position, trained in enumerate(row.trained):
            if trained:
                predicted = distribution[position - 1]
                logprobs.append(predicted[row.token_ids[position]])
                entropies.append(-(predicted.exp() * predicted).sum())
    return torch.stack(logprobs), torch.stack(entropies)


@pytest.fixture(scope="module", params=["qwen3", "llama"])
def model(request, tiny_models):
    return tiny_models.make_model(request.param)


@pytest.fixture(scope="module")
def rows(uneven_trajectories):
    return training_rows(uneven_trajectories[:6])


def one_batch(rows, layout: str = "padded"):
    (batch,) = micro_batches(rows, EVERYTHING, layout=layout)
    return batch


@pytest.mark.parametrize("layout", ["padded", "packed"])
@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.0, 1.3])
def test_logprobs_and_entropy_are_those_of_the_full_softmax(model, rows, temperature: float, layout: str) -> None:
    batch = one_batch(rows, layout)
    with torch.no_grad():
        scored = token_logprobs(model, batch, temperature=temperature)
        expected, entropies = plain_logprobs(model, [rows[index] for index in batch.rows], temperature)
    assert scored.logprobs.dtype == torch.float32 and scored.logprobs.shape == batch.targets.shape
    # Logits of a few units in fp32: a few millionths.
    torch.testing.assert_close(scored.logprobs.double(), expected, rtol=0, atol=2e-5 / temperature)
    torch.testing.assert_close(scored.entropy.double(), entropies, rtol=0, atol=2e-5 / temperature)


@pytest.mark.parametrize("temperature", [0.7, 1.3])
def test_in_double_precision_they_are_exact(tiny_models, rows, temperature: float) -> None:
    model = tiny_models.make_model("qwen3").double()
    batch = one_batch(rows)
    with torch.no_grad():
        scored = token_logprobs(model, batch, temperature=temperature)
        expected, entropies = plain_logprobs(model, [rows[index] for index in batch.rows], temperature)
    assert scored.logprobs.dtype == torch.float64
    torch.testing.assert_close(scored.logprobs, expected, rtol=0, atol=1e-11)
    torch.testing.assert_close(scored.entropy, entropies, rtol=0, atol=1e-11)


def test_packed_rows_do_not_see_each_other(model, rows) -> None:
    padded, packed = one_batch(rows), one_batch(rows, "packed")
    assert packed.input_ids.shape == (1, sum(len(row.token_ids) for row in rows)) and packed.attention_mask is None
    with torch.no_grad():
        first, second = token_logprobs(model, padded), token_logprobs(model, packed)
        torch.testing.assert_close(first.logprobs, second.logprobs, rtol=0, atol=2e-5)
        # The row that comes first has nothing before it; the others must not depend on it.
        foreign = [replace(rows[packed.rows[0]], token_ids=[7] * len(rows[packed.rows[0]].token_ids))]
        rest = [rows[index] for index in packed.rows[1:]]
        changed = token_logprobs(model, one_batch([*foreign, *rest], "packed"))
    count = foreign[0].trained_count
    torch.testing.assert_close(changed.logprobs[count:], second.logprobs[count:], rtol=0, atol=2e-5)


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_chunks_change_neither_values_nor_gradients(tiny_models, rows, chunk: int) -> None:
    results = []
    for logits_at_once in (EVERYTHING * 512, chunk * 512):
        model = tiny_models.make_model("qwen3").double()
        scored = token_logprobs(model, one_batch(rows), temperature=0.7, logits_at_once=logits_at_once)
        (scored.logprobs.sum() - 0.3 * scored.entropy.sum()).backward()
        results.append((scored, [parameter.grad for parameter in model.parameters()]))
    (whole, gradients), (cut, cut_gradients) = results
    torch.testing.assert_close(cut.logprobs, whole.logprobs, rtol=0, atol=1e-12)
    torch.testing.assert_close(cut.entropy, whole.entropy, rtol=0, atol=1e-12)
    for expected, gradient in zip(gradients, cut_gradients, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-10)


def test_a_softcap_of_the_final_logits_is_honoured(tiny_models, rows) -> None:
    model = tiny_models.make_model("qwen3").double()
    model.config.final_logit_softcapping = 2.0
    batch = one_batch(rows)
    with torch.no_grad():
        scored = token_logprobs(model, batch, temperature=0.7)
        expected, entropies = plain_logprobs(model, [rows[index] for index in batch.rows], 0.7, softcap=2.0)
        uncapped, _ = plain_logprobs(model, [rows[index] for index in batch.rows], 0.7)
    torch.testing.assert_close(scored.logprobs, expected, rtol=0, atol=1e-11)
    torch.testing.assert_close(scored.entropy, entropies, rtol=0, atol=1e-11)
    assert (expected - uncapped).abs().max() > 0.1


def test_the_hottest_distribution_is_the_flattest(model, rows) -> None:
    batch = one_batch(rows)
    with torch.no_grad():
        entropies = [float(token_logprobs(model, batch, temperature=t).entropy.mean()) for t in (0.3, 0.7, 1.0, 1.3)]
    assert entropies == sorted(entropies)
