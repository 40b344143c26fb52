"""Advantages by hand, and their properties."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolgym.trainers.advantages import by_group, dr_grpo, grpo, zero_variance

REWARDS = st.lists(st.floats(-10, 10).map(lambda value: round(value, 3)), min_size=2, max_size=16)


def test_one_winner_of_four() -> None:
    # Mean 1/4; squared deviations 9/16 + 3/16 = 3/4; unbiased variance (3/4)/3 = 1/4, so std 1/2.
    # (1 - 1/4)/(1/2) = 1.5 and (0 - 1/4)/(1/2) = -0.5, each divided by 1 + 2e-6 for the epsilon of 1e-6.
    assert grpo([1, 0, 0, 0]) == pytest.approx([1.5, -0.5, -0.5, -0.5], rel=3e-6)
    assert grpo([1, 0, 0, 0])[0] == pytest.approx(0.75 / (0.5 + 1e-6), abs=1e-15)
    assert grpo([1, 0, 0, 0], epsilon=0) == pytest.approx([1.5, -0.5, -0.5, -0.5], abs=1e-15)
    assert dr_grpo([1, 0, 0, 0]) == pytest.approx([0.75, -0.25, -0.25, -0.25], abs=0)


def test_biased_standard_deviation() -> None:
    # Biased variance (3/4)/4 = 3/16: std sqrt(3)/4, so 0.75 / (sqrt(3)/4) = sqrt(3) and -0.25 * 4/sqrt(3).
    expected = [math.sqrt(3), *[-1 / math.sqrt(3)] * 3]
    assert grpo([1, 0, 0, 0], ddof=0, epsilon=0) == pytest.approx(expected, abs=1e-15)


def test_two_episodes() -> None:
    # Mean 1/2, unbiased variance (1/4 + 1/4)/1 = 1/2: 0.5 / sqrt(0.5) = sqrt(0.5).
    assert grpo([1, 0], epsilon=0) == pytest.approx([math.sqrt(0.5), -math.sqrt(0.5)])


def test_a_group_of_one_has_its_reward_as_advantage() -> None:
    # As in verl: mean 0 and std 1.
    assert grpo([0.7]) == pytest.approx([0.7 / (1 + 1e-6)], abs=1e-15)
    assert dr_grpo([0.7]) == pytest.approx([0.0])


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1])
def test_equal_rewards_teach_nothing(value: float) -> None:
    assert zero_variance([value] * 8)
    assert np.abs(dr_grpo([value] * 8)).max() < 1e-15
    # 0.1 has no exact mean over 8: the noise of 1e-17 must not become an advantage.
    assert np.abs(grpo([value] * 8)).max() < 1e-9


def test_float_noise_counts_as_no_variance() -> None:
    noisy = [0.1 + 0.2, 0.3, 0.3, 0.3]  # 0.30000000000000004 among 0.3
    assert len(set(noisy)) == 2 and zero_variance(noisy)
    assert not zero_variance([0.3, 0.3001])
    assert zero_variance([0.3, 0.3001], tolerance=1e-3)


@settings(deadline=None)
@given(REWARDS, st.floats(-5, 5))
def test_a_shift_changes_nothing(rewards: list[float], shift: float) -> None:
    moved = [reward + shift for reward in rewards]
    assert dr_grpo(moved) == pytest.approx(dr_grpo(rewards), abs=1e-9)
    if max(rewards) - min(rewards) > 1e-2:
        assert grpo(moved) == pytest.approx(grpo(rewards), abs=1e-6)


@settings(deadline=None)
@given(REWARDS, st.floats(0.01, 100))
def test_a_scale_changes_only_the_undivided_advantage(rewards: list[float], scale: float) -> None:
    scaled = [reward * scale for reward in rewards]
    assert dr_grpo(scaled) == pytest.approx(scale * dr_grpo(rewards), abs=1e-9)
    if max(rewards) > min(rewards):
        assert grpo(scaled, epsilon=0) == pytest.approx(grpo(rewards, epsilon=0), abs=1e-6)


@settings(deadline=None)
@given(REWARDS)
def test_advantages_sum_to_zero_and_keep_the_order(rewards: list[float]) -> None:
    for values in (grpo(rewards), dr_grpo(rewards)):
        assert values.dtype == np.float64 and values.shape == (len(rewards),)
        assert abs(values.sum()) < 1e-6
        assert [rewards[index] for index in np.argsort(values, kind="stable")] == pytest.approx(
            sorted(rewards), abs=1e-9
        )


@settings(deadline=None)
@given(REWARDS.filter(lambda rewards: max(rewards) - min(rewards) > 0.01))
def test_divided_advantages_have_unit_variance(rewards: list[float]) -> None:
    assert grpo(rewards, epsilon=0).std(ddof=1) == pytest.approx(1)
    assert grpo(rewards, ddof=0, epsilon=0).std(ddof=0) == pytest.approx(1)


@pytest.mark.parametrize("function", [grpo, dr_grpo, zero_variance])
@pytest.mark.parametrize("rewards", [[], [[1.0, 2.0]], 1.0])
def test_only_a_list_of_rewards_is_a_group(function, rewards) -> None:
    with pytest.raises(ValueError, match="1-D"):
        function(rewards)


@pytest.mark.parametrize("function", [grpo, dr_grpo, zero_variance])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_rewards_must_be_finite(function, bad: float) -> None:
    with pytest.raises(ValueError, match="failed episodes"):
        function([0.0, bad])


def test_groups_may_be_interleaved() -> None:
    rewards = {"a0": 1.0, "b0": 10.0, "a1": 0.0, "c0": 5.0, "b1": 30.0}
    groups = {"a0": "a", "b0": "b", "a1": "a", "c0": "c", "b1": "b"}
    # a: mean 1/2; b: mean 20; c alone.
    assert by_group(rewards, groups, dr_grpo) == {"a0": 0.5, "a1": -0.5, "b0": -10.0, "b1": 10.0, "c0": 0.0}
    # Both groups of two have advantages +- sqrt(1/2), whatever their scale.
    divided = by_group(rewards, groups, partial(grpo, epsilon=0))
    half = math.sqrt(0.5)
    assert divided == pytest.approx({"a0": half, "a1": -half, "b0": -half, "b1": half, "c0": 5.0})


def test_only_episodes_with_a_group_are_compared() -> None:
    rewards = {"a0": 1.0, "a1": 0.0, "left out": 100.0}
    assert by_group(rewards, {"a0": "a", "a1": "a"}, dr_grpo) == {"a0": 0.5, "a1": -0.5}


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-3, 3)), min_size=1, max_size=20))
def test_a_group_does_not_see_the_others(pairs: list[tuple[str, float]]) -> None:
    rewards = {f"e{index}": reward for index, (_, reward) in enumerate(pairs)}
    groups = {f"e{index}": group for index, (group, _) in enumerate(pairs)}
    together = by_group(rewards, groups, dr_grpo)
    assert sorted(together) == sorted(rewards)
    for name in set(groups.values()):
        own = [episode for episode in rewards if groups[episode] == name]
        assert [together[episode] for episode in own] == dr_grpo([rewards[episode] for episode in own]).tolist()
