"""`toolgym check`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from toolgym.cli import app
from toolgym.envs.checks import CANARIES, CHECKS

SEARCH, KNIGHTS = "toolgym/SearchQA-v0", "toolgym/KnightsAndKnaves-v0"


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["check", *arguments], prog_name="toolgym")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_one_environment_is_shown_whole() -> None:
    code, out, err = run(SEARCH, "--only", "endings", "--only", "empty", "--limit", "4", "-o", "size=9")
    assert code == 0
    assert "4 tasks, seed 0, format search_r1, reward exact_match" in out
    assert "endings" in out and "green" in out and "guess rate" in out
    assert out.splitlines()[-1].startswith("1 of 1 environments checked: 1 checks green, 0 red, 0 skipped; 0 of 1 can")
    assert err.startswith(f"{SEARCH}: 1 checks green, 0 red, 0 skipped; 1 canaries won nothing, 0 won")


def test_several_stand_side_by_side_with_what_was_skipped() -> None:
    code, out, _ = run(
        SEARCH, KNIGHTS, "--only", "schemas_against_execution", "--only", "own_observation", "--limit", "3"
    )
    assert code == 0
    assert "environment" in out and "mean scores of the canaries" in out
    assert f"{KNIGHTS}: schemas_against_execution skipped: there are no tools" in out
    assert "2 of 2 environments checked: 1 checks green, 0 red, 1 skipped; 0 of 1 canaries won" in out


def test_json_is_one_document() -> None:
    code, out, _ = run(SEARCH, "--only", "endings", "--json")
    document = json.loads(out)
    assert code == 0 and document["ok"] is True and document["not_checked"] == document["not_made"] == []
    assert document["environments"][0]["checks"][0] == {
        "name": "endings",
        "verdict": "green",
        "reason": "",
        "seconds": document["environments"][0]["checks"][0]["seconds"],
    }


def test_list_explains_every_check_and_canary() -> None:
    _, out, _ = run("--list")
    assert all(check.name in out for check in CHECKS) and all(canary.name in out for canary in CANARIES)
    document = json.loads(run("--list", "--json")[1])
    assert document["checks"][0].keys() == {"name", "stops", "seen"}


def test_help_teaches_with_examples() -> None:
    code, out, _ = run("--help")
    assert code == 0 and "Examples" in out and "toolgym check toolgym/SearchQA-v0" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["toolgym/SearchQ-v0"], "SearchQA-v0"),
        ([SEARCH, "--only", "forc"], "fork"),
        ([SEARCH, "-o", "hopes=2"], "hops"),
        ([SEARCH, "--format", "jason"], "jason"),
        (["-o", "size=3"], "name it"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments: list[str], says: str) -> None:
    code, out, err = run(*arguments)
    assert code == 2 and out == ""
    assert err.startswith("error: ") and err.count("\n") == 1 and says in err


BROKEN = """
from toolgym.envs import register
from toolgym.envs.search_qa import SearchQAEnv

class Broken(SearchQAEnv):
    guess_rate = 0.0
    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated or truncated, truncated, info

register("mine/Broken-v0", Broken, size=5)
"""


def test_what_is_red_is_named_and_makes_the_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "broken_module.py").write_text(BROKEN)
    command = [sys.executable, "-m", "toolgym", "check", "broken_module:mine/Broken-v0"]
    only = ["--only", "endings", "--only", "same_seed_in_another_process"]
    done = subprocess.run([*command, *only], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "terminated and truncated are both True" in done.stdout
    assert "1 checks green, 1 red" in done.stdout
    assert done.stderr.startswith("broken_module:mine/Broken-v0: endings red: ")
    assert "Traceback" not in done.stderr
