"""The one place where trajectories become tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..agents.trajectory import Role, Trajectory

Layout = Literal["padded", "packed"]


@dataclass(frozen=True)
class TrainingRow:
    """A row as the learner sees it.

    Attributes:
        token_ids: All ids.
        trained: True where the token carries loss; never at position 0, which has no context.
        sampler_logprobs: The sampler's logprobs, 0.0 where there are none.
        advantage: Advantage of the episode.
        episode_id: Unit of sequence means.
        weight: Weight of each trained token in the loss of the optimizer step.
        old_logprobs: Logprobs that fix the trust region, where they are not the sampler's.
        reference_logprobs: Logprobs under the reference policy, where there is one.
    """

    token_ids: list[int]
    trained: list[bool]
    sampler_logprobs: list[float]
    advantage: float
    episode_id: str
    weight: float = 0.0
    old_logprobs: list[float] | None = None
    reference_logprobs: list[float] | None = None

    @property
    def trained_count(self) -> int:
        """Number of trained tokens."""
        return sum(self.trained)


def training_rows(trajectories: Sequence[Trajectory], *, train_observations: bool = False) -> list[TrainingRow]:
    """Rows that carry loss.

    Args:
        trajectories: The trajectories; those without a trainable token are left out.
        train_observations: The ablation that shows what the mask is worth: observation tokens carry loss too. It is
            the only way to train a token that the policy did not sample, and GRPO alone offers it.

    Returns:
        One row per trajectory that has something to train.

    Raises:
        ValueError: If an action stands at the very start of a row, where nothing conditions it.
    """
    rows = []
    for trajectory in trajectories:
        trained = trajectory.loss_mask
        if train_observations and trajectory.trainable:
            trained = [segment.role is not Role.PROMPT for segment in trajectory.segments for _ in segment.token_ids]
        if not any(trained):
            continue
        if trained[0]:
            raise ValueError(f"episode {trajectory.outcome.episode_id}: a row must begin with a prompt")
        rows.append(
            TrainingRow(
                trajectory.token_ids,
                trained,
                trajectory.logprobs,
                trajectory.advantage or 0.0,
                trajectory.outcome.episode_id,
            )
        )
    return rows


@dataclass(frozen=True)
class MicroBatch:
    """Tensors of some rows. B rows of T columns; N trained tokens over all of them, in row order.

    Attributes:
        input_ids: (B, T). Packed layout: B = 1, the rows stand one after another.
        position_ids: (B, T), counting from 0 within each row.
        attention_mask: (B, T), 1 on real tokens; None in the packed layout, where positions separate the rows.
        row_index: (N,) row of the hidden state that predicts each trained token.
        column_index: (N,) its column (one before the token).
        targets: (N,) the trained tokens.
        sampler_logprobs: (N,).
        old_logprobs: (N,), the sampler's unless the rows bring their own.
        reference_logprobs: (N,), or None.
        advantages: (N,).
        weights: (N,).
        rows: Positions of the rows within the list that was cut.
    """

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor | None
    row_index: Tensor
    column_index: Tensor
    targets: Tensor
    sampler_logprobs: Tensor
    old_logprobs: Tensor
    reference_logprobs: Tensor | None
    advantages: Tensor
    weights: Tensor
    rows: tuple[int, ...]


def micro_batches(
    rows: Sequence[TrainingRow], token_budget: int, *, layout: Layout = "padded", device: torch.device | str = "cpu"
) -> Iterator[MicroBatch]:
    """Cuts rows into micro-batches of at most `token_budget` tokens, padding included.

    Rows of similar length go together. A row longer than the budget makes a micro-batch of its own.

    Args:
        rows: The rows of one optimizer step.
        token_budget: Most tokens in a micro-batch.
        layout: `padded` to the longest row, or `packed` end to end with positions that start anew.
        device: Where the tensors go.
    """
    order = sorted(range(len(rows)), key=lambda index: (-len(rows[index].token_ids), index))
    group: list[int] = []
    used = 0
    for index in order:
        length = len(rows[index].token_ids)
        width = len(rows[group[0]].token_ids) if group else length
        cost = (len(group) + 1) * width if layout == "padded" else used + length
        if group and cost > token_budget:
            yield _micro_batch(rows, group, layout, device)
            group, used = [], 0
        group.append(index)
        used += length
    if group:
        yield _micro_batch(rows, group, layout, device)


def _micro_batch(
    rows: Sequence[TrainingRow], group: Sequence[int], layout: Layout, device: torch.device | str
) -> MicroBatch:
    chosen = [rows[index] for index in group]
    lengths = [len(row.token_ids) for row in chosen]
    if layout == "packed":
        starts = [sum(lengths[:index]) for index in range(len(lengths))]
        input_ids = torch.tensor([[token for row in chosen for token in row.token_ids]])
        position_ids = torch.cat([torch.arange(length) for length in lengths])[None]
        mask = None
    else:
        starts = [0] * len(lengths)
        input_ids = torch.zeros(len(chosen), max(lengths), dtype=torch.long)
        mask = torch.zeros_like(input_ids)
        for index, row in enumerate(chosen):
            input_ids[index, : lengths[index]] = torch.tensor(row.token_ids)
            mask[index, : lengths[index]] = 1
        position_ids = torch.arange(max(lengths)).expand(len(chosen), -1).contiguous()
    places = [
        (0 if layout == "packed" else number, starts[number] + column)
        for number, row in enumerate(chosen)
        for column, trained in enumerate(row.trained)
        if trained
    ]
    row_index, columns = torch.tensor([place[0] for place in places]), torch.tensor([place[1] for place in places])
    counts = torch.tensor([row.trained_count for row in chosen])
    sampler = _trained_values([row.sampler_logprobs for row in chosen], chosen, device)
    old = _trained_values([row.old_logprobs or row.sampler_logprobs for row in chosen], chosen, device)
    references = [row.reference_logprobs for row in chosen if row.reference_logprobs is not None]
    if references and len(references) != len(chosen):
        raise ValueError("either all rows of an optimizer step have reference logprobs or none has")
    return MicroBatch(
        input_ids=input_ids.to(device),
        position_ids=position_ids.to(device),
        attention_mask=None if mask is None else mask.to(device),
        row_index=row_index.to(device),
        column_index=(columns - 1).to(device),
        targets=input_ids[row_index, columns].to(device),
        sampler_logprobs=sampler,
        old_logprobs=old,
        reference_logprobs=_trained_values(references, chosen, device) if references else None,
        advantages=torch.tensor([row.advantage for row in chosen]).repeat_interleave(counts).to(device),
        weights=torch.tensor([row.weight for row in chosen], dtype=torch.float64).repeat_interleave(counts).to(device),
        rows=tuple(group),
    )


def _trained_values(
    values: Sequence[Sequence[float]], rows: Sequence[TrainingRow], device: torch.device | str
) -> Tensor:
    """Values at the trained places of the rows, shape (N,)."""
    chosen = [
        value
        for row_values, row in zip(values, rows, strict=True)
        for value, trained in zip(row_values, row.trained, strict=True)
        if trained
    ]
    return torch.tensor(chosen, dtype=torch.float64).to(torch.get_default_dtype()).to(device)
