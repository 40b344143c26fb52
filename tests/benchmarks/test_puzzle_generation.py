"""Puzzles per second: what is measured, and what is made of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from toolgym.benchmarks.puzzle_generation import DIFFICULTIES, PEERS, Case, main, measured, our_cases, summary


def test_every_generated_puzzle_is_measured_at_every_difficulty() -> None:
    cases = our_cases()
    levels = ["0", "0.25", "0.5", "0.75", "1", "mixed"]
    assert len(DIFFICULTIES) == len(levels)
    names = {case.name for case in cases}
    assert {"toolgym/Sudoku-v0", "toolgym/Zebra-v0", "toolgym/KnightsAndKnaves-v0"} <= names
    assert not any("ReasoningGym" in name or "SearchQA" in name for name in names)
    assert set(PEERS) <= names
    for name in names:
        assert [case.level for case in cases if case.name == name] == levels
    small = next(case for case in cases if case.name == "toolgym/Sudoku-v0 order=4")
    assert "4x4" in small.make(0).question


def test_no_puzzle_is_made_twice() -> None:
    made: dict[str, list[int]] = {"one": [], "two": []}
    cases = [Case(name, "0", made[name].append) for name in made]
    rates = measured(cases, rounds=3, seconds=0.0)
    for positions in made.values():
        assert positions == [0, 1, 2, 3]  # the first is not timed; without time, a round makes one
    assert {place: len(rounds) for place, rounds in rates.items()} == {("one", "0"): 3, ("two", "0"): 3}
    assert all(rate > 0 for rounds in rates.values() for rate in rounds)


def test_medians_and_ratios_by_hand() -> None:
    ours = [Case("toolgym/Sudoku-v0", "0", int), Case("toolgym/Sudoku-v0", "1", int), Case("mine", "0", int)]
    theirs = [Case("sudoku", "default", int)]
    rates = {
        ("toolgym/Sudoku-v0", "0"): [100.0, 900.0, 300.0],  # median 300
        ("toolgym/Sudoku-v0", "1"): [50.0, 60.0],  # median 55
        ("mine", "0"): [7.0],
        ("sudoku", "default"): [20.0, 10.0, 15.0],  # median 15
    }
    assert summary(ours, theirs, rates)["puzzles"] == {
        "toolgym/Sudoku-v0": {
            "per_second": {"0": 300.0, "1": 55.0},
            "peer": "reasoning-gym sudoku",
            "peer_per_second": 15.0,
            "times_peer": {"0": 20.0, "1": pytest.approx(55 / 15)},
        },
        "mine": {"per_second": {"0": 7.0}},
    }
    assert "peer" not in summary(ours, [], rates)["puzzles"]["toolgym/Sudoku-v0"]


def test_a_run(tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    try:
        main(rounds=1, seconds=0.001, only="Mastermind", output=tmp_path / "deeper" / "results.json")
        assert len(os.sched_getaffinity(0)) == 1
    finally:
        os.sched_setaffinity(0, cores)
    result = json.loads((tmp_path / "deeper" / "results.json").read_text())
    assert list(result["puzzles"]) == ["toolgym/Mastermind-v0"]
    assert min(result["puzzles"]["toolgym/Mastermind-v0"]["per_second"].values()) > 0
    assert result["rounds"] == 1 and result["versions"]["python"] and "reasoning-gym" in result["versions"]
