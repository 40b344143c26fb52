"""Rows and trajectories for the tests of the trainers."""

from __future__ import annotations

import random

import pytest
import torch

from toolgym.agents.trajectory import Outcome, Role, Segment, Trajectory
from toolgym.envs.episode import StopReason


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


def make_outcome(episode: str, group: str = "g", reward: float = 0.0, stop=StopReason.ANSWER, **more) -> Outcome:
    return Outcome(episode, f"task-{group}", group, reward, reward, stop_reason=stop, **more)


def make_trajectory(
    seed: int,
    episode: str | None = None,
    *,
    turns: int | None = None,
    vocabulary: int = 512,
    outcome=None,
    row: int = 0,
) -> Trajectory:
    """A row of random ids: a prompt, then actions with observations between them."""
    draw = random.Random(seed)

    def ids(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw.randrange(vocabulary) for _ in range(draw.randint(low, high)))

    segments = [Segment(Role.PROMPT, ids(2, 9))]
    for turn in range(turns or draw.randint(1, 3)):
        if turn:
            segments.append(Segment(Role.OBSERVATION, ids(1, 6), turn=turn))
        action = ids(1, 7)
        logprobs = tuple(draw.uniform(-3, -0.1) for _ in action)
        segments.append(Segment(Role.ACTION, action, logprobs, turn + 1, 0))
    outcome = outcome or make_outcome(episode or f"e{seed}", reward=draw.random())
    return Trajectory(outcome, segments, row, advantage=draw.uniform(-2, 2))


@pytest.fixture(name="make_outcome", scope="session")
def make_outcome_fixture():
    return make_outcome


@pytest.fixture(name="make_trajectory", scope="session")
def make_trajectory_fixture():
    return make_trajectory


@pytest.fixture(scope="session")
def uneven_trajectories():
    """18 rows of uneven lengths with gaps in their masks; the last two episodes have two rows each."""
    outcomes = [make_outcome(f"e{index}", f"g{index % 4}") for index in range(16)]
    rows = [make_trajectory(index, outcome=outcome) for index, outcome in enumerate(outcomes)]
    rows += [make_trajectory(100 + index, outcome=outcomes[index], row=1) for index in (14, 15)]
    for first, second in ((14, 16), (15, 17)):  # an advantage belongs to an episode
        rows[second].advantage = rows[first].advantage
    return rows
