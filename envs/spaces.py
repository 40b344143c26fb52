"""The space of texts."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class TextSpace(gym.Space[str]):
    """Every string: Gymnasium's own `Text` fixes a character set and a length, which language has not.

    `AsyncVectorEnv` cannot share it through memory and says so: pass `shared_memory=False`.
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
