"""The space of texts."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory

from .text_memory import SharedTexts, TextMemory


class TextSpace(gym.Space[str]):
    """Every string: Gymnasium's own `Text` fixes a character set and a length, which language has not.

    `AsyncVectorEnv` shares it between processes by a `TextMemory`. Leave its `shared_memory` at the default: with
    `shared_memory=False` Gymnasium 1.4 forgets, when a whole vector is reset, which environments it was about to reset
    by itself, and does that at their first step.
    """

    def __init__(self, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(shape=None, dtype=None, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Texts are no arrays."""
        return False

    def sample(self, mask: None = None, probability: None = None) -> str:
        """A random string of printable ASCII, up to 64 characters.

        Raises:
            ValueError: If a mask or probabilities are given; texts have none.
        """
        if mask is not None or probability is not None:
            raise ValueError("a text space takes neither mask nor probability")
        length = int(self.np_random.integers(0, 65))
        return "".join(chr(int(code)) for code in self.np_random.integers(32, 127, size=length))

    def contains(self, x: Any) -> bool:
        """Whether `x` is a string."""
        return isinstance(x, str)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextSpace)

    def __repr__(self) -> str:
        return "TextSpace()"


@create_shared_memory.register(TextSpace)
def _create(space: TextSpace, n: int = 1, ctx: Any = None) -> TextMemory:
    return TextMemory(n)


@read_from_shared_memory.register(TextSpace)
def _read(space: TextSpace, shared_memory: TextMemory, n: int = 1) -> SharedTexts:
    return SharedTexts(shared_memory)


@write_to_shared_memory.register(TextSpace)
def _write(space: TextSpace, index: int, value: str, shared_memory: TextMemory) -> None:
    shared_memory.write(index, value)
