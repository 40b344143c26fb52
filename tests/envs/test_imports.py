"""Importing the environments is cheap: nothing of anybody else's beyond Gymnasium, and little of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
HEAVY = {"torch", "transformers", "pydantic", "httpx", "rich", "typer", "bm25s", "rank_bm25", "sympy", "reasoning_gym"}


def told(program: str) -> list[str]:
    program = f"import sys\nsys.path.insert(0, {str(SOURCE)!r})\nimport gymnasium\n{program}"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_toolgym_and_its_environments_load_nothing_beyond_gymnasium() -> None:
    loaded = told("before = set(sys.modules)\nimport toolgym, toolgym.envs\nprint(*set(sys.modules) - before)")
    foreign = {name for name in loaded if name.partition(".")[0] not in {"toolgym", *sys.stdlib_module_names}}
    assert not foreign
    assert not HEAVY & {name.partition(".")[0] for name in loaded}
    assert len(loaded) < 20, sorted(loaded)  # names are found when they are asked for


def test_making_an_environment_loads_no_learning_side() -> None:
    loaded = told("import toolgym\ntoolgym.make_env('toolgym/KnightsAndKnaves-v0').reset(seed=0)\nprint(*sys.modules)")
    assert not {"torch", "transformers", "pydantic", "httpx", "rich", "bm25s", "sympy", "reasoning_gym"} & set(loaded)
