"""The benchmark of environments measures what it says: the workload, the records, the ratios."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from toolgym.benchmarks import environment_speed, environment_workload, measuring
from toolgym.benchmarks.environment_vectors import vector_figures


def test_the_step_that_is_timed_parses_calls_renders_and_records() -> None:
    env = environment_speed.make_env(environment_workload.lookup)
    env.reset()
    observation, _, _, _, info = env.step(environment_workload.SEARCHING)
    assert (
        observation == f"\n\n<information>{environment_workload.lookup('teacher of Clement Birch')}</information>\n\n"
    )
    assert info["faults"] == [] and [call["status"] for call in info["calls"]] == ["ok"]
    assert len(env.episode.turns) == 1 and len(env.episode.messages) == 3
    assert env.step(environment_workload.ANSWERING)[1] == 1.0
    env.close()


def test_both_tools_say_where_the_answer_is() -> None:
    assert environment_workload.search("rufus of").splitlines()[0].endswith(environment_workload.ANSWER)
    assert set(environment_workload.TOOLS) == {"lookup", "search"}


def test_ratios_are_taken_within_a_round() -> None:
    """Twice as fast in both rounds, although the machine was ten times slower in the second."""
    rounds = [
        {"toolgym: step": 1.0, "gem: step": 2.0, "gymnasium: step, FrozenLake": 1.0},
        {"toolgym: step": 10.0, "gem: step": 20.0, "gymnasium: step, FrozenLake": 1.0},
    ]
    assert environment_speed._ratios(rounds) == {"gem: step": 2.0}
    assert environment_speed._overhead(rounds, "gem: step", "toolgym: step") == 1.0


def test_vectors_are_timed_at_every_size() -> None:
    found = vector_figures(environment_speed.make_env, 1, sizes=(2,))
    assert {"alone: busy step", "sync: nap step of 16", "on threads: quick step of 16", "on threads: 2, 0.2 s"} <= set(
        found
    )
    assert 0.2 <= min(found["on threads: 2, 0.2 s"]) < 0.4  # one after the other they take 0.4 s


def test_commands_without_peers_write_and_show_results(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/environment_speed.py", "steps", "--peers", "/home/me/bin/python"])
    run = CliRunner().invoke
    output = str(tmp_path / "steps.json")
    ended = run(environment_speed.app, ["steps", "--rounds", "2", "--blocks", "2", "--output", output])
    assert ended.exit_code == 0, ended.output
    ended = run(environment_speed.app, ["imports", "--rounds", "1", "--output", str(tmp_path / "imports.json")])
    assert ended.exit_code == 0, ended.output
    steps = json.loads((tmp_path / "steps.json").read_text())
    assert steps["per_second"]["toolgym: step, lookup"] > 1000 and steps["toolgym_over"] == {}
    assert steps["command"] == "python -m toolgym.benchmarks.environment_speed steps --peers PYTHON"
    assert steps["cores"] and steps["gymnasium"] and len(steps["load"]) == 3
    imports = json.loads((tmp_path / "imports.json").read_text())
    assert set(imports["seconds"]) == {"gymnasium", "toolgym.envs", "toolgym.envs over gymnasium"}
    shown = run(environment_speed.app, ["table", "--folder", str(tmp_path)]).output
    assert "toolgym.envs over gymnasium" in shown and "toolgym: step, lookup" in shown


def test_peers_that_fail_say_why() -> None:
    with pytest.raises(typer.BadParameter, match="could not time the peers"):
        measuring.ask_peers(Path(sys.executable), "environment_peers.py", "nonsense")
