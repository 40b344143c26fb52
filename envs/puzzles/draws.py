"""Whole numbers as NumPy draws them, one by one and cheaply."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")

_WORD = 0xFFFFFFFF
_FIRST_BLOCK, _LARGEST_BLOCK = 16, 512


class Draws:
    """A stream of random whole numbers with the results of `np.random.default_rng(seed).integers(0, count)`.

    A single call of NumPy's costs more than a whole puzzle may. The stream takes the generator's 32-bit words in
    blocks and bounds them as NumPy does (Lemire 2019, arXiv 1805.10941; `Generator.integers` below 2**32), so that the
    order of draws of a generator written with NumPy can be followed.

    Args:
        *seed: One seed, or several: `Draws(seed, index)` has the stream of `default_rng([seed, index])`.
    """

    def __init__(self, *seed: int) -> None:
        self._words = _words(np.random.default_rng(seed))

    def below(self, count: int) -> int:
        """A number from 0 to `count - 1`; one alone is not drawn.

        Args:
            count: From 1 to 2**32 - 1.
        """
        if count == 1:
            return 0
        while True:
            product = next(self._words) * count
            rest = product & _WORD
            if rest >= count or rest >= (_WORD + 1 - count) % count:
                return product >> 32

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """The items in another order (Fisher and Yates; not the draws of `Generator.shuffle`)."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order

    def sample(self, items: Sequence[Item], count: int) -> list[Item]:
        """`count` different items, in the order of `Generator.choice(items, count, replace=False)`.

        NumPy's way for at most 10,000 items: Floyd's algorithm (Bentley and Floyd 1987), then a shuffle.
        """
        chosen: list[int] = []
        for newest in range(len(items) - count, len(items)):
            position = self.below(newest + 1)
            chosen.append(newest if position in chosen else position)
        return [items[position] for position in self.shuffled(chosen)]


def _words(rng: np.random.Generator) -> Iterator[int]:
    """The generator's 32-bit words: the low half of each 64-bit output, then the high half."""
    size = _FIRST_BLOCK
    while True:
        yield from rng.bit_generator.random_raw(size).astype("<u8").view("<u4").tolist()
        size = min(2 * size, _LARGEST_BLOCK)
