"""Environments for verifiers: tasks as a taskset, episodes played by an agent of verifiers, rewards on its traces.

    env = verifiers_environment("toolgym/PythonMath-v0", size=100)
    async with env.serving():
        episode = await env.run_episode(task, context)        # for a task of env.taskset

    vf-eval toolgym-verifiers --env.taskset.env-id toolgym/PythonMath-v0 -m MODEL --client.base-url URL

The environment answers as the user of a chat: what its tools returned is the next user message, and calls are written
in the text, in the Hermes format. The model is asked through verifiers' interception, so that its traces hold what
its trainers need.

The interface is that of verifiers 0.4 (PrimeIntellect-ai/verifiers, `verifiers/v1`). It finds plugins as top-level
modules: `toolgym_verifiers` exports the classes from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import httpx
from pydantic import Field

from ...tools.errors import InputError
from ..env import ToolEnv
from ..episode import Action, Step, StopReason
from ..registration import make_env
from .common import all_tasks, as_environment, in_chat, need, written

need("verifiers", "verifiers")

import verifiers.v1 as vf  # noqa: E402
from verifiers.v1.dialects.chat import message_to_wire  # noqa: E402

PLUGIN = "toolgym_verifiers"
"""The name under which verifiers imports the classes."""


class ToolgymTasksetConfig(vf.TasksetConfig):  # type: ignore[misc]
    """Which environment, and how it is made."""

    env_id: str = ""
    """Id of the environment, as for `make_env`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the environment."""
    seed: int = 0
    """Seed of the tools' sessions."""


class ToolgymTaskData(vf.TaskData):  # type: ignore[misc]
    """A task: its id and prompt, and what the model never sees."""

    info: dict[str, Any] = Field(default_factory=dict)
    """The question and the accepted answers."""


class ToolgymTask(vf.Task[ToolgymTaskData]):  # type: ignore[misc]
    """A task of an environment; the environment itself judges the episode."""


class ToolgymTaskset(vf.Taskset[ToolgymTask, ToolgymTasksetConfig]):  # type: ignore[misc]
    """The tasks of an environment."""

    @cached_property
    def source(self) -> ToolEnv:
        """The environment whose tasks these are.

        Raises:
            InputError: If there is no such environment, or it cannot be played as a chat.
        """
        if not self.config.env_id:
            raise InputError("name the environment: --env.taskset.env-id toolgym/PythonMath-v0")
        return in_chat(make_env(self.config.env_id, **self.config.options), "verifiers")

    def load(self) -> Iterator[ToolgymTask]:
        """The tasks, in their order."""
        functions = [function for tool in self.source.tools for function in tool.functions]
        for task in all_tasks(self.source):
            prompt = self.source.action_format.messages(task, functions)
            info = {"question": task.question, "answers": list(task.answers)}
            yield ToolgymTask(ToolgymTaskData(id=task.id, prompt=prompt, info=info), self.config.task)


class ToolgymEnvConfig(vf.EnvConfig):  # type: ignore[misc]
    """The one seat: an agent that only chats, in a process of this machine."""

    agent: vf.AgentConfig = vf.AgentConfig(runtime=vf.SubprocessConfig())


class ToolgymVerifiersEnv(vf.Env[ToolgymEnvConfig]):  # type: ignore[misc]
    """Plays an environment with verifiers' agent: the agent acts, the environment answers as its user.

    The environment's reward is the trace's reward; its score and its reward terms are metrics, the stop reason and the
    answer are in the trace's `info`. A tool that is unavailable and a model that cannot be asked leave the episode
    without a reward, as an error of verifiers.
    """

    async def run(self, task: ToolgymTask, agents: Any) -> None:
        """One episode."""
        env = self.taskset.source.spawn()
        try:
            options = {"task_id": task.data.id}
            await asyncio.to_thread(env.reset, seed=self.taskset.config.seed, options=options)
            async with agents.agent.interaction(task) as interaction:
                end = await _play(env, interaction)
                if end is not None:
                    _, reward, _, _, info = end
                    interaction.trace.record_reward("reward", reward)
                    interaction.trace.record_metrics({**info["reward_terms"], "score": info["score"]})
                    interaction.trace.info.update({"stop_reason": info["stop_reason"], "answer": info["answer"]})
        finally:
            env.close()


class ChatHarness(vf.Harness[vf.HarnessConfig]):  # type: ignore[misc]
    """Asks the model for one message in every turn; it needs no program of its own."""

    APPENDS_SYSTEM_PROMPT = True
    SUPPORTS_RESUME = True
    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(
        self,
        ctx: vf.ModelContext,
        trace: vf.Trace,
        runtime: vf.Runtime,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: vf.TaskData,
    ) -> vf.ProgramResult:
        """One model call on the conversation so far."""
        system, prompt = self.resolve_prompt(data)
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else map(message_to_wire, prompt)
        opening = [{"role": "system", "content": system}] if system else []
        body = {"model": ctx.model, "messages": [*opening, *messages]}
        # No time limit here: verifiers has its own for the turn, and for the call to the model behind this endpoint.
        async with httpx.AsyncClient(timeout=None) as client:
            headers = {"Authorization": f"Bearer {secret}"}
            (await client.post(f"{endpoint}/chat/completions", json=body, headers=headers)).raise_for_status()
        return vf.ProgramResult(exit_code=0, stdout="", stderr="")


def verifiers_environment(env: str | ToolEnv, *, seed: int = 0, **options: Any) -> ToolgymVerifiersEnv:
    """An environment as verifiers runs it.

    Args:
        env: An environment or its id. An environment that exists already lives in this process alone; workers of
            verifiers make theirs from an id.
        seed: Seed of the tools' sessions.
        **options: Arguments of the environment, for an id.

    Raises:
        InputError: If the environment cannot be played as a chat: a reward pays for the marks of another format.
    """
    name = env if isinstance(env, str) else type(env).__name__
    taskset = ToolgymTasksetConfig(id=PLUGIN, env_id=name, options=options, seed=seed)
    made = ToolgymVerifiersEnv(ToolgymEnvConfig(taskset=taskset))
    made.taskset.source = in_chat(as_environment(env, options), "verifiers")
    return made


async def _play(env: ToolEnv, interaction: vf.Interaction) -> Step | None:
    """Plays to the end; returns the last step, or None if the machinery failed."""
    trace = interaction.trace
    segment = await interaction.turn()
    while not segment.terminated:
        message = next(m for m in reversed(segment.messages) if m.role == "assistant")
        cut_off = trace.calls[-1].finish_reason == "length"
        action = Action(written(message.model_dump()), "length" if cut_off else "eos")
        step: Step = await asyncio.to_thread(env.step, action)
        _, _, terminated, truncated, info = step
        if terminated or truncated:
            return step
        segment = await interaction.turn(info["messages"])
    if trace.errors:
        return None
    if trace.is_timeout:
        return env.truncate(StopReason.WALL_TIME)
    return env.truncate(StopReason.MAX_TURNS if trace.stop_condition == "max_turns" else StopReason.MAX_TOKENS)
