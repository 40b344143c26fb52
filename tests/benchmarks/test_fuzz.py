"""The fuzzer finds what breaks a law, says how to play it again, and plays the same for the same seed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import gymnasium as gym
import pytest

from toolgym.benchmarks.fuzz import Ground, LawBroken, Move, fuzz, grounds, jobs, make, replay, summary
from toolgym.envs import Action, SearchQAEnv
from toolgym.envs.registration import ENTRY_POINTS

SEARCH = "toolgym/SearchQA-v0"


def test_the_same_seed_plays_the_same() -> None:
    def counts(seed: int, worker: int) -> object:
        tally = fuzz(SEARCH, "research", 300, seed, worker)
        assert tally.steps == 300
        return tally.episodes, tally.stop_reasons, tally.faults, tally.statuses

    assert counts(3, 0) == counts(3, 0)
    assert counts(3, 0) != counts(3, 1) != counts(4, 0)


def test_shares_sum_to_the_steps_and_follow_the_weights() -> None:
    todo = jobs([Ground("a", ("x", "y"), 1.0), Ground("b", ("x",), 0.25)], 1001, 5, 2)
    assert sum(job.steps for job in todo) == 1001
    # 1001 * 1 / 1.25 / 4 = 200.2 for each pair of format and worker of a, 1001 * 0.25 / 1.25 / 2 = 100.1 for each of b
    assert [job.steps for job in todo] == [200, 200, 201, 200, 100, 100]
    assert {(job.worker, job.seed) for job in todo} == {(0, 5), (1, 5)}


def test_every_ground_is_made_under_each_of_its_formats() -> None:
    for ground in grounds(list(ENTRY_POINTS)):  # other tests register theirs
        for name in ground.formats:
            env = make(ground.environment, name)
            assert env.action_format.name == name
            env.close()


def test_plain_steps_are_played() -> None:
    env = make(SEARCH, "search_r1")
    assert env.tools[0].timeout is None and not env.tools[0].policy.cache_entries
    env.close()


def test_programs_weigh_less() -> None:
    found = {ground.environment: ground for ground in grounds([SEARCH, "toolgym/KnightsAndKnaves-v0"])}
    assert {ground.weight for ground in found.values()} == {1.0}
    assert "react" in found[SEARCH].formats and "code" not in found[SEARCH].formats


def test_a_move_comes_back_from_json() -> None:
    for move in (Move(Action("\ud800 x", "length", 3)), Move(None, "wall_time"), Move(Action(""), "failed")):
        again = Move.from_json(json.loads(json.dumps(move.as_json())))
        assert again == move
        if move.action is not None and again.action is not None:
            assert again.action.__reduce__() == move.action.__reduce__()


class Fragile(SearchQAEnv):
    """Fails for a text that ends with a lone surrogate, and once it is healed for none."""

    healed = False

    def step(self, action):  # type: ignore[no-untyped-def]
        if not self.healed and "\ud800" in action:
            raise UnicodeError("a lone surrogate")
        return super().step(action)


@pytest.fixture
def fragile_is_known() -> Iterator[None]:
    """Known to Gymnasium alone, so that no list of ours shows it."""
    gym.register("broken/Fragile-v0", Fragile, kwargs={"size": 3})
    yield
    del gym.registry["broken/Fragile-v0"]


@pytest.mark.usefixtures("fragile_is_known")
def test_a_failure_is_one_line_that_can_be_played_again() -> None:
    with pytest.raises(LawBroken) as raised:
        fuzz("broken/Fragile-v0", "search_r1", 5000, 0, 0)
    line = str(raised.value)
    told = json.loads(line)
    assert "\n" not in line and told["fault"] == "UnicodeError: a lone surrogate"
    assert told["environment"] == "broken/Fragile-v0" and "\ud800" in told["moves"][-1]["text"]
    assert replay(line) == "UnicodeError: a lone surrogate"
    Fragile.healed = True
    assert replay(line) is None


def test_the_summary_adds_up() -> None:
    tallies = [fuzz(SEARCH, name, 50, 0, worker) for name in ("react", "hermes") for worker in (0, 1)]
    result = summary(tallies, [], seconds=60.0, seed=0, workers=2)
    assert result["steps"] == 200 and result["minutes"] == 1.0
    assert result["steps_by_environment_and_format"] == {SEARCH: {"hermes": 100, "react": 100}}
    assert result["command"] == "python -m toolgym.benchmarks.fuzz --steps 200 --seed 0 --workers 2"
