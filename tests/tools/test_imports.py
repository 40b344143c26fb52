import subprocess
import sys
from pathlib import Path

import pytest

import toolgym.tools

ROOT = Path(__file__).parents[2]


def modules_after(code: str) -> set[str]:
    program = f"import sys\nsys.path.insert(0, {str(ROOT / 'src')!r})\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_tools_loads_nothing_heavy() -> None:
    modules = modules_after("import toolgym.tools, toolgym.tools.retrievers, toolgym.tools.sandbox")
    modules -= modules_after("import toolgym")  # which registers with Gymnasium, and so loads numpy
    heavy = {"torch", "transformers", "vllm", "numpy", "pydantic", "bm25s", "rank_bm25", "zstandard", "pyarrow"}
    assert not heavy & modules


def test_using_every_tool_loads_no_learning_side() -> None:
    code = "from toolgym.tools import *\nfrom toolgym.tools.retrievers import *\n"
    modules = modules_after(code + "BM25Retriever(Corpus([Passage('1', 't', 'x')]))")
    assert "bm25s" in modules and not {"torch", "transformers", "vllm"} & modules


@pytest.mark.parametrize("name", toolgym.tools.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(toolgym.tools, name) is getattr(toolgym.tools, name)
    assert name in dir(toolgym.tools)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Hammer'"):
        toolgym.tools.Hammer  # noqa: B018


def test_the_tools_know_nothing_of_the_floors_above() -> None:
    for path in (ROOT / "tools").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for floor in ("envs", "agents", "trainers", "benchmarks"):
            assert f".{floor} import" not in text and f"import {floor}" not in text, path
