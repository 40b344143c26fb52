"""Environments for TRL's `GRPOTrainer(environment_factory=...)`.

TRL writes the wire language itself: the chat template shows the tools, TRL parses the calls and invokes a method for
each, and an assistant message without calls ends the episode. What a rollout wrote is replayed through the environment
when TRL asks for its reward, with the results that its calls had, so that limits, faults, forged observations, score
and reward are those of any other episode.

    env = make_env("toolgym/PythonMath-v0")
    GRPOTrainer(model, environment_reward, train_dataset=trl_dataset(env),
                environment_factory=trl_environment_factory(env))

The interface is that of TRL 1.16 (huggingface/trl, `trl/trainer/grpo_trainer.py`), which calls it experimental.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from ...tools.base import FunctionSchema, StatelessSession, Tool, ToolCall, ToolResult
from ...tools.errors import InputError, ToolUnavailable
from ...tools.output import keep_ends
from ...tools.runtime import ToolRuntime
from ..env import ToolEnv
from ..episode import Action, Message, StopReason
from .common import all_tasks, as_environment, in_chat, need, written
from .signatures import method_of

_RESERVED = ("reset", "get_reward")


def trl_dataset(env: str | ToolEnv, **options: Any) -> Any:
    """The tasks as a `datasets.Dataset` with the columns `prompt` (chat messages) and `task_id`.

    The prompts hold no function schemas: TRL's chat template adds them.

    Args:
        env: An environment or its id.
        **options: Arguments of the environment, for an id.

    Raises:
        InputError: If `datasets` is not installed, or the environment cannot be played in TRL's chat loop.
    """
    need("datasets", "trl")
    from datasets import Dataset

    source = in_chat(as_environment(env, options), "TRL")
    rows = [{"prompt": source.action_format.messages(task, ()), "task_id": task.id} for task in all_tasks(source)]
    return Dataset.from_list(rows)


def trl_environment_factory(
    env: str | ToolEnv, *, seed: int = 0, end_of_turn: Collection[int] = (), **options: Any
) -> type[TrlEnvironment]:
    """What `GRPOTrainer` takes as `environment_factory`: a class with a method for every function of the tools.

    Args:
        env: An environment or its id. Environments with tools are played in the Hermes format, as Qwen's chat template
            writes it; those without tools keep their own.
        seed: Seed of the tools' sessions.
        end_of_turn: Ids of the tokens that end a turn (the tokenizer's `eos_token_id`). With them a completion that
            `max_completion_length` cut is judged as cut: what it says outside of an answer's marks is no answer.
        **options: Arguments of the environment, for an id.

    Raises:
        InputError: If the environment cannot be played in TRL's chat loop: a reward that pays for the marks of another
            format, a cap in tokens, or a function whose name TRL reserves.
    """
    source = in_chat(as_environment(env, options), "TRL")
    if source.limits.max_observation_tokens is not None:
        raise InputError("TRL cuts no observations: use limits.max_observation_characters for max_observation_tokens")
    members: dict[str, Any] = {"_source": source, "_seed": seed, "_end_of_turn": frozenset(end_of_turn)}
    for function in (function for tool in source.tools for function in tool.functions):
        if function.name in _RESERVED or function.name.startswith("_"):
            raise InputError(f"TRL keeps the method name {function.name!r} for itself; rename the tool's function")
        members[function.name] = method_of(function, TrlEnvironment._call)
    return type(type(env).__name__ if isinstance(env, ToolEnv) else type(source).__name__, (TrlEnvironment,), members)


def environment_reward(
    environments: Sequence[TrlEnvironment],
    completions: Sequence[Sequence[Message]],
    completion_ids: Sequence[Sequence[int]],
    **columns: Any,
) -> list[float | None]:
    """TRL's reward function for these environments: the reward of every episode.

    Score and reward terms are logged as TRL's metrics (`log_metric`). An episode whose tool was unavailable has no
    reward (None), and TRL leaves it out.

    Args:
        environments: The environments of the rollouts, as TRL hands them over.
        completions: What the rollouts wrote and saw, as chat messages.
        completion_ids: The same as tokens.
        **columns: What else TRL gives every reward function: prompts, columns of the data set, `log_metric`.
    """
    ends = [
        environment._judge(messages, ids)
        for environment, messages, ids in zip(environments, completions, completion_ids, strict=True)
    ]
    judged = [info for _, info in ends if info]
    if "log_metric" in columns and judged:
        for name in sorted({name for info in judged for name in info["reward_terms"]} | {"score"}):
            values = [{**info["reward_terms"], "score": info["score"]}.get(name, 0.0) for info in judged]
            columns["log_metric"](f"environment/{name}", sum(values) / len(values))
    return [reward for reward, _ in ends]


class TrlEnvironment:
    """One rollout's environment, as TRL uses it; `trl_environment_factory` derives a class with the tools' methods.

    TRL takes every public method for a tool, so that all but `reset` are private.
    """

    _source: ClassVar[ToolEnv]
    _seed: ClassVar[int]
    _end_of_turn: ClassVar[frozenset[int]]

    def __init__(self) -> None:
        self._task_id: str | None = None
        self._runtime: ToolRuntime | None = None
        self._results: list[tuple[ToolCall, ToolResult]] = []
        self._calls = 0
        self._unavailable = False

    def reset(self, task_id: str, **columns: Any) -> None:
        """Begins an episode.

        Args:
            task_id: The task, a column of `trl_dataset`.
            **columns: The data set's other columns, which TRL hands over as well.
        """
        self._close()
        self._source.tasks.by_id(task_id)
        self._task_id = task_id
        self._runtime = ToolRuntime(self._source.tools, seed=self._seed)
        self._results, self._calls, self._unavailable = [], 0, False

    def _call(self, name: str, arguments: Mapping[str, Any]) -> str:
        if self._runtime is None:
            raise RuntimeError("call reset() before a tool")
        limits = self._source.limits
        self._calls += 1
        if limits.max_calls is not None and self._calls > limits.max_calls:
            return f"No tool calls are left: the limit of {limits.max_calls} is reached."
        call = ToolCall(name, arguments)
        try:
            result = self._runtime.call(call)
        except ToolUnavailable:
            self._unavailable = True
            raise
        self._results.append((call, result))
        cap = limits.max_observation_characters
        return result.output if cap is None else keep_ends(result.output, cap).text

    def _judge(self, messages: Sequence[Message], ids: Sequence[int]) -> tuple[float | None, dict[str, Any]]:
        """Reward and last info of the episode in which these messages were written."""
        self._close()
        if self._task_id is None:
            raise RuntimeError("call reset() before an episode is judged")
        if self._unavailable:
            return None, {}
        env = self._source.spawn()
        env.tools = (_Replay(self._source.tools, self._results),)
        env.reset(seed=self._seed, options={"task_id": self._task_id})
        cut_off = bool(self._end_of_turn) and (not ids or ids[-1] not in self._end_of_turn)
        info: dict[str, Any] = {}
        reward, done = 0.0, False
        for index, message in enumerate(messages):
            if message["role"] != "assistant" or done:
                continue  # what the tools said stands in the results already
            last = index == len(messages) - 1
            action = Action(written(message), "length" if last and cut_off else "eos")
            if last and message.get("tool_calls"):  # TRL stopped before it ran them, or dropped what they returned
                _, reward, terminated, truncated, info = env.truncate(StopReason.MAX_TOKENS, action)
            else:
                _, reward, terminated, truncated, info = env.step(action)
            done = terminated or truncated
        if not done:
            _, reward, _, _, info = env.truncate(StopReason.MAX_TOKENS)
        return reward, info

    def _close(self) -> None:
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None


class _Replay(Tool):
    """The functions of the environment's tools, which return what they returned in the rollout."""

    timeout = None

    def __init__(self, tools: Sequence[Tool], results: Sequence[tuple[ToolCall, ToolResult]]) -> None:
        self._functions = tuple(function for tool in tools for function in tool.functions)
        self._results = results
        self.max_output_characters = max((tool.max_output_characters for tool in tools), default=1)

    @property
    def functions(self) -> Sequence[FunctionSchema]:
        return self._functions

    def open(self, seed: int = 0) -> _ReplaySession:
        return _ReplaySession(self._results)


class _ReplaySession(StatelessSession):
    def __init__(self, results: Sequence[tuple[ToolCall, ToolResult]]) -> None:
        self._left = list(results)

    def call(self, call: ToolCall) -> ToolResult:
        while self._left:
            made, result = self._left.pop(0)
            if (made.name, made.arguments) == (call.name, call.arguments):
                return result
        # No result for the model, which did nothing wrong: it leaves `step`.
        raise ToolUnavailable(f"the rollout's messages hold a call of {call.name} that the rollout did not make")
