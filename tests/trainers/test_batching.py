"""Trajectories become rows, rows become tensors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolgym.agents.trajectory import Outcome, Role, Segment, Trajectory
from toolgym.trainers.batching import TrainingRow, micro_batches, training_rows


def segments_of(*parts: tuple[Role, list[int]]) -> list[Segment]:
    return [
        Segment(role, tuple(ids), tuple(-0.1 * token for token in ids) if role is Role.ACTION else None)
        for role, ids in parts
    ]


PROMPT, ACTION, OBSERVATION = Role.PROMPT, Role.ACTION, Role.OBSERVATION
PARTS = [(PROMPT, [1, 2]), (ACTION, [3, 4, 5]), (OBSERVATION, [6, 7]), (ACTION, [8])]


def trajectory(*parts, **options) -> Trajectory:
    return Trajectory(Outcome("e", "t", "g"), segments_of(*(parts or PARTS)), **options)


def test_a_row_by_hand() -> None:
    (row,) = training_rows([trajectory(advantage=1.5)])
    assert row.token_ids == [1, 2, 3, 4, 5, 6, 7, 8]
    assert row.trained == [False, False, True, True, True, False, False, True]
    assert row.sampler_logprobs == pytest.approx([0, 0, -0.3, -0.4, -0.5, 0, 0, -0.8])
    assert (row.advantage, row.episode_id, row.trained_count) == (1.5, "e", 4)


def test_a_micro_batch_by_hand() -> None:
    long = replace(training_rows([trajectory(advantage=1.5)])[0], weight=0.25)
    short = TrainingRow([10, 11, 12], [False, False, True], [0, 0, -2.0], -1.0, "f", 0.5)
    (batch,) = micro_batches([short, long], 100)
    # The longer row comes first; the token at column 3 is predicted at column 2, and so on.
    assert batch.rows == (1, 0)
    assert batch.input_ids.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8], [10, 11, 12, 0, 0, 0, 0, 0]]
    assert batch.attention_mask.tolist() == [[1] * 8, [1, 1, 1, 0, 0, 0, 0, 0]]
    assert batch.row_index.tolist() == [0, 0, 0, 0, 1]
    assert batch.column_index.tolist() == [1, 2, 3, 6, 1]
    assert batch.targets.tolist() == [3, 4, 5, 8, 12]
    assert batch.sampler_logprobs.tolist() == pytest.approx([-0.3, -0.4, -0.5, -0.8, -2.0])
    assert batch.old_logprobs.tolist() == batch.sampler_logprobs.tolist()
    assert batch.advantages.tolist() == [1.5, 1.5, 1.5, 1.5, -1.0]
    assert batch.weights.tolist() == [0.25, 0.25, 0.25, 0.25, 0.5]
    assert batch.reference_logprobs is None
    (packed,) = micro_batches([short, long], 100, layout="packed")
    assert packed.input_ids.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12]]
    assert packed.position_ids.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2]]
    assert packed.row_index.tolist() == [0] * 5 and packed.column_index.tolist() == [1, 2, 3, 6, 9]
    assert packed.targets.tolist() == batch.targets.tolist() and packed.attention_mask is None


def test_what_carries_no_loss_is_left_out() -> None:
    assert training_rows([trajectory(trainable=False)]) == []
    assert training_rows([trajectory((PROMPT, [1]), (OBSERVATION, [2]))]) == []
    assert training_rows([Trajectory(Outcome("failed", "t", "g"))]) == []
    assert training_rows([]) == [] and list(micro_batches([], 10)) == []


def test_a_row_may_not_begin_with_an_action() -> None:
    with pytest.raises(ValueError, match="begin with a prompt"):
        training_rows([trajectory((ACTION, [1, 2]), (OBSERVATION, [3]))])


def test_observations_are_trained_by_the_experiment_alone() -> None:
    rows = [trajectory(), trajectory(trainable=False)]
    (row,) = training_rows(rows, train_observations=True)
    assert row.trained == [False, False, True, True, True, True, True, True]  # the prompt never
    assert training_rows(rows)[0].trained.count(True) == 4


def test_own_old_and_reference_logprobs() -> None:
    (row,) = training_rows([trajectory()])
    old, reference = [0, 0, -1.0, -2.0, -3.0, 0, 0, -4.0], [0, 0, -5.0, -6.0, -7.0, 0, 0, -8.0]
    (batch,) = micro_batches([replace(row, old_logprobs=old, reference_logprobs=reference)], 100)
    assert batch.old_logprobs.tolist() == [-1, -2, -3, -4]
    assert batch.reference_logprobs.tolist() == [-5, -6, -7, -8]
    assert batch.sampler_logprobs.tolist() == pytest.approx([-0.3, -0.4, -0.5, -0.8])
    with pytest.raises(ValueError, match="reference logprobs"):
        list(micro_batches([row, replace(row, reference_logprobs=reference)], 100))


ROWS = st.lists(st.integers(2, 30), min_size=1, max_size=20).map(
    lambda lengths: [
        TrainingRow(list(range(length)), [False] + [True] * (length - 1), [-1.0] * length, 0.0, f"e{index}", 1.0)
        for index, length in enumerate(lengths)
    ]
)


@given(ROWS, st.integers(1, 120), st.sampled_from(["padded", "packed"]))
@settings(max_examples=60, deadline=None)
def test_every_row_stands_in_one_micro_batch_within_the_budget(rows, budget: int, layout: str) -> None:
    batches = list(micro_batches(rows, budget, layout=layout))
    assert sorted(index for batch in batches for index in batch.rows) == list(range(len(rows)))
    for batch in batches:
        assert batch.input_ids.numel() <= budget or len(batch.rows) == 1
        expected = [token for index in batch.rows for token in rows[index].token_ids[1:]]
        assert batch.targets.tolist() == expected
        # The token at a place of the hidden states is the one before its target.
        before = batch.input_ids[batch.row_index, batch.column_index]
        assert torch.equal(before, batch.targets - 1)
        assert torch.equal(batch.position_ids[batch.row_index, batch.column_index], batch.targets - 1)


@given(ROWS)
@settings(max_examples=30, deadline=None)
def test_padding_is_known_by_the_mask_and_not_by_the_id(rows) -> None:
    (batch,) = micro_batches(rows, 1 << 20)
    lengths = [len(rows[index].token_ids) for index in batch.rows]
    assert batch.attention_mask.sum(1).tolist() == lengths
    for line, index in enumerate(batch.rows):  # id 0 is also the first token of every row
        assert batch.input_ids[line, : lengths[line]].tolist() == rows[index].token_ids
