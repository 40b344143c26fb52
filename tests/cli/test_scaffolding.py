"""`toolgym new` writes an environment that is sound from the start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
RUFF = shutil.which("ruff") or str(Path(sys.executable).with_name("ruff"))


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.mark.parametrize(
    ("env_id", "flags", "module", "cls"),
    [
        ("mine/Riddles-v0", (), "riddles", "RiddlesEnv"),
        ("my-lab/HTTPWord_game2-v12", ("--no-tool",), "http_word_game2", "HTTPWordGame2Env"),
    ],
)
def test_what_it_writes_passes_its_own_test_ruff_and_eval(
    toolgym, process, tmp_path, env_id, flags, module, cls
) -> None:
    ended = toolgym("new", env_id, "--folder", tmp_path, *flags)
    assert ended.code == 0
    source = (tmp_path / f"{module}.py").read_text()
    assert sum(bool(line.strip()) for line in source.splitlines()) <= 25
    assert f"class {cls}(ToolEnv):" in source and f'toolgym.register("{env_id}", {cls})' in source
    assert f"toolgym check {module}:{env_id}" in ended.stdout and f"cd {tmp_path}" in ended.stdout

    assert {path.name for path in tmp_path.iterdir()} == {f"{module}.py", f"test_{module}.py"}
    for command in (("check", "--isolated", "--select", "E,F,I,UP,B"), ("format", "--isolated", "--check")):
        done = run(tmp_path, RUFF, *command, ".")
        assert done.returncode == 0, done.stdout
    done = run(tmp_path, sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", ".")
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout
    scored = process("eval", f"{module}:{env_id}", "--agent", "oracle", "--json", cwd=tmp_path)
    assert scored.json["score"] == 1.0 and scored.json["tasks"] == 1000, scored.stderr


def test_the_test_that_it_writes_fails_when_the_environment_breaks(toolgym, tmp_path) -> None:
    toolgym("new", "mine/Riddles-v0", "--folder", tmp_path)
    path = tmp_path / "riddles.py"
    path.write_text(path.read_text().replace("return word[::-1]\n", "return word\n"))
    done = run(tmp_path, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", ".")
    assert done.returncode == 1 and "2 failed" in done.stdout, done.stdout


def test_json_names_the_files_and_what_comes_next(toolgym, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = toolgym("new", "mine/Riddles-v0", "--json").json
    assert told["id"] == "mine/Riddles-v0" and told["files"] == ["riddles.py", "test_riddles.py"]
    assert told["next"][0] == "pytest test_riddles.py"


@pytest.mark.parametrize(
    ("env_id", "words"),
    [
        ("Riddles", "write NAMESPACE/Name-v0, such as mine/Riddles-v0"),
        ("mine/Riddles", "such as mine/Riddles-v0"),
        ("mine/Riddles-v", "such as mine/Riddlesv-v0"),
        ("a/b/c-v0", "such as mine/c-v0"),
        ("", "such as mine/Riddles-v0"),
        ("mine/Rïddles-v0", "makes no name of a Python module"),
        ("mine/2048-v0", "makes no name of a Python module"),
        ("mine/Two words-v0", "makes no name of a Python module"),
        ("mine/Class-v0", "makes no name of a Python module"),
        ("mine/_Hidden-v0", "makes no name of a Python module"),
        ("mine/../etc-v0", "write NAMESPACE/Name-v0"),
        ("toolgym/SearchQA-v0", "is taken"),
        ("mine/Random-v0", "random.py would hide the Python module"),
        ("mine/Numpy-v0", "numpy.py would hide the Python module"),
    ],
)
def test_names_that_make_no_environment(toolgym, tmp_path, env_id, words) -> None:
    ended = toolgym("new", env_id, "--folder", tmp_path)
    assert ended.code == 2 and not ended.stdout and not list(tmp_path.iterdir())
    assert words in ended.stderr and len(ended.stderr.splitlines()) == 1


def test_files_that_are_there_stay_unless_told_otherwise(toolgym, tmp_path) -> None:
    there = tmp_path / "test_riddles.py"
    there.write_text("mine")
    ended = toolgym("new", "mine/Riddles-v0", "--folder", tmp_path)
    assert ended.code == 2 and ended.stderr == f"error: {there} is there already; add --overwrite\n"
    assert there.read_text() == "mine" and list(tmp_path.iterdir()) == [there]
    assert toolgym("new", "mine/Riddles-v0", "--folder", tmp_path, "--overwrite").code == 0
    assert "check_env" in there.read_text()
    ended = toolgym("new", "mine/Riddles-v0", "--folder", tmp_path / "nowhere")
    assert ended.code == 2 and "make it first" in ended.stderr
