"""Law 7: the gradient does not depend on how the batch was cut. And what a step does."""

from __future__ import annotations

import copy
import math
import random
from dataclasses import replace

import pytest
import torch

from toolgym.agents.trajectory import Role, Segment
from toolgym.trainers.batching import training_rows
from toolgym.trainers.cold_start import negative_logprob
from toolgym.trainers.learner import Learner
from toolgym.trainers.objectives import clipped_policy_loss, kl_penalty, token_weights
from toolgym.trainers.recipe import Optimizer

AGGREGATIONS = ("token_mean", "sequence_mean_token_mean", "sequence_mean_token_sum", "token_sum_constant")
TEMPERATURE = 0.8


def full_loss(batch, scored):
    """Everything at once: the clipped surrogate, KL to a reference, and entropy."""
    surrogate = clipped_policy_loss(scored.logprobs, batch.old_logprobs, batch.advantages, dual_clip=3.0).loss
    return surrogate + 0.3 * kl_penalty(scored.logprobs, batch.reference_logprobs) - 0.1 * scored.entropy


@pytest.fixture(scope="module")
def model(tiny_models):
    return tiny_models.make_model("qwen3", layers=2, spread=0.15)


@pytest.fixture(scope="module")
def rows(uneven_trajectories, model):
    """Rows whose old and reference logprobs are near the model's, so that some ratios are clipped and some not."""
    draw = random.Random(0)
    rows = training_rows(uneven_trajectories)
    own = Learner(model, Optimizer(), 1).logprobs(rows, 1 << 20, "padded", TEMPERATURE)
    near = []
    for row, values in zip(rows, own, strict=True):
        remaining = iter(values.tolist())
        base = [next(remaining) if trained else 0.0 for trained in row.trained]
        old, reference = ([value + draw.gauss(0, 0.3) if value else 0.0 for value in base] for _ in range(2))
        near.append(replace(row, old_logprobs=old, reference_logprobs=reference))
    return near


def gradient_of(model, rows, aggregation: str, budget: int, layout: str = "padded", dtype=torch.float64):
    model = copy.deepcopy(model).to(dtype)
    counts, episodes = [row.trained_count for row in rows], [row.episode_id for row in rows]
    weights = token_weights(counts, episodes, aggregation, 40.0)
    weighted = [replace(row, weight=weight) for row, weight in zip(rows, weights, strict=True)]
    total = Learner(model, Optimizer(), 1).accumulate(weighted, full_loss, budget, layout, TEMPERATURE)
    return total, torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def assert_same(first, second, tolerance: float) -> None:
    (loss, gradient), (other_loss, other_gradient) = first, second
    norm = float(gradient.norm())
    assert norm > 1e-3
    assert float((gradient - other_gradient).norm()) <= tolerance * norm
    assert abs(loss - other_loss) <= tolerance * max(1.0, abs(loss))


# The longest row has 38 tokens or fewer: these budgets cut 18 rows into 1, about 4 and 18 micro-batches.
CUTS = {"whole": 1 << 20, "some": 160, "single": 1}


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_the_gradient_does_not_depend_on_the_cut(model, rows, aggregation: str) -> None:
    reference = gradient_of(model, rows, aggregation, CUTS["whole"])
    for budget in (CUTS["some"], CUTS["single"]):
        assert_same(reference, gradient_of(model, rows, aggregation, budget), 1e-10)
    for budget in CUTS.values():
        assert_same(reference, gradient_of(model, rows, aggregation, budget, "packed"), 1e-10)


def test_nor_in_single_precision(model, rows) -> None:
    reference = gradient_of(model, rows, "token_mean", CUTS["whole"], dtype=torch.float32)
    for layout, budget in (("padded", 160), ("padded", 1), ("packed", 160), ("packed", 1 << 20)):
        assert_same(reference, gradient_of(model, rows, "token_mean", budget, layout, torch.float32), 1e-5)


def test_nor_on_the_order_of_the_rows_or_the_width_of_the_padding(model, rows) -> None:
    reference = gradient_of(model, rows, "sequence_mean_token_mean", 1 << 20)
    shuffled = random.Random(1).sample(rows, len(rows))
    assert_same(reference, gradient_of(model, shuffled, "sequence_mean_token_mean", 160), 1e-10)
    # Untrained tokens at the end of every row make all paddings wider and everything else the same.
    wider = [
        replace(
            row,
            token_ids=[*row.token_ids, *[3] * 11],
            trained=[*row.trained, *[False] * 11],
            sampler_logprobs=[*row.sampler_logprobs, *[0.0] * 11],
            old_logprobs=[*row.old_logprobs, *[0.0] * 11],
            reference_logprobs=[*row.reference_logprobs, *[0.0] * 11],
        )
        for row in rows
    ]
    assert_same(reference, gradient_of(model, wider, "sequence_mean_token_mean", 1 << 20), 1e-10)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_the_gradient_is_that_of_the_definition(model, rows, aggregation: str) -> None:
    """Row by row from the full softmax, with the means written out."""
    plain = copy.deepcopy(model).double()
    losses: dict[str, list[torch.Tensor]] = {}
    for row in rows:
        places = [position for position, trained in enumerate(row.trained) if trained]
        logits = plain(input_ids=torch.tensor([row.token_ids]), use_cache=False).logits[0] / TEMPERATURE
        distribution = torch.log_softmax(logits, -1)
        for place in places:
            predicted = distribution[place - 1]
            logprob = predicted[row.token_ids[place]]
            # Old and reference logprobs are single precision in the micro-batch.
            old, reference = (float(torch.tensor(value[place])) for value in (row.old_logprobs, row.reference_logprobs))
            advantage = float(torch.tensor(row.advantage))
            ratio = torch.exp(logprob - old)
            loss = torch.maximum(-advantage * ratio, -advantage * ratio.clamp(0.8, 1.2))
            if advantage < 0:
                loss = loss.clamp(max=-3.0 * advantage)
            loss = loss + 0.3 * (torch.exp(reference - logprob) + logprob - reference - 1)
            losses.setdefault(row.episode_id, []).append(loss + 0.1 * (predicted.exp() * predicted).sum())
    episodes = [torch.stack(values) for values in losses.values()]
    total = {
        "token_mean": lambda: torch.cat(episodes).mean(),
        "sequence_mean_token_mean": lambda: torch.stack([values.mean() for values in episodes]).mean(),
        "sequence_mean_token_sum": lambda: torch.stack([values.sum() for values in episodes]).mean(),
        "token_sum_constant": lambda: torch.stack([values.sum() / 40 for values in episodes]).mean(),
    }[aggregation]()
    total.backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in plain.parameters()])
    assert len(episodes) == 16
    assert_same((float(total.detach()), gradient), gradient_of(model, rows, aggregation, 160), 1e-10)


# Law 1 -------------------------------------------------------------------------------------------------------------


def sft_gradient(model, trajectories, layout: str = "padded"):
    model = copy.deepcopy(model).double()
    rows = training_rows(trajectories)
    weights = token_weights([row.trained_count for row in rows], [row.episode_id for row in rows])
    weighted = [replace(row, weight=weight) for row, weight in zip(rows, weights, strict=True)]
    Learner(model, Optimizer(), 1).accumulate(weighted, negative_logprob, 1 << 20, layout, 1.0)
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_what_follows_the_last_action_has_no_gradient(model, uneven_trajectories, layout: str) -> None:
    """A token that conditions nothing that is trained could enter the loss as a label alone, and must not."""
    changed = []
    for ending in (range(20, 26), range(300, 306), ()):
        tail = [Segment(Role.OBSERVATION, tuple(ending))]
        rows = [replace(row, segments=[*row.segments, *tail]) for row in uneven_trajectories[:5]]
        changed.append(sft_gradient(model, rows, layout))
    for other in changed[1:]:
        assert float((changed[0] - other).norm()) <= 1e-10 * float(changed[0].norm())


def test_the_gradient_is_the_sum_over_actions_alone(model, make_trajectory) -> None:
    row = make_trajectory(5, turns=3)
    plain = copy.deepcopy(model).double()
    distribution = torch.log_softmax(plain(input_ids=torch.tensor([row.token_ids]), use_cache=False).logits[0], -1)
    places = [position for span in row.turn_spans for position in range(*span)]
    assert len(row.turn_spans) == 3 and len(places) == row.action_token_count
    (-sum(distribution[place - 1, row.token_ids[place]] for place in places) / len(places)).backward()
    expected = torch.cat([parameter.grad.flatten() for parameter in plain.parameters()])
    assert float((sft_gradient(model, [row]) - expected).norm()) <= 1e-10 * float(expected.norm())


# The step ----------------------------------------------------------------------------------------------------------


def one_update(model, settings: Optimizer, rows, dtype: str = "float32", steps: int = 1):
    learner = Learner(copy.deepcopy(model), settings, steps, dtype=dtype)
    weighted = [replace(row, weight=1 / 50) for row in rows]
    return learner, [learner.update(weighted, negative_logprob, 1 << 20, "padded") for _ in range(steps)]


def test_a_step_lowers_the_loss_and_reports_it(model, rows) -> None:
    learner, updates = one_update(model, Optimizer(lr=1e-2), rows, steps=4)
    losses = [update.loss for update in updates]
    assert losses == sorted(losses, reverse=True)
    assert all(update.gradient_norm > 0 and update.lr == 1e-2 for update in updates)
    trained = sum(row.trained_count for row in rows)
    before = -sum(float(v.sum()) for v in Learner(model, Optimizer(), 1).logprobs(rows, 1 << 20, "padded", 1.0)) / 50
    assert losses[0] == pytest.approx(before, rel=1e-5) and trained > 100
    del learner


def test_the_gradient_is_clipped_to_its_norm(model, rows) -> None:
    learner, (update,) = one_update(model, Optimizer(lr=1e-2, max_gradient_norm=0.01), rows)
    norm = math.sqrt(sum(float(parameter.grad.square().sum()) for parameter in learner.model.parameters()))
    assert update.gradient_norm > 0.1 and norm == pytest.approx(0.01, rel=1e-3)


def test_a_broken_gradient_leaves_the_weights_alone(model, rows) -> None:
    learner = Learner(copy.deepcopy(model), Optimizer(lr=1.0), 1)
    broken = [replace(row, weight=math.inf) for row in rows]
    with pytest.raises(FloatingPointError, match="gradient norm"):
        learner.update(broken, negative_logprob, 1 << 20, "padded")
    for before, after in zip(model.parameters(), learner.model.parameters(), strict=True):
        assert torch.equal(before, after)


def test_bfloat16_runs_the_forward_pass_and_keeps_the_weights(model, rows) -> None:
    learner, (update,) = one_update(model, Optimizer(lr=1e-3), rows, "bfloat16")
    _, (exact,) = one_update(model, Optimizer(lr=1e-3), rows)
    assert {parameter.dtype for parameter in learner.model.parameters()} == {torch.float32}
    assert update.loss != exact.loss and update.loss == pytest.approx(exact.loss, rel=0.02)


def test_norms_and_biases_do_not_decay(model) -> None:
    learner = Learner(copy.deepcopy(model), Optimizer(weight_decay=0.1), 1)
    decayed, plain = learner.optimizer.param_groups
    assert decayed["weight_decay"] == 0.1 and {p.ndim for p in decayed["params"]} == {2}
    assert plain["weight_decay"] == 0.0 and {p.ndim for p in plain["params"]} == {1}


def learning_rates(settings: Optimizer, steps: int) -> list[float]:
    learner = Learner(torch.nn.Linear(1, 1), settings, steps)
    rates = []
    for _ in range(steps):
        rates.append(learner.optimizer.param_groups[0]["lr"])
        learner.optimizer.step()
        learner.scheduler.step()
    return rates


def test_schedules_by_hand() -> None:
    assert learning_rates(Optimizer(lr=1.0), 3) == [1, 1, 1]
    # Warm-up 1/2, 2/2; then 4 steps that fall from 1 towards 0.2: 1 - 0.8 * (0, 1/4, 2/4, 3/4).
    linear = Optimizer(lr=1.0, schedule="linear", warmup_steps=2, final_lr_share=0.2)
    assert learning_rates(linear, 6) == pytest.approx([0.5, 1, 1, 0.8, 0.6, 0.4])
    # (1 + cos(pi * (0, 1/4, 1/2, 3/4))) / 2.
    cosine = Optimizer(lr=2.0, schedule="cosine")
    assert learning_rates(cosine, 4) == pytest.approx([2, 1.7071068, 1, 0.2928932])


def test_the_state_continues_exactly(model, rows) -> None:
    settings = Optimizer(lr=1e-2, schedule="linear", warmup_steps=1, weight_decay=0.1)
    weighted = [replace(row, weight=1 / 50) for row in rows]
    straight = Learner(copy.deepcopy(model), settings, 4)
    for _ in range(4):
        straight.update(weighted, negative_logprob, 1 << 20, "padded")
    first = Learner(copy.deepcopy(model), settings, 4)
    for _ in range(2):
        first.update(weighted, negative_logprob, 1 << 20, "padded")
    second = Learner(copy.deepcopy(first.model), settings, 4)
    second.load_state(copy.deepcopy(first.state()))
    for _ in range(2):
        second.update(weighted, negative_logprob, 1 << 20, "padded")
    for expected, parameter in zip(straight.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(expected, parameter)
