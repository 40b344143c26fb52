from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import toolgym
from toolgym.envs import SearchQAEnv, ToolEnv, environment_ids, make_env, register
from toolgym.tools import InputError

ID = "tests/Searching-v0"


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    before = dict(gymnasium.registry)
    yield
    for env_id in set(gymnasium.registry) - set(before):
        del gymnasium.registry[env_id]


def test_importing_the_package_registers_and_imports_nothing_heavy() -> None:
    program = (
        "import sys, gymnasium; before = set(sys.modules)\n"
        "import toolgym, toolgym.envs\n"
        "assert 'toolgym/SearchQA-v0' in gymnasium.registry\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "heavy = {'torch', 'transformers', 'vllm', 'pydantic', 'bm25s', 'rank_bm25', 'pyarrow', 'datasets', 'scipy',\n"
        "         'sympy', 'math_verify', 'httpx', 'rich', 'typer'}\n"
        "assert not new & heavy, new & heavy\n"
        "assert 'toolgym.envs.search_qa' not in sys.modules\n"
        "env = gymnasium.make('toolgym:toolgym/SearchQA-v0', size=5); env.reset(seed=0); env.close()\n"
        "from toolgym.envs import *\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'torch', 'transformers', 'vllm', 'pydantic', 'pyarrow', 'datasets'}, loaded\n"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_public_face() -> None:
    assert toolgym.make_env is make_env and toolgym.register is register
    assert toolgym.__version__
    for name in toolgym.envs.__all__:
        assert getattr(toolgym.envs, name) is not None
        assert name in dir(toolgym.envs)
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = toolgym.envs.nothing_here


def test_register_and_make() -> None:
    register(ID, SearchQAEnv, size=3, hops=1)
    assert ID in environment_ids()
    env = make_env(ID)
    assert type(env) is SearchQAEnv and len(env.tasks) == 3
    assert len(make_env(ID, size=4).tasks) == 4
    assert env.spec is not None and env.spec.id == ID


def test_big_options_are_shared_and_not_copied() -> None:
    class Index:
        def __deepcopy__(self, memo: object) -> None:
            raise AssertionError("copied")

        def search(self, query: str, k: int) -> list[Any]:
            return []

        search_batch = search

    index = Index()
    register(ID, SearchQAEnv, retriever=index, size=2)
    env = make_env(ID)
    assert env.retriever is index and env.spawn().retriever is index  # type: ignore[attr-defined]
    env = make_env("toolgym/SearchQA-v0", retriever=index, size=2)
    assert env.spec is not None and env.spec.kwargs["retriever"] is index
    env = gymnasium.make("toolgym/SearchQA-v0", retriever=index, size=2).unwrapped  # type: ignore[assignment]
    assert env.retriever is index  # type: ignore[attr-defined]


def test_registering_again() -> None:
    register(ID, SearchQAEnv, size=3)
    register(ID, SearchQAEnv, size=4)
    assert len(make_env(ID).tasks) == 4
    register(ID, "toolgym.envs.search_qa:SearchQAEnv")
    with pytest.raises(InputError, match=r"belongs to .* already"):
        register(ID, "toolgym.envs.react_qa:ReActQAEnv")


@pytest.mark.parametrize(
    "env_id, entry_point, message",
    [
        ("a b", SearchQAEnv, "NAMESPACE/NAME-v0"),
        (ID, "no_colon", "'module:Name'"),
        (ID, 3, "a class, a function"),
    ],
)
def test_bad_registrations(env_id: str, entry_point: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        register(env_id, entry_point)
    assert env_id not in gymnasium.registry


def test_unknown_ids_and_options() -> None:
    with pytest.raises(InputError, match=r"no environment 'toolgym/SerchQA-v0'; did you mean 'toolgym/SearchQA-v0'"):
        make_env("toolgym/SerchQA-v0")
    with pytest.raises(InputError, match="did you mean 'toolgym/SearchQA-v0'"):
        make_env("searchqa")
    with pytest.raises(InputError, match=r"known: .*toolgym/PythonMath-v0"):
        make_env("zzzz")
    with pytest.raises(InputError, match=r"has no option 'hop'; did you mean 'hops'"):
        make_env("toolgym/SearchQA-v0", hop=2)
    with pytest.raises(InputError, match="format"):
        make_env("toolgym/SearchQA-v0", action_format="xml")
    with pytest.raises(InputError, match="reward"):
        make_env("toolgym/SearchQA-v0", reward="gold")
    with pytest.raises(InputError, match="no ToolEnv"):
        make_env("CartPole-v1")


MODULE = """
import toolgym
from toolgym.envs import SearchQAEnv


class Mine(SearchQAEnv):
    pass


toolgym.register("mine/Mine-v0", Mine, size=2)
"""


def test_modules_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_envs_for_a_test.py").write_text(MODULE)
    (tmp_path / "my_broken_env.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    env = make_env("my_envs_for_a_test:mine/Mine-v0")
    assert isinstance(env, ToolEnv) and type(env).__name__ == "Mine"
    with pytest.raises(InputError, match="no module 'my_other_envs'"):
        make_env("my_other_envs:mine/Mine-v0")
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        make_env("my_broken_env:mine/Mine-v0")
