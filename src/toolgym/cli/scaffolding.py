"""The command that writes a new environment, with its test."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import gymnasium as gym
import typer

from ..tools.errors import InputError
from .common import AsJson, app, examples, print_json

_WITH_TOOL = '''\
import random

import toolgym
from toolgym.envs import Task, TaskSet, ToolEnv
from toolgym.tools import ToolCall, tool


@tool
def reverse(word: str) -> str:
    """Spells a word backwards."""
    return word[::-1]


def make_task(seed, index):
    word = "".join(random.Random(f"{seed}/{index}").sample("abcdefghijklmnop", 6))
    return Task("", f"Spell {word} backwards.", (word[::-1],), {"word": word})


class CLASS(ToolEnv):
    """Spells words backwards, with a tool that can."""

    def __init__(self, split="train", action_format="hermes", reward="exact_match"):
        tasks = TaskSet.generate(make_task, 1000, int(split == "test"), split)
        super().__init__(tasks, [reverse], action_format=action_format, reward=reward)

    def oracle(self):
        def act(episode):
            if episode.turns:
                found = episode.turns[0].results[0].output
                return self.action_format.write_answer("It is there.", found, 2)
            call = ToolCall("reverse", {"word": episode.task.metadata["word"]})
            return self.action_format.write_call("I ask.", call, 1)

        return act


toolgym.register("ID", CLASS)
'''
_WITHOUT_TOOL = '''\
import random

import toolgym
from toolgym.envs import Task, TaskSet, ToolEnv


def make_task(seed, index):
    word = "".join(random.Random(f"{seed}/{index}").sample("abcdefghijklmnop", 6))
    return Task("", f"Spell {word} backwards.", (word[::-1],))


class CLASS(ToolEnv):
    """Spells words backwards, in one turn."""

    def __init__(
        self, split="train", action_format="think_answer", reward="exact_match"
    ):
        tasks = TaskSet.generate(make_task, 1000, int(split == "test"), split)
        super().__init__(tasks, action_format=action_format, reward=reward)

    def oracle(self):
        def act(episode):
            answer = episode.task.answers[0]
            return self.action_format.write_answer("I see it.", answer, 1)

        return act


toolgym.register("ID", CLASS)
'''
_TEST = '''\
"""NAME is sound, no cheat wins, and the oracle solves it."""

from toolgym.envs import check_env

from MODULE import CLASS


def test_the_checks_are_green():
    check_env(CLASS())


def test_the_oracle_solves_the_held_out_tasks():
    env = CLASS(split="test")
    for task in env.tasks.head(50):
        env.reset(options={"task_id": task.id})
        while env.episode.stop_reason is None:
            *_, info = env.step(env.oracle()(env.episode))
        assert info["score"] == 1
    env.close()
'''
_ID = re.compile(r"(?P<namespace>[A-Za-z0-9_-]+)/(?P<name>[^/]+)-v(?P<version>[0-9]+)", re.ASCII)
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class _Names(NamedTuple):
    """What a new environment is called: its id, the name in it, and its module and class."""

    id: str
    name: str
    module: str
    cls: str

    def fill(self, template: str) -> str:
        """A template with these names in it."""
        for mark, value in (("NAME", self.name), ("MODULE", self.module), ("CLASS", self.cls), ("ID", self.id)):
            template = re.sub(rf"\b{mark}\b", value, template)
        return template


@app.command(epilog=examples("toolgym new mine/Riddles-v0", "toolgym new mine/Riddles-v0 --no-tool --folder envs"))
def new(
    env_id: Annotated[str, typer.Argument(metavar="ENV", help="The id that it gets: NAMESPACE/Name-v0.")],
    folder: Annotated[Path, typer.Option(help="Where the files go.")] = Path(),
    tool: Annotated[bool, typer.Option("--tool/--no-tool", help="Whether the agent gets a tool.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write an environment in 25 lines, and its test: a start for one of your own."""
    names = _names(env_id)
    files = {
        folder / f"{names.module}.py": names.fill(_WITH_TOOL if tool else _WITHOUT_TOOL),
        folder / f"test_{names.module}.py": names.fill(_TEST),
    }
    _check_place(names, folder, [] if overwrite else list(files))
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    where = f"{names.module}:{names.id}"
    commands = [
        *([f"cd {folder}"] if folder.resolve() != Path.cwd() else []),
        f"pytest test_{names.module}.py",
        f"toolgym check {where}",
        f"toolgym play {where}",
        f"toolgym eval {where} --agent oracle",
        f"toolgym train from_scratch environment={where}",
    ]
    if as_json:
        return print_json({"id": names.id, "files": [str(path) for path in files], "next": commands})
    for path, text in files.items():
        typer.echo(f"wrote {path} ({sum(map(bool, map(str.strip, text.splitlines())))} lines)")
    typer.echo(
        "change the tasks, the tool, the reward and the oracle; on the way:"
        if tool
        else "change the tasks, the reward and the oracle; on the way:"
    )
    for command in commands:
        typer.echo(f"  {command}")


def _names(env_id: str) -> _Names:
    """The names that follow from an id.

    Raises:
        InputError: If it is no id, is taken, or makes no names of a module and a class.
    """
    match = _ID.fullmatch(env_id)
    if match is None:
        bare = re.sub(r"\W", "", re.sub(r"-v[0-9]+$", "", env_id.rpartition("/")[2]), flags=re.ASCII) or "Riddles"
        raise InputError(f"{env_id!r} is no id of an environment; write NAMESPACE/Name-v0, such as mine/{bare}-v0")
    name = match["name"]
    module = _WORD.sub("_", name).lower()
    if not (name.isascii() and name.isidentifier()) or name.startswith("_") or keyword.iskeyword(module):
        raise InputError(
            f"{name!r} makes no name of a Python module; use letters, digits and _, such as mine/Riddles-v0"
        )
    if env_id in gym.registry:
        raise InputError(f"the id {env_id!r} is taken (toolgym envs lists them); choose another name or version")
    words = [word for word in re.split(r"_|(?<=[a-z0-9])(?=[A-Z])", name) if word]
    return _Names(env_id, name, module, "".join(word[0].upper() + word[1:] for word in words) + "Env")


def _check_place(names: _Names, folder: Path, new_files: list[Path]) -> None:
    """Finds out whether the files may be written.

    Raises:
        InputError: If there is no such folder, a file is there already, or the module would hide another one.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; make it first")
    there = [str(path) for path in new_files if path.exists()]
    if there:
        raise InputError(f"{' and '.join(there)} {'is' if len(there) == 1 else 'are'} there already; add --overwrite")
    hidden = names.module in sys.stdlib_module_names
    if not hidden:
        spec = importlib.util.find_spec(names.module)
        own = (folder / f"{names.module}.py").resolve()
        hidden = spec is not None and (spec.origin is None or Path(spec.origin).resolve() != own)
    if hidden:
        raise InputError(f"{names.module}.py would hide the Python module of that name; choose another name")
