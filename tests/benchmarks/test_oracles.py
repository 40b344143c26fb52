"""The benchmark of oracles counts what an oracle misses, says why, and names what it is asked for and does not have."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROWS = [
    {"id": "right", "question": "2 + 3?", "answer": "5", "solution": "It is <<2+3=5>>5.\n#### 5"},
    {"id": "goes on", "question": "75 less 55, in fours?", "answer": "5", "solution": "75-55=<<75-55=20>>20\n#### 5"},
    {"id": "prose", "question": "Half of 6?", "answer": "3", "solution": "Three.\n#### 3"},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "math_gsm8k"
    folder.mkdir(parents=True)
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (folder / "test.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    return folder.parent


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "toolgym.benchmarks.oracles", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_rows_below_one_are_listed_with_their_reason(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "found.json"
    done = run("--data", data, "--only", "gsm8k-test", "--output", output)
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())["sets"]["gsm8k-test"]
    assert (found["rows"], found["missed"], found["score"]) == (3, 1, pytest.approx(2 / 3))
    reason = "the solution's last calculation is not the answer"
    assert found["reasons"] == {reason: 1}
    assert found["rows_missed"] == [{"id": "goes on", "reason": f"{reason}: 75-55=20, not 5", "answer": "20"}]
    assert "1 x the solution's last calculation" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "named"), [(["--only", "gsm9k"], "'gsm9k'"), (["--only", "game24"], "data.jsonl.gz")]
)
def test_what_is_not_there_is_named_in_one_line(data: Path, arguments: list[str], named: str) -> None:
    done = run("--data", data, *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert line.startswith("error: ") and named in line
    assert "Traceback" not in done.stderr
