"""Ids of environments: a thin layer over Gymnasium's registry."""

from __future__ import annotations

import copy
import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from ..tools.errors import InputError

if TYPE_CHECKING:
    from .env import ToolEnv
    from .task import TaskSet

EntryPoint = str | Callable[..., "ToolEnv"]
"""A class (or function) that makes the environment, or `module:Name` to import it only when it is made."""

ENTRY_POINTS = {
    "toolgym/SearchQA-v0": "toolgym.envs.search_qa:SearchQAEnv",
    "toolgym/PythonCode-v0": "toolgym.envs.python_code:PythonCodeEnv",
    "toolgym/PythonMath-v0": "toolgym.envs.python_math:PythonMathEnv",
    "toolgym/ReActQA-v0": "toolgym.envs.react_qa:ReActQAEnv",
    "toolgym/ReActFever-v0": "toolgym.envs.react_fever:ReActFeverEnv",
    "toolgym/KnightsAndKnaves-v0": "toolgym.envs.puzzles.knights_and_knaves:KnightsAndKnavesEnv",
    "toolgym/Countdown-v0": "toolgym.envs.puzzles.countdown:CountdownEnv",
    "toolgym/Game24-v0": "toolgym.envs.puzzles.game24:Game24Env",
    "toolgym/Mastermind-v0": "toolgym.envs.puzzles.mastermind:MastermindEnv",
    "toolgym/Minesweeper-v0": "toolgym.envs.puzzles.minesweeper:MinesweeperEnv",
    "toolgym/Hanoi-v0": "toolgym.envs.puzzles.hanoi:HanoiEnv",
    "toolgym/ShortestPath-v0": "toolgym.envs.puzzles.shortest_path:ShortestPathEnv",
    "toolgym/Sudoku-v0": "toolgym.envs.puzzles.sudoku:SudokuEnv",
    "toolgym/Zebra-v0": "toolgym.envs.puzzles.zebra:ZebraEnv",
    "toolgym/ReasoningGym-v0": "toolgym.envs.reasoning_gym:ReasoningGymEnv",
}

_VECTORS = f"{__package__}.vector"
"""Module that makes vectors of environments, by their ids."""

_registered: set[str] = set()


def register(id: str, entry_point: EntryPoint, **kwargs: Any) -> None:
    """Registers an environment under an id such as `mine/Riddles-v0`.

    Registering the same entry point again replaces its options, so that a notebook cell can run twice.

    Args:
        id: `NAMESPACE/NAME-vVERSION`.
        entry_point: A subclass of `ToolEnv`, a function that returns one, or `module:Name`.
        **kwargs: Options for the entry point, which `make_env` may override.

    Raises:
        InputError: If the id is malformed or taken by another entry point, or the entry point is no such thing.
    """
    _check_entry_point(id, entry_point)
    known = gym.registry.get(id)
    if known is not None and _entry_name(known.entry_point) != _entry_name(entry_point):
        raise InputError(
            f"the id {id!r} belongs to {_entry_name(known.entry_point)} already; "
            f"register {_entry_name(entry_point)} under another name or version"
        )
    gym.registry.pop(id, None)
    try:
        gym.register(id=id, entry_point=entry_point, vector_entry_point=f"{_VECTORS}:{id}", kwargs=kwargs)
    except gym.error.Error as error:
        raise InputError(f"{id!r} is no id of an environment ({error}); write NAMESPACE/NAME-v0") from error
    _registered.add(id)


def register_all() -> None:
    """Registers the environments of this package; nothing of theirs is imported until one is made."""
    for env_id, entry_point in ENTRY_POINTS.items():
        register(env_id, entry_point)


def environment_ids() -> list[str]:
    """All ids that were registered here, sorted."""
    return sorted(_registered)


def make_env(id: str, **options: Any) -> ToolEnv:
    """Makes an environment, without Gymnasium's wrappers.

    Args:
        id: A registered id, or `module:NAMESPACE/NAME-v0` to import the module that registers it first (the current
            folder is importable).
        **options: Arguments of the environment.

    Raises:
        InputError: If the id or an option is unknown (near misses are named), the module does not exist, or the
            environment is no `ToolEnv`.
    """
    spec, creator = _find(id)
    _check_options(spec.id, creator, options)
    return _create(spec, creator, {**spec.kwargs, **options})


def make_scoring_env(id: str, tasks: TaskSet, /, **options: Any) -> ToolEnv:
    """Makes an environment that is asked for rewards and scores alone (`ToolEnv.assess`).

    Where the environment says how (`ToolEnv.scoring_options`) and names these options among its arguments, it does
    without its own tasks and without what its tools search; otherwise it is made whole.

    Args:
        id: As for `make_env`.
        tasks: The tasks of the episodes that are to be scored.
        **options: Arguments of the environment.

    Raises:
        InputError: As for `make_env`.
    """
    spec, creator = _find(id)
    _check_options(spec.id, creator, options)
    say = getattr(creator, "scoring_options", None)
    changed = {} if say is None else say(tasks)
    whole = not all(_takes(creator, option) for option in changed)
    return _create(spec, creator, {**spec.kwargs, **options, **({} if whole else changed)})


def takes_option(id: str, option: str) -> bool:
    """Whether an environment names an argument of that name.

    Raises:
        InputError: If the id is unknown.
    """
    return _takes(_find(id)[1], option)


def _find(id: str) -> tuple[EnvSpec, Callable[..., Any]]:
    """The registered environment of an id, and what makes it."""
    module, _, name = id.rpartition(":")
    if module:
        _import(module, id)
    spec = gym.registry.get(name)
    if spec is None:
        raise InputError(f"there is no environment {name!r}{_suggest(name, environment_ids())}")
    entry_point: Any = spec.entry_point
    return spec, gym.envs.registration.load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point


def _create(spec: EnvSpec, creator: Callable[..., Any], options: dict[str, Any]) -> ToolEnv:
    from .env import ToolEnv

    # Made here and not by gymnasium.make, which copies deeply what was registered: task sets, corpora, indexes.
    env: Any = creator(**options)
    if not isinstance(env, ToolEnv):
        raise InputError(f"{spec.id!r} is a {type(env).__name__}, no ToolEnv; make it with gymnasium.make")
    env.spec = copy.copy(spec)
    env.spec.kwargs = options
    return env


def _takes(creator: Callable[..., Any], option: str) -> bool:
    return option in inspect.signature(creator).parameters


def _check_entry_point(id: str, entry_point: object) -> None:
    if isinstance(entry_point, str):
        module, _, name = entry_point.partition(":")
        if not module or not name:
            raise InputError(f"{id!r}: an entry point as text is 'module:Name', not {entry_point!r}")
    elif not callable(entry_point):
        raise InputError(f"{id!r}: an entry point is a class, a function or 'module:Name', not {entry_point!r}")


def _entry_name(entry_point: Any) -> str:
    if isinstance(entry_point, str):
        return entry_point
    return f"{entry_point.__module__}:{entry_point.__qualname__}"


def _import(module: str, id: str) -> None:
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)
    importlib.invalidate_caches()
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise  # the module exists, but something that it imports does not
        raise InputError(f"{id!r}: there is no module {module!r} in {folder} or installed") from error


def _check_options(id: str, creator: Callable[..., Any], options: dict[str, Any]) -> None:
    parameters = inspect.signature(creator).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters]
    for option in options:
        if option not in known:
            raise InputError(f"{id} has no option {option!r}{_suggest(option, known)}")


def _suggest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    if not near:  # a bare name without namespace or version
        near = [one for one in known if word and word.lower() in one.lower()]
    if near:
        return f"; did you mean {' or '.join(map(repr, near))}? Known: {', '.join(known)}"
    return f"; known: {', '.join(known) or 'none'}"
