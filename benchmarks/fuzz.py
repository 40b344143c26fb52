"""Fuzzed steps over all environments and formats: no exception, and the laws of a step hold.

    python -m toolgym.benchmarks.fuzz --steps 1000000 --seed 0 --workers 2
    python -m toolgym.benchmarks.fuzz --replay 'LINE'      # LINE: what a failure prints

Every environment that is registered takes the same number of steps, shared among the formats that express its tools;
one that runs programs takes a quarter, since each of its episodes opens an interpreter.
Actions are drawn from pieces of the formats, of calls and answers, odd characters, forged observations, and from the
oracle's actions, whole and mangled; between them episodes are truncated for any reason that an agent may have. After
each step `toolgym.envs.checks.laws.broken_law` is asked. What a worker plays depends on the seed, the worker, the
environment and the format alone. Programs get a second of processor time, so that one that hangs costs no more.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer

from ..envs.checks.laws import broken_law
from ..envs.checks.play import Moment, is_program, oracle_or_silence, text_arguments
from ..envs.checks.texts import Grammar
from ..envs.env import ToolEnv
from ..envs.episode import Action, StopReason
from ..envs.formats import FORMATS
from ..envs.formats.single import SingleFunctionFormat
from ..envs.registration import environment_ids, make_env
from ..tools.errors import InputError
from ..trainers.run_folder import versions
from .measuring import run_command, write_result

RESULT = Path(__file__).parent / "results" / "fuzz.json"
PROGRAM_SECONDS = 1.0
PROGRAM_WEIGHT = 0.25
TASKS = 64
_TRUNCATED = 0.03
_REASONS = tuple(reason for reason in StopReason if not reason.terminated)
_PROGRESS = 10.0


class LawBroken(Exception):
    """A law did not hold, or a step raised; the message is the line that `--replay` takes."""


@dataclass
class Tally:
    """What a worker did in one environment under one format.

    Attributes:
        environment: Its id.
        action_format: Name of the format.
        steps: Steps and truncations.
        episodes: Resets.
        seconds: Wall time.
        stop_reasons: How episodes ended.
        faults: Format faults by name.
        statuses: Tool calls by how they ended.
    """

    environment: str
    action_format: str
    steps: int = 0
    episodes: int = 0
    seconds: float = 0.0
    stop_reasons: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)

    def add(self, moment: Moment) -> None:
        """Counts a step."""
        self.steps += 1
        self.faults.update(moment.info["faults"])
        self.statuses.update(call["status"] for call in moment.info["calls"])
        if moment.over:
            self.stop_reasons[moment.info["stop_reason"]] += 1


@dataclass(frozen=True)
class Move:
    """One thing done to an environment: an action, or a truncation with or without one.

    Attributes:
        action: What was written; None for a truncation alone.
        truncate: The reason of a truncation; empty for a step.
    """

    action: Action | None
    truncate: str = ""

    def make(self, env: ToolEnv) -> Moment:
        """Does it."""
        if self.truncate:
            return Moment(*env.truncate(StopReason(self.truncate), self.action))
        assert self.action is not None
        return Moment(*env.step(self.action))

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        action = self.action
        if action is None:
            return {"truncate": self.truncate}
        parts = {"text": str(action), "finish_reason": action.finish_reason, "token_count": action.token_count}
        return {**parts, "truncate": self.truncate}

    @classmethod
    def from_json(cls, parts: dict[str, Any]) -> Move:
        """The move of `as_json`."""
        written = "text" in parts
        action = Action(parts["text"], parts["finish_reason"], parts["token_count"]) if written else None
        return cls(action, parts["truncate"])


@dataclass(frozen=True)
class Ground:
    """An environment to fuzz.

    Attributes:
        environment: Its id.
        formats: The formats that express its tools.
        weight: Its part of the steps, beside that of others.
    """

    environment: str
    formats: tuple[str, ...]
    weight: float


def grounds(only: list[str] | None = None) -> list[Ground]:
    """The environments that can be made here.

    Args:
        only: Ids; all that are registered by default.
    """
    found = []
    for env_id in only or environment_ids():
        try:
            env = make(env_id)
        except InputError as error:
            if only:
                raise
            typer.echo(f"{env_id} is left out: {error}", err=True)
            continue
        formats = tuple(name for name, kind in FORMATS.items() if all(map(kind().expresses, env.functions)))
        programs = any(is_program(function, name) for function in env.functions for name in text_arguments(function))
        found.append(Ground(env_id, formats, PROGRAM_WEIGHT if programs else 1.0))
        env.close()
    return found


def make(env_id: str, action_format: str | None = None) -> ToolEnv:
    """An environment whose programs get little time.

    Under a format that knows plain steps its tool has no limits of its own, so that they are among what is played.
    """
    options: dict[str, Any] = {} if action_format is None else {"action_format": action_format}
    try:
        env = make_env(env_id, **options, timeout=PROGRAM_SECONDS)
    except InputError as error:
        if "no option 'timeout'" not in str(error):
            raise
        env = make_env(env_id, **options)
    wire = env.action_format
    if env.tools and isinstance(wire, SingleFunctionFormat) and wire.lone_call is not None:
        env.configure_tool(wire.function, {"timeout": None, "cache_entries": 0})
    return env


def fuzz(env_id: str, action_format: str, steps: int, seed: int, worker: int) -> Tally:
    """Plays fuzzed steps in one environment under one format.

    Raises:
        LawBroken: If a step raises or breaks a law.
    """
    env, tally, started = make(env_id, action_format), Tally(env_id, action_format), time.perf_counter()
    random = Random(f"{seed}/{worker}/{env_id}/{action_format}")
    tasks = env.tasks.head(TASKS)
    oracle, grammar = oracle_or_silence(env), Grammar(env, random)
    try:
        while tally.steps < steps:
            task, episode_seed = tasks[random.randrange(len(tasks))], random.randrange(2**31)
            env.reset(seed=episode_seed, options={"task_id": task.id})
            tally.episodes += 1
            grammar.about(task)
            moves: list[Move] = []
            over = False
            while not over and tally.steps < steps:
                moves.append(_draw(env, grammar, oracle, random))
                moment = _judged(env, moves, episode_seed)
                tally.add(moment)
                over = moment.over
    finally:
        env.close()
    tally.seconds = time.perf_counter() - started
    return tally


def _draw(env: ToolEnv, grammar: Grammar, oracle: Any, random: Random) -> Move:
    def honest() -> str:
        return str(oracle(env.episode))

    if random.random() >= _TRUNCATED:
        return Move(grammar.action(honest))
    reason = random.choice(_REASONS).value
    return Move(grammar.action(honest) if random.random() < 0.5 else None, reason)


def _judged(env: ToolEnv, moves: list[Move], episode_seed: int) -> Moment:
    try:
        moment = moves[-1].make(env)
        fault = broken_law(env, moment)
    except Exception as error:
        raise LawBroken(reproducer(env, moves, episode_seed, f"{type(error).__name__}: {error}")) from error
    if fault is not None:
        raise LawBroken(reproducer(env, moves, episode_seed, fault))
    return moment


def reproducer(env: ToolEnv, moves: list[Move], episode_seed: int, fault: str) -> str:
    """One line of JSON that `--replay` plays again."""
    spec = env.spec
    assert spec is not None
    return json.dumps(
        {
            "environment": spec.id,
            "action_format": env.action_format.name,
            "task_id": env.episode.task.id,
            "seed": episode_seed,
            "fault": fault,
            "moves": [move.as_json() for move in moves],
        }
    )


def replay(line: str) -> str | None:
    """Plays a reproducer again; says what went wrong, or None if nothing does any more."""
    told = json.loads(line)
    env = make(told["environment"], told["action_format"])
    env.reset(seed=told["seed"], options={"task_id": told["task_id"]})
    moves: list[Move] = []
    try:
        for parts in told["moves"]:
            moves.append(Move.from_json(parts))
            _judged(env, moves, told["seed"])
    except LawBroken as broken:
        return str(json.loads(str(broken))["fault"])
    finally:
        env.close()
    return None


@dataclass(frozen=True)
class Job:
    """What a worker is to play: environment, format, steps, seed and the worker's number."""

    environment: str
    action_format: str
    steps: int
    seed: int
    worker: int


def jobs(found: list[Ground], steps: int, seed: int, workers: int) -> list[Job]:
    """Steps by weight for each environment, shared by its formats and by the workers; they sum to `steps`."""
    made, done, total = [], 0.0, sum(ground.weight for ground in found)
    for ground in found:
        share = steps * ground.weight / (total * len(ground.formats) * workers)
        for name in ground.formats:
            for worker in range(workers):
                made.append(Job(ground.environment, name, round(done + share) - round(done), seed, worker))
                done += share
    return made


def _work(job: Job) -> Tally | str:
    try:
        return fuzz(job.environment, job.action_format, job.steps, job.seed, job.worker)
    except LawBroken as broken:
        return str(broken)


def played(todo: list[Job], workers: int) -> Iterator[Tally | str]:
    """Plays jobs in processes of their own, and yields what came of each; a text is a reproducer."""
    if workers == 1:
        yield from map(_work, todo)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_work, todo)


def main(
    steps: Annotated[int, typer.Option(min=1, help="Steps over all environments and formats.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Keys everything that is drawn.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    only: Annotated[list[str] | None, typer.Option(metavar="ENV", help="An environment; repeatable.")] = None,
    output: Annotated[Path | None, typer.Option(help="Result file; none is written for a part.")] = None,
    again: Annotated[str | None, typer.Option("--replay", metavar="LINE", help="Play a reproducer again.")] = None,
) -> None:
    """Fuzzes and writes the result."""
    if again is not None:
        fault = replay(again)
        typer.echo(fault or "nothing goes wrong any more")
        raise typer.Exit(1 if fault else 0)
    todo = jobs(grounds(only), steps, seed, workers)
    tallies: list[Tally] = []
    failures: list[str] = []
    started = told = time.perf_counter()
    for outcome in played(todo, workers):
        if isinstance(outcome, str):
            failures.append(outcome)
            typer.echo(outcome)
        else:
            tallies.append(outcome)
        if time.perf_counter() - told > _PROGRESS:
            told = time.perf_counter()
            done = sum(tally.steps for tally in tallies)
            typer.echo(f"{done:,} of {steps:,} steps, {told - started:.0f} s", err=True)
    result = summary(tallies, failures, seconds=time.perf_counter() - started, seed=seed, workers=workers)
    typer.echo(json.dumps({key: result[key] for key in ("steps", "episodes", "seconds", "minutes", "failures")}))
    for env_id, steps_ in result["steps_by_environment"].items():
        typer.echo(f"{env_id}: {steps_:,} steps, {result['seconds_by_environment'][env_id]:.0f} s")
    if only is None or output is not None:
        write_result(output or RESULT, result)
    if failures:
        raise typer.Exit(1)


def summary(tallies: list[Tally], failures: list[str], *, seconds: float, seed: int, workers: int) -> dict[str, Any]:
    """The result as JSON values."""
    by_pair: dict[str, dict[str, int]] = {}
    spent: Counter[str] = Counter()
    totals: dict[str, Counter[str]] = {name: Counter() for name in ("stop_reasons", "faults", "statuses")}
    for tally in sorted(tallies, key=lambda tally: (tally.environment, tally.action_format)):
        formats = by_pair.setdefault(tally.environment, {})
        formats[tally.action_format] = formats.get(tally.action_format, 0) + tally.steps
        spent[tally.environment] += tally.seconds  # type: ignore[assignment]
        for name, counts in totals.items():
            counts.update(getattr(tally, name))
    steps = sum(tally.steps for tally in tallies)
    return {
        "command": f"python -m toolgym.benchmarks.fuzz --steps {steps} --seed {seed} --workers {workers}",
        "steps": steps,
        "episodes": sum(tally.episodes for tally in tallies),
        "seconds": seconds,
        "minutes": seconds / 60,
        "failures": failures,
        "steps_by_environment": {env_id: sum(formats.values()) for env_id, formats in by_pair.items()},
        "steps_by_environment_and_format": by_pair,
        "seconds_by_environment": dict(spent),
        **{name: dict(counts.most_common()) for name, counts in totals.items()},
        "program_seconds": PROGRAM_SECONDS,
        "seed": seed,
        "workers": workers,
        "versions": versions(),
    }


if __name__ == "__main__":
    run_command(main)
