"""The one place where environment meets policy.

One loop over two queues: finished generations go to worker threads that step the environments, finished environment
steps go back to the engine. No episode waits for another one's turn, so that tool time hides under decoding.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Literal

from ..envs.env import ToolEnv
from ..envs.episode import Action, Message, Step, StopReason
from ..tools.errors import InputError, ToolUnavailable
from ..tools.statistics import UNKNOWN, ToolStatistics
from .encoding import Codec
from .engines.base import Generation, GenerationRequest, InferenceEngine, SamplingParams
from .rollout_statistics import RolloutStatistics, abandoned_calls, union_seconds
from .trajectory import Outcome, Role, Segment, Trajectory

Schedule = Literal["fast", "deterministic"]


@dataclass(frozen=True)
class EpisodeRequest:
    """One episode to play.

    Attributes:
        task_id: Task of the environment's task set.
        episode_id: Unique id; together with the seed and the turn it keys the random stream.
        group_id: Episodes with one group id are compared with each other.
    """

    task_id: str
    episode_id: str
    group_id: str = ""


@dataclass
class Rollout:
    """The rows of all episodes, in the order of the requests, and what they cost."""

    trajectories: list[Trajectory]
    statistics: RolloutStatistics


def random_seed(*key: object) -> int:
    """A 63-bit seed that depends on the key alone, the same in every process."""
    digest = blake2b("\x1f".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@dataclass
class _Play:
    """An episode in progress: its environment, its rows and what may still be sampled."""

    index: int
    request: EpisodeRequest
    env: ToolEnv
    outcome: Outcome
    rows: list[Trajectory] = field(default_factory=list)
    history: list[Message] = field(default_factory=list)
    tools: tuple[dict[str, Any], ...] = ()
    generation: Generation | None = None
    turn: int = 0
    attempt: int = 0
    started: float = 0.0

    def append(self, role: Role, token_ids: tuple[int, ...], generation: Generation | None = None) -> None:
        """Adds a segment to the current row."""
        if generation is None:
            segment = Segment(role, token_ids, turn=self.turn)
        else:
            version = generation.policy_version if generation.logprobs is not None else None
            segment = Segment(role, token_ids, generation.logprobs, self.turn, version)
        self.rows[-1].segments.append(segment)

    def begin_row(self, token_ids: tuple[int, ...]) -> None:
        """Starts a row whose tokens so far are context."""
        self.rows.append(Trajectory(self.outcome, [Segment(Role.PROMPT, token_ids, turn=self.turn)], len(self.rows)))


class _Rollout:
    """State of one call of `rollout`."""

    def __init__(
        self,
        engine: InferenceEngine,
        codec: Codec,
        env: ToolEnv,
        sampling: SamplingParams,
        *,
        seed: int,
        schedule: Schedule,
        workers: int,
        retries: int,
    ) -> None:
        self.engine, self.codec, self.env, self.sampling = engine, codec, env, sampling
        self.seed, self.schedule, self.retries = seed, schedule, retries
        self.pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="environment")
        self.finished_steps: queue.SimpleQueue[tuple[_Play, Step | tuple[str, dict[str, Any]] | BaseException]] = (
            queue.SimpleQueue()
        )
        self.steps_running = 0
        self.intervals: list[tuple[float, float]] = []
        self.generating: dict[str, _Play] = {}
        self.done: dict[int, _Play] = {}
        self.statistics = RolloutStatistics()
        self.statistics.expect_tools(env.tools)

    # Environments, in worker threads ---------------------------------------------------------------------------

    def dispatch(self, play: _Play, work: Callable[[], Step | tuple[str, dict[str, Any]]]) -> None:
        """Runs a piece of environment work in a worker thread; its result arrives in `finished_steps`."""
        self.steps_running += 1

        def run() -> None:
            started = time.perf_counter()
            result: Step | tuple[str, dict[str, Any]] | BaseException
            try:
                result = work()
            except BaseException as error:  # contained per episode: it becomes a failed trajectory
                result = error
            ended = time.perf_counter()
            self.intervals.append((started, ended))
            play.outcome.tool_seconds += ended - started
            self.finished_steps.put((play, result))

        self.pool.submit(run)

    def begin(self, play: _Play) -> None:
        """Resets the episode's environment."""
        play.env = self.env.spawn()
        play.env.truncator = self.codec.truncate
        play.started = time.perf_counter()
        seed = random_seed(self.seed, "environment", play.request.task_id)
        self.dispatch(play, lambda: play.env.reset(seed=seed % 2**31, options={"task_id": play.request.task_id}))

    def collect(self) -> None:
        """Takes finished environment steps and hands what follows to the engine.

        Waits when the engine has nothing to do, and, under the deterministic schedule, for all running steps: then
        the order of the requests depends on the episodes alone.
        """
        results: list[tuple[_Play, Step | tuple[str, dict[str, Any]] | BaseException]] = []
        while self.steps_running:
            idle = self.engine.pending == 0 and not results
            if not idle and self.schedule == "fast" and self.finished_steps.empty():
                break
            started = time.perf_counter()
            results.append(self.finished_steps.get())
            if idle or self.schedule == "deterministic":
                self.statistics.waiting_seconds += time.perf_counter() - started
            self.steps_running -= 1
        for play, result in sorted(results, key=lambda item: item[0].index):
            self.advance(play, result)

    # The protocol between environment and policy ----------------------------------------------------------------

    def advance(self, play: _Play, result: Step | tuple[str, dict[str, Any]] | BaseException) -> None:
        """Handles what an environment returned."""
        if isinstance(result, BaseException):
            self.fail(play, result)
        elif len(result) == 2:
            self.start(play, *result)
        else:
            observation, reward, terminated, truncated, info = result
            play.history = list(play.env.episode.messages)
            if terminated or truncated:
                self.finish(play, reward, info)
            else:
                self.observe(play, observation, info)

    def start(self, play: _Play, prompt: str, info: dict[str, Any]) -> None:
        """Encodes the prompt and asks for the first action."""
        wire = play.env.action_format
        play.tools = tuple(info["tools"]) if wire.native_tools else ()
        play.history = list(info["messages"])
        play.begin_row(self.codec.encode_prompt(prompt, info["messages"], wire.prefill, play.tools))
        self.generate(play)

    def observe(self, play: _Play, observation: str, info: dict[str, Any]) -> None:
        """Appends an observation to the row, or forks, and asks for the next action."""
        assert play.generation is not None
        sampled, wire = play.generation.token_ids, play.env.action_format
        prefill = wire.prefill if wire.prefills_every_turn else ""
        if self.codec.chat and wire.transcript == "chat":
            past = play.history[: -len(info["messages"])]
            action = str(play.env.episode.turns[-1].action)
            extension = self.codec.extend_chat(
                past[:-1], action, sampled, info["messages"], message=past[-1], prefill=prefill, tools=play.tools
            )
        else:
            extension = self.codec.extend_text(sampled, observation, prefill)
        if extension.forked:
            self.statistics.forks += 1
            play.begin_row(extension.token_ids)
        elif self.room(play) >= len(extension.token_ids):
            play.append(Role.OBSERVATION, extension.token_ids)
            play.outcome.observation_tokens += len(extension.token_ids)
        else:
            # Nobody could sample after it: the observation is left out, and the episode ends here.
            return self.cut_off(play)
        self.generate(play)

    def room(self, play: _Play) -> int:
        """Tokens that may still be added to the current row."""
        limits, length = play.env.limits, len(play.rows[-1])
        bounds = [bound - length for bound in (limits.max_context, self.engine.max_context) if bound is not None]
        if limits.max_tokens is not None:
            bounds.append(limits.max_tokens - play.outcome.action_tokens - play.outcome.observation_tokens)
        return min(bounds, default=2**31)

    def cut_off(self, play: _Play, action: Action | None = None) -> None:
        """Ends an episode that has no room left, for the bound that bit."""
        limits, used = play.env.limits, play.outcome.action_tokens + play.outcome.observation_tokens
        tokens_left = 2**31 if limits.max_tokens is None else limits.max_tokens - used
        reason = StopReason.MAX_TOKENS if tokens_left <= self.room(play) else StopReason.MAX_CONTEXT
        self.dispatch(play, lambda: play.env.truncate(reason, action))

    def generate(self, play: _Play) -> None:
        """Asks the engine for the next action, or ends the episode when a bound of the agent's side is reached."""
        limits = play.env.limits
        if limits.wall_seconds is not None and time.perf_counter() - play.started > limits.wall_seconds:
            return self.dispatch(play, lambda: play.env.truncate(StopReason.WALL_TIME))
        room = self.room(play)
        if room < 1:
            return self.cut_off(play)
        play.turn += 1
        turn_cap = limits.max_turn_tokens if limits.max_turn_tokens is not None else self.sampling.max_tokens
        sampling = replace(
            self.sampling,
            max_tokens=min(turn_cap, room),
            stop=play.env.stop,
            seed=random_seed(self.seed, play.request.episode_id, play.attempt, play.turn),
        )
        request = GenerationRequest(
            id=f"{play.request.episode_id}/{play.attempt}/{play.turn}",
            token_ids=tuple(play.rows[-1].token_ids),
            sampling=sampling,
            session=f"{play.request.episode_id}/{play.attempt}/{len(play.rows)}",
            messages=tuple(play.history),
            tools=play.tools,
            episode=play.env.episode,
        )
        self.generating[request.id] = play
        self.engine.submit(request)

    def act(self, generation: Generation) -> None:
        """Takes a finished generation and sends the action to its environment."""
        play = self.generating.pop(generation.request_id)
        if generation.error:
            return self.fail(play, RuntimeError(generation.error))
        play.generation = generation
        play.append(Role.ACTION, generation.token_ids, generation)
        play.outcome.action_tokens += len(generation.token_ids)
        play.outcome.surplus_characters += generation.surplus_characters
        self.statistics.generated_tokens += len(generation.token_ids)
        action = Action(generation.text, generation.finish_reason, len(generation.token_ids))
        if generation.finish_reason == "length" and self.room(play) < 1:
            self.cut_off(play, action)
        else:
            self.dispatch(play, lambda: play.env.step(action))

    def finish(self, play: _Play, reward: float, info: dict[str, Any]) -> None:
        """Records how the episode ended."""
        outcome, episode = play.outcome, play.env.episode
        outcome.episode = episode
        outcome.reward, outcome.score = float(reward), float(info["score"])
        outcome.reward_terms = dict(info["reward_terms"])
        outcome.stop_reason = StopReason(info["stop_reason"])
        outcome.answer = info["answer"]
        outcome.turns = len(episode.turns)
        for turn in episode.turns:
            for result in turn.results:
                status = result.status.value
                outcome.call_statuses[status] = outcome.call_statuses.get(status, 0) + 1
        self.statistics.count_calls(episode)
        for fault in episode.faults:
            outcome.faults[fault.value] = outcome.faults.get(fault.value, 0) + 1
        self.conclude(play)

    def fail(self, play: _Play, error: BaseException) -> None:
        """Marks an episode that the infrastructure lost; it is played again while retries are left."""
        if isinstance(error, InputError) or not isinstance(error, Exception):
            raise error  # the person's mistake or an interrupt: no episode can do better
        if isinstance(error, ToolUnavailable):
            self.statistics.tools.setdefault(error.function or UNKNOWN, ToolStatistics()).unavailable += 1
        with suppress(Exception):  # what broke first is what is reported
            play.env.close()
        self.release(play)
        if play.attempt < self.retries:
            play.attempt += 1
            play.rows.clear()
            play.turn = 0
            play.outcome = Outcome(play.request.episode_id, play.request.task_id, play.request.group_id)
            self.statistics.retried += 1
            return self.begin(play)
        play.outcome.error = f"{type(error).__name__}: {error}"
        play.outcome.stop_reason = StopReason.FAILED
        for row in play.rows:
            row.trainable = False
        self.statistics.failed += 1
        self.conclude(play)

    def conclude(self, play: _Play) -> None:
        """Closes an episode's books."""
        play.outcome.seconds = time.perf_counter() - play.started
        if not play.rows:
            play.rows.append(Trajectory(play.outcome, [], 0, trainable=False))
        self.release(play)
        self.statistics.episodes += 1
        self.done[play.index] = play

    def release(self, play: _Play) -> None:
        """Tells the engine that the rows of this attempt will not be extended."""
        for row in range(len(play.rows)):
            self.engine.release(f"{play.request.episode_id}/{play.attempt}/{row + 1}")


class AllEpisodesFailed(RuntimeError):
    """The infrastructure lost every episode of a rollout: something is wrong beyond one episode."""


def rollout(
    engine: InferenceEngine,
    codec: Codec,
    env: ToolEnv,
    requests: Sequence[EpisodeRequest],
    sampling: SamplingParams | None = None,
    *,
    seed: int = 0,
    concurrency: int = 64,
    workers: int = 8,
    retries: int = 1,
    schedule: Schedule = "fast",
    on_episode: Callable[[Outcome], None] | None = None,
) -> Rollout:
    """Plays episodes.

    Args:
        engine: Samples actions.
        codec: Turns text into ids and back.
        env: Prototype; every episode plays in a copy that shares its tasks and tools.
        requests: What to play; ids must be unique.
        sampling: How to sample; stop strings and the token budget are filled in per turn.
        seed: Keys all random streams, together with episode, attempt and turn.
        concurrency: Most episodes in progress at once.
        workers: Threads that step environments.
        retries: How often an episode that the infrastructure lost is played again.
        schedule: `fast`, or `deterministic` (requests reach the engine in an order that depends on the episodes
            alone; no wall-clock limit is allowed).
        on_episode: Called with the outcome of every finished episode.

    Returns:
        The rows of all episodes in the order of `requests`. Failed episodes are in it, marked.

    Raises:
        InputError: If two requests share an id, or the schedule is deterministic and the environment has a wall-clock
            limit.
        AllEpisodesFailed: If every episode failed; the first error is in the message.
    """
    if len({request.episode_id for request in requests}) != len(requests):
        raise InputError("episode ids must be unique within a rollout")
    if schedule == "deterministic" and env.limits.wall_seconds is not None:
        raise InputError("schedule='deterministic' allows no wall-clock limit; set limits.wall_seconds to None")
    run = _Rollout(
        engine, codec, env, sampling or SamplingParams(), seed=seed, schedule=schedule, workers=workers, retries=retries
    )
    started = time.perf_counter()
    try:
        _play_all(run, requests, concurrency, on_episode)
    finally:
        run.pool.shutdown(wait=True, cancel_futures=True)
    run.statistics.seconds = time.perf_counter() - started
    run.statistics.tool_seconds = union_seconds(run.intervals)
    run.statistics.abandoned_calls = abandoned_calls(env.tools)
    plays = [run.done[index] for index in range(len(requests))]
    if plays and all(play.outcome.failed for play in plays):
        raise AllEpisodesFailed(f"all {len(plays)} episodes failed; the first one with: {plays[0].outcome.error}")
    return Rollout([row for play in plays for row in play.rows], run.statistics)


def _play_all(
    run: _Rollout,
    requests: Sequence[EpisodeRequest],
    concurrency: int,
    on_episode: Callable[[Outcome], None] | None,
) -> None:
    waiting = deque(enumerate(requests))
    admitted = reported = 0
    while len(run.done) < len(requests):
        while waiting and admitted - len(run.done) < concurrency:
            index, request = waiting.popleft()
            outcome = Outcome(request.episode_id, request.task_id, request.group_id)
            run.begin(_Play(index, request, run.env, outcome))
            admitted += 1
        run.collect()
        if run.engine.pending:
            for generation in run.engine.step():
                run.act(generation)
        if on_episode is not None and len(run.done) > reported:
            for play in list(run.done.values())[reported:]:
                on_episode(play.outcome)
            reported = len(run.done)
