from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from toolgym.envs.puzzles.draws import Draws

# Above 2**31 up to half of the words are drawn again.
COUNTS = st.integers(1, 60) | st.integers(2**31, 2**31 + 99) | st.integers(1, 2**32 - 1)


@given(seed=st.integers(0, 2**63), counts=st.lists(COUNTS, max_size=60))
@settings(max_examples=100, deadline=None)
def test_below_draws_as_numpy_does(seed: int, counts: list[int]) -> None:
    draws, rng = Draws(seed), np.random.default_rng(seed)
    assert [draws.below(count) for count in counts] == [int(rng.integers(0, count)) for count in counts]


def test_two_seeds_are_a_list_of_seeds() -> None:
    draws, rng = Draws(3, 5), np.random.default_rng([3, 5])
    assert [draws.below(6) for _ in range(2_000)] == rng.integers(0, 6, size=2_000).tolist()  # over several blocks


@given(seed=st.integers(0, 10_000), count=st.integers(0, 51))
@settings(max_examples=100, deadline=None)
def test_sample_and_pick_draw_as_numpy_does(seed: int, count: int) -> None:
    items = [f"item {number}" for number in range(51)]
    draws, rng = Draws(seed), np.random.default_rng(seed)
    assert draws.sample(items, count) == rng.choice(items, count, replace=False).tolist()
    assert draws.pick(items) == str(rng.choice(items))


def test_shuffled_leaves_the_items_alone() -> None:
    items = list(range(9))
    shuffled = Draws(1).shuffled(items)
    assert shuffled != items == list(range(9)) and sorted(shuffled) == items
