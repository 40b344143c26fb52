"""Puzzles per second: all generated puzzles, beside reasoning-gym's of the same kind.

    python -m toolgym.benchmarks.puzzle_generation

Processor time of one process on one core, medians of interleaved rounds; no puzzle is made twice. `load` says
what else the machine had to do (five minutes' mean). "Generated" is all that an environment asks for: the puzzle, its
proof, its text, its answer. Reasoning-gym's items are those of its default configurations, which say little about
difficulty: its sudoku grids have 31 to 51 clues, its zebra puzzles four houses and four attributes. Without
reasoning-gym (`pip install 'toolgym[puzzles]'`) toolgym's are measured alone.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import gymnasium as gym
import typer

from ..envs.puzzles.base import PuzzleEnv
from ..envs.reasoning_gym import ReasoningGymEnv
from ..envs.registration import ENTRY_POINTS, make_env
from ..trainers.run_folder import versions
from .measuring import run_command, write_result

RESULT = Path(__file__).parent / "results" / "puzzle_generation.json"
SEED = 0
DIFFICULTIES: tuple[float | tuple[float, float], ...] = (0.0, 0.25, 0.5, 0.75, 1.0, (0.0, 1.0))
PEERS = {
    "toolgym/Countdown-v0": "countdown",
    "toolgym/Game24-v0": "puzzle24",
    "toolgym/Hanoi-v0": "tower_of_hanoi",
    "toolgym/KnightsAndKnaves-v0": "knights_knaves",
    "toolgym/ShortestPath-v0": "shortest_path",
    "toolgym/Sudoku-v0": "sudoku",
    "toolgym/Sudoku-v0 order=4": "mini_sudoku",
    "toolgym/Zebra-v0": "zebra_puzzles",
}
"""Reasoning-gym's data set of the same kind of puzzle."""
FURTHER: dict[str, dict[str, Any]] = {
    "toolgym/Sudoku-v0 order=4": {"order": 4},
    "toolgym/Sudoku-v0 order=6": {"order": 6},
    "toolgym/Zebra-v0 4x4": {"houses": 4, "attributes": 4},
}
"""Variants that are measured beside the defaults."""

Make = Callable[[int], object]


class Case(NamedTuple):
    """What is measured.

    Attributes:
        name: Of the environment or the data set.
        level: Its difficulty, as text; `default` for reasoning-gym.
        make: Makes the puzzle at a position.
    """

    name: str
    level: str
    make: Make


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds over all puzzles; medians are reported.")] = 7,
    seconds: Annotated[float, typer.Option(help="Processor time of one puzzle's part of a round.")] = 0.4,
    only: Annotated[str, typer.Option(help="Measures the puzzles alone whose name has this in it.")] = "",
    output: Annotated[Path, typer.Option(help="File of the results.")] = RESULT,
) -> None:
    """Measures and writes the results."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    ours = [case for case in our_cases() if only in case.name]
    theirs = their_cases(sorted({PEERS[case.name] for case in ours if case.name in PEERS}))
    per_second = measured([*ours, *theirs], rounds, seconds)
    result = summary(ours, theirs, per_second)
    result |= {"rounds": rounds, "seconds": seconds, "seed": SEED, "load": os.getloadavg()[1]}
    result["versions"] = {**versions(), **_peer_version()}
    write_result(output, result)
    for name, puzzle in result["puzzles"].items():
        figures = "  ".join(f"{level}: {rate:,.0f}" for level, rate in puzzle["per_second"].items())
        peer = f"  {puzzle['peer']}: {puzzle['peer_per_second']:,.1f}" if "peer_per_second" in puzzle else ""
        typer.echo(f"{name:32} {figures}{peer}")


def our_cases() -> list[Case]:
    """Every registered puzzle that is generated, at every difficulty."""
    named: dict[str, tuple[str, dict[str, Any]]] = {}
    for env_id, entry_point in ENTRY_POINTS.items():
        creator: Any = gym.envs.registration.load_env_creator(entry_point)
        if isinstance(creator, type) and issubclass(creator, PuzzleEnv) and creator is not ReasoningGymEnv:
            named[env_id] = env_id, {}
    named |= {name: (name.partition(" ")[0], options) for name, options in FURTHER.items()}
    cases = []
    for name, (env_id, options) in named.items():
        for difficulty in DIFFICULTIES:
            tasks = make_env(env_id, difficulty=difficulty, task_seed=SEED, **options).tasks
            level = f"{difficulty:g}" if isinstance(difficulty, float) else "mixed"
            cases.append(Case(name, level, tasks.__getitem__))
    return cases


def their_cases(names: Sequence[str]) -> list[Case]:
    """Reasoning-gym's data sets of some names; none without reasoning-gym."""
    if not names or find_spec("reasoning_gym") is None:
        return []
    from reasoning_gym import create_dataset

    return [Case(name, "default", create_dataset(name, seed=SEED).__getitem__) for name in names]


def measured(cases: list[Case], rounds: int, seconds: float) -> dict[tuple[str, str], list[float]]:
    """Puzzles per second of each case, round by round, by name and level."""
    places = dict.fromkeys(cases, 1)
    for case in cases:
        case.make(0)  # tables are built, modules imported
    rates: dict[tuple[str, str], list[float]] = {(case.name, case.level): [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            count, rate = _round(case.make, places[case], seconds)
            places[case] += count
            rates[case.name, case.level].append(rate)
    return rates


def _round(make: Make, first: int, seconds: float) -> tuple[int, float]:
    """How many puzzles were made, and how many per second."""
    count, started, taken = 0, time.process_time(), 0.0
    while taken < seconds or not count:
        make(first + count)
        count += 1
        taken = time.process_time() - started
    return count, count / taken


def summary(ours: list[Case], theirs: list[Case], rates: dict[tuple[str, str], list[float]]) -> dict[str, Any]:
    """Medians by puzzle, and how many times as fast it is as its peer."""
    peers = {case.name: statistics.median(rates[case.name, case.level]) for case in theirs}
    puzzles: dict[str, Any] = {}
    for case in ours:
        puzzle = puzzles.setdefault(case.name, {"per_second": {}})
        puzzle["per_second"][case.level] = statistics.median(rates[case.name, case.level])
    for name, puzzle in puzzles.items():
        peer = PEERS.get(name)
        if peer in peers:
            puzzle |= {"peer": f"reasoning-gym {peer}", "peer_per_second": peers[peer]}
            puzzle["times_peer"] = {level: rate / peers[peer] for level, rate in puzzle["per_second"].items()}
    return {"puzzles": puzzles}


def _peer_version() -> dict[str, str | None]:
    try:
        return {"reasoning-gym": version("reasoning-gym")}
    except PackageNotFoundError:
        return {"reasoning-gym": None}


if __name__ == "__main__":
    run_command(main)
