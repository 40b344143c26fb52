"""Groups of environments with one task each, for methods that compare episodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from toolgym.envs.vector import ToolVectorEnv
from toolgym.tools import InputError

ANSWER = "<answer> nobody </answer>"


@pytest.fixture
def grouped(toys: Any) -> Any:
    def make(tasks: int, num_groups: int, group_size: int, **options: Any) -> ToolVectorEnv:
        env = toys.ToyEnv("search_r1", [f"Question {index}?" for index in range(tasks)])
        return ToolVectorEnv(env, num_groups=num_groups, group_size=group_size, **options)

    return make


def tasks_of(vector: ToolVectorEnv) -> list[str]:
    return [env.episode.task.id for env in vector.envs]


def of_groups(values: Any, size: int) -> list[Any]:
    """One value for each group, which all its members share."""
    values = list(values)
    groups = [values[start : start + size] for start in range(0, len(values), size)]
    assert all(len(set(group)) == 1 for group in groups), groups
    return [group[0] for group in groups]


@pytest.mark.parametrize("seed", range(5))
def test_a_group_shares_task_and_seed_and_no_two_groups_do(grouped: Any, seed: int) -> None:
    """20 groups for 20 tasks: every task is drawn once, which plain counting of seeds would not give."""
    vector = grouped(20, 20, 3)
    observations, infos = vector.reset(seed=seed)
    assert sorted(of_groups(tasks_of(vector), 3)) == sorted(f"t{index}" for index in range(20))
    assert of_groups(infos["group_id"], 3) == list(range(20)) == of_groups(vector.group_ids, 3)
    env = vector.envs[0].spawn()
    for group, own in enumerate(of_groups(infos["seed"], 3)):
        assert env.reset(seed=int(own))[0] == observations[3 * group]
        assert env.task_of_seed(int(own)) == env.episode.task
    for one in (env, vector):
        one.close()


def test_more_groups_than_tasks_share_the_tasks_out(grouped: Any) -> None:
    vector = grouped(3, 7, 2)
    vector.reset(seed=9)
    counts = sorted(of_groups(tasks_of(vector), 2).count(f"t{index}") for index in range(3))
    assert counts == [2, 2, 3]
    vector.close()


def test_the_seed_alone_decides(grouped: Any) -> None:
    first, second, other = grouped(50, 4, 2), grouped(50, 4, 2), grouped(50, 4, 2)
    for vector, seed in ((first, 7), (second, 7), (other, 1000)):
        vector.reset(seed=seed)
    assert tasks_of(first) == tasks_of(second) != tasks_of(other)
    for _ in range(3):  # without a seed they go on from where they are
        first.reset(), second.reset()
        assert tasks_of(first) == tasks_of(second)
        assert len(set(of_groups(tasks_of(first), 2))) == 4
    assert tasks_of(first) != grouped_again(grouped, 7)


def grouped_again(grouped: Any, seed: int) -> list[str]:
    vector = grouped(50, 4, 2)
    vector.reset(seed=seed)
    return tasks_of(vector)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_members_that_end_at_different_times_get_the_same_tasks_in_the_same_order(grouped: Any, mode: str) -> None:
    vector = grouped(50, 2, 2, autoreset_mode=mode)
    vector.reset(seed=3)
    seen: list[list[str]] = [[task] for task in tasks_of(vector)]
    for turn in range(20):
        steps = vector.step_subset({index: ANSWER for index in range(4) if turn % (index + 1) == 0})
        for index, step in steps.items():
            if step.observation == vector.envs[index].episode.prompt:  # a reset, now or of the step before
                seen[index].append(vector.envs[index].episode.task.id)
                assert step.info["group_id"] == index // 2
    # Environment i acts in every (i+1)th of 20 turns. Each action ends an episode and brings the next (SameStep), or
    # every second one does (NextStep).
    assert [len(one) for one in seen] == ([11, 6, 4, 3] if mode == "NextStep" else [21, 11, 8, 6])
    for one, other in ((0, 1), (2, 3)):
        shorter = min(len(seen[one]), len(seen[other]))
        assert seen[one][:shorter] == seen[other][:shorter]
    vector.close()


def test_a_mask_resets_members_of_a_group_to_one_new_task_that_no_other_group_has(grouped: Any) -> None:
    vector = grouped(4, 3, 2, autoreset_mode="Disabled")
    vector.reset(seed=0)
    before = tasks_of(vector)
    left = ({f"t{index}" for index in range(4)} - set(before)).pop()
    seen = set()
    for _ in range(12):
        _, infos = vector.reset(options={"reset_mask": np.array([False, False, True, True, False, False])})
        assert infos["_group_id"].tolist() == [False, False, True, True, False, False]
        after = tasks_of(vector)
        assert after[:2] + after[4:] == before[:2] + before[4:] and after[2] == after[3]
        seen.add(after[2])
    assert seen == {left, before[2]}  # the two that the other groups do not have
    vector.close()


def test_tasks_and_seeds_may_be_told_for_each_group_or_environment(grouped: Any) -> None:
    vector = grouped(5, 2, 2)
    vector.reset(options={"task_ids": ["t4", "t1"]})
    assert tasks_of(vector) == ["t4", "t4", "t1", "t1"]
    vector.reset(options={"task_ids": ["t0", "t1", "t2", "t3"]})
    assert tasks_of(vector) == ["t0", "t1", "t2", "t3"]
    infos = vector.reset(seed=[8, 8])[1]
    assert infos["seed"].tolist() == [8] * 4 and len(set(tasks_of(vector))) == 1
    assert vector.reset(seed=[1, 2, 3, 4])[1]["seed"].tolist() == [1, 2, 3, 4]
    with pytest.raises(InputError, match="3 seeds for 4 environments or 2 groups"):
        vector.reset(seed=[1, 2, 3])
    with pytest.raises(InputError, match="1 task_ids for 4 environments or 2 groups"):
        vector.reset(options={"task_ids": ["t0"]})
    vector.close()


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({}, "say how many environments"),
        ({"num_envs": 0}, "say how many environments"),
        ({"num_envs": 5, "group_size": 2}, "5 environments do not make whole groups of 2"),
        ({"num_envs": 5, "num_groups": 2, "group_size": 2}, "5 environments do not make 2 groups of 2"),
        ({"num_groups": 0}, "must be at least 1"),
        ({"num_envs": 2, "group_size": 0}, "must be at least 1"),
        ({"num_envs": 2, "workers": 0}, "workers must be at least 1"),
        ({"num_envs": 2, "autoreset_mode": "Never"}, "must be one of 'NextStep', 'SameStep', 'Disabled'"),
    ],
)
def test_numbers_that_do_not_fit(toys: Any, numbers: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ToolVectorEnv(toys.ToyEnv(), **numbers)
