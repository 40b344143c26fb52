"""The README keeps its promises: its tree is the repository's, its environment runs, its commands exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def tracked_files() -> set[str]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    files = {name for name in listed.stdout.split("\0") if name and not (ROOT / name).is_symlink()}
    return {name for name in files if (ROOT / name).exists()}


def test_tree_names_every_file_with_a_few_words() -> None:
    tree = README[README.index("## The tree") :]
    tree = tree[tree.index("```\n") + 4 :]
    named, folders = set(), []
    for line in tree[: tree.index("```")].splitlines():
        name, _, words = line.strip().partition("  ")
        depth = (len(line) - len(line.lstrip())) // 2
        assert words.strip(), f"no words beside {name}"
        folders = folders[:depth]
        if name.endswith("/"):
            folders.append(name)
        else:
            named.add("".join(folders) + name)
    shown = {name for name in tracked_files() if not name.startswith(("tests/", "benchmarks/results/", ".gitignore"))}
    assert named == shown


def run(*arguments: str, cwd: Path, stdin: str = "") -> str:
    command = [sys.executable, "-m", "toolgym", *arguments]
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def environment_folder(tmp_path: Path) -> Path:
    code = next(block for block in blocks("python") if "ReverseEnv" in block)
    assert len([line for line in code.splitlines() if line.strip()]) <= 25
    (tmp_path / "reverse.py").write_text(code)
    return tmp_path


def test_new_environment_is_evaluated(environment_folder: Path) -> None:
    assert '"score": 1.0' in run(
        "eval", "reverse:mine/Reverse-v0", "--agent", "oracle", "--json", cwd=environment_folder
    )


def test_new_environment_is_played(environment_folder: Path) -> None:
    actions = '<tool_call>{"name": "reverse", "arguments": {"word": "river"}}</tool_call>\n\nIt is \\boxed{revir}\n\n'
    shown = run("play", "reverse:mine/Reverse-v0", "--task", "river", cwd=environment_folder, stdin=actions)
    assert re.search(r"score\s+1", shown)


@pytest.mark.slow
def test_new_environment_is_trained(environment_folder: Path) -> None:
    small = ["stage.cold_start.steps=2", "stage.cold_start.demonstrations=4", "steps=1", "scratch.layers=1"]
    few = ["stage.grpo.tasks_per_step=2", "stage.grpo.group_size=2", "limits.max_turns=2", "limits.max_turn_tokens=8"]
    arguments = ["train", "from_scratch", "environment=reverse:mine/Reverse-v0", *small, *few]
    run(*arguments, cwd=environment_folder)
    assert (environment_folder / "runs/from_scratch/report.html").is_file()


def test_examples_are_python_and_short() -> None:
    for block in blocks("python"):
        compile(block, "README.md", "exec")
        assert len(block.splitlines()) <= 30


@pytest.mark.parametrize(
    ("mark", "printed"),
    [
        ("gym.make(", ["<information>", "'status': 'ok'"]),
        ("env.fork()", []),
        ("gym.make_vec(", ["0.0 {1: EnvStep(", "<information>"]),
    ],
)
def test_example_runs(mark: str, printed: list[str]) -> None:
    code = next(block for block in blocks("python") if mark in block)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert all(text in done.stdout for text in printed)
