"""Environments: tasks, action formats, rewards, and the environments that bring them together with tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..tools.lazy import lazy_names
from .registration import environment_ids, make_env, register, register_all

if TYPE_CHECKING:
    from .checks import CheckReport, check_env
    from .env import ScriptedPolicy, ToolEnv
    from .episode import Action, Episode, FormatFault, ParsedAction, RewardResult, StopReason, Turn
    from .formats.base import ActionFormat
    from .limits import Limits, Truncator
    from .puzzles.base import PuzzleEnv
    from .puzzles.countdown import CountdownEnv
    from .puzzles.game24 import Game24Env
    from .puzzles.hanoi import HanoiEnv
    from .puzzles.knights_and_knaves import KnightsAndKnavesEnv
    from .puzzles.mastermind import MastermindEnv
    from .puzzles.minesweeper import MinesweeperEnv
    from .puzzles.shortest_path import ShortestPathEnv
    from .puzzles.sudoku import SudokuEnv
    from .puzzles.zebra import ZebraEnv
    from .python_code import PythonCodeEnv
    from .python_math import PythonMathEnv
    from .react_fever import ReActFeverEnv
    from .react_qa import ReActQAEnv
    from .reasoning_gym import ReasoningGymEnv
    from .reward import RewardFunction
    from .search_qa import SearchQAEnv
    from .sources import load_tasks, read_rows
    from .spaces import TextSpace
    from .task import Task, TaskSet
    from .vector import EnvStep, ToolVectorEnv
    from .world import World

_HOMES = {
    "Action": "episode",
    "ActionFormat": "formats.base",
    "CheckReport": "checks",
    "CountdownEnv": "puzzles.countdown",
    "EnvStep": "vector",
    "Episode": "episode",
    "FormatFault": "episode",
    "Game24Env": "puzzles.game24",
    "HanoiEnv": "puzzles.hanoi",
    "KnightsAndKnavesEnv": "puzzles.knights_and_knaves",
    "Limits": "limits",
    "MastermindEnv": "puzzles.mastermind",
    "MinesweeperEnv": "puzzles.minesweeper",
    "ParsedAction": "episode",
    "PuzzleEnv": "puzzles.base",
    "PythonCodeEnv": "python_code",
    "PythonMathEnv": "python_math",
    "ReActFeverEnv": "react_fever",
    "ReActQAEnv": "react_qa",
    "ReasoningGymEnv": "reasoning_gym",
    "RewardFunction": "reward",
    "RewardResult": "episode",
    "ScriptedPolicy": "env",
    "SearchQAEnv": "search_qa",
    "ShortestPathEnv": "puzzles.shortest_path",
    "StopReason": "episode",
    "SudokuEnv": "puzzles.sudoku",
    "Task": "task",
    "TaskSet": "task",
    "TextSpace": "spaces",
    "ToolEnv": "env",
    "ToolVectorEnv": "vector",
    "Truncator": "limits",
    "Turn": "episode",
    "World": "world",
    "ZebraEnv": "puzzles.zebra",
    "check_env": "checks",
    "load_tasks": "sources",
    "read_rows": "sources",
}

__all__ = [
    "Action",
    "ActionFormat",
    "CheckReport",
    "CountdownEnv",
    "EnvStep",
    "Episode",
    "FormatFault",
    "Game24Env",
    "HanoiEnv",
    "KnightsAndKnavesEnv",
    "Limits",
    "MastermindEnv",
    "MinesweeperEnv",
    "ParsedAction",
    "PuzzleEnv",
    "PythonCodeEnv",
    "PythonMathEnv",
    "ReActFeverEnv",
    "ReActQAEnv",
    "ReasoningGymEnv",
    "RewardFunction",
    "RewardResult",
    "ScriptedPolicy",
    "SearchQAEnv",
    "ShortestPathEnv",
    "StopReason",
    "SudokuEnv",
    "Task",
    "TaskSet",
    "TextSpace",
    "ToolEnv",
    "ToolVectorEnv",
    "Truncator",
    "Turn",
    "World",
    "ZebraEnv",
    "check_env",
    "environment_ids",
    "load_tasks",
    "make_env",
    "read_rows",
    "register",
    "register_all",
]


__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
