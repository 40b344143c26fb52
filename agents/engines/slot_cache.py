"""A key/value cache whose rows are slots of different lengths.

A forward pass names the slots it serves and the position of every token; keys and values are written there and read
back as one block. Positions beyond a query's own are hidden by the mask, so that rows of any lengths share a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

ATTENTION = "toolgym_slots"
"""Name of the attention implementation that the engine's model runs under."""


def slot_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention that reads grouped keys and values without copying them for each query head when one token is decoded.

    Args:
        module: The attention layer.
        query: Shape `[batch, heads, queries, head_dim]`.
        key: Shape `[batch, kv_heads, length, head_dim]`.
        value: Shape `[batch, kv_heads, length, value_dim]`.
        attention_mask: Additive, shape `[batch, 1, queries, length]`.
        options: As the `sdpa` implementation takes them.

    Returns:
        Shape `[batch, queries, heads, value_dim]`, and None for the weights.
    """
    batch, heads, queries, width = query.shape
    kv_heads = key.shape[1]
    if queries > 1 or heads == kv_heads or attention_mask is None or options.get("position_bias") is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    grouped = query.reshape(batch, kv_heads, heads // kv_heads, width)
    output = torch.nn.functional.scaled_dot_product_attention(
        grouped, key, value, attn_mask=attention_mask, scale=options.get("scaling")
    )
    return output.reshape(batch, 1, heads, value.shape[-1]), None


AttentionInterface.register(ATTENTION, slot_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


class _Place:
    """Where the tokens of the running forward pass belong; shared by all layers.

    Attributes:
        slots: Number of slots.
        capacity: Positions allocated per slot.
        reach: Positions that the pass reads.
        span: The rows as a range of slots, or None when they are scattered.
        rows: Slot of each row, shape `[batch]`.
        index: Slot and position of each token, both `[batch, queries]` (the slots with one column).
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.capacity = 0
        self.reach = 0
        self.span: slice | None = None
        self.rows = torch.empty(0, dtype=torch.long)
        self.index: tuple[torch.Tensor, torch.Tensor] = (self.rows, self.rows)


class _SlotLayer(CacheLayerMixin):
    """Keys and values of one layer, each `[slots, kv_heads, capacity, head_dim]`."""

    def __init__(self, place: _Place) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.place = place
        self.keys: torch.Tensor | None = None
        self.values: torch.Tensor | None = None

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys = self._grown(None, key_states)
        self.values = self._grown(None, value_states)
        self.is_initialized = True

    def _grown(self, held: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
        # Zeros, never uninitialised memory: a hidden position has weight 0, and 0 times NaN would show.
        grown = like.new_zeros((self.place.slots, like.shape[1], self.place.capacity, like.shape[3]))
        if held is not None:
            grown[:, :, : held.shape[2]] = held
        return grown

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.keys is None or self.values is None:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        if self.keys.shape[2] < self.place.capacity:
            self.keys = self._grown(self.keys, self.keys)
            self.values = self._grown(self.values, self.values)
        rows, positions = self.place.index
        self.keys[rows, :, positions] = key_states.transpose(1, 2)
        self.values[rows, :, positions] = value_states.transpose(1, 2)
        return self._read(self.keys), self._read(self.values)

    def _read(self, held: torch.Tensor) -> torch.Tensor:
        visible = held[:, :, : self.place.reach]
        return visible[self.place.span] if self.place.span is not None else visible.index_select(0, self.place.rows)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.place.reach, 0

    def get_seq_length(self) -> int:
        return self.place.reach

    def get_max_length(self) -> int:
        return -1


class SlotCache(Cache):
    """Keys and values of a fixed number of slots, as a `transformers` cache.

    Args:
        slots: Rows.
        layers: Attention layers of the model.
        device: Where the model lives.
        dtype: Of the mask: that of the model.
        initial_capacity: Positions allocated at first; grows in powers of two.
    """

    def __init__(
        self, slots: int, layers: int, device: torch.device, dtype: torch.dtype, initial_capacity: int = 128
    ) -> None:
        self.place = _Place(slots)
        self._held = [_SlotLayer(self.place) for _ in range(layers)]
        super().__init__(layers=list(self._held))
        self.device = device
        self.hidden = torch.finfo(dtype).min
        self.dtype = dtype
        self.initial_capacity = initial_capacity

    def aim(self, rows: NDArray[np.int64], positions: NDArray[np.int64], reach: int) -> torch.Tensor:
        """Prepares a forward pass and returns its attention mask.

        Args:
            rows: Slot of each row, ascending, shape `[batch]`.
            positions: Where each token is written, shape `[batch, queries]`; distinct within a row.
            reach: Positions that are read: more than the last position of any real token.

        Returns:
            Additive mask, shape `[batch, 1, queries, reach]`: a query sees its own position and those before it.
        """
        place, needed = self.place, int(positions.max()) + 1
        if needed > place.capacity:
            place.capacity = max(self.initial_capacity, 1 << (needed - 1).bit_length())
        place.reach = reach
        first, last = int(rows[0]), int(rows[-1])
        place.span = slice(first, last + 1) if last - first + 1 == len(rows) else None
        place.rows = torch.from_numpy(rows).to(self.device)
        where = torch.from_numpy(positions).to(self.device)
        place.index = (place.rows[:, None], where)
        hidden = torch.arange(reach, device=self.device) > where[:, None, :, None]
        return torch.zeros(hidden.shape, dtype=self.dtype, device=self.device).masked_fill_(hidden, self.hidden)

    def wipe(self, slot: int | None = None) -> None:
        """Sets what a slot holds (all slots, by default) to zero."""
        for layer in self._held:
            for held in (layer.keys, layer.values):
                if held is not None:
                    (held if slot is None else held[slot]).zero_()

    def free(self) -> None:
        """Gives the memory back."""
        self.place.capacity = 0
        for layer in self._held:
            layer.keys = layer.values = None
