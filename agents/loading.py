"""Who acts where: agents and environments from what a person wrote on a command line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from ..envs.choices import pick_reward
from ..envs.env import ScriptedPolicy, ToolEnv
from ..envs.registration import make_env, make_scoring_env, takes_option
from ..envs.task import TaskSet
from ..tools.errors import InputError
from .encoding import Codec, TextCodec
from .engines.base import InferenceEngine

EngineName = Literal["transformers", "vllm"]
VllmDtype = Literal["float32", "bfloat16"]
SCRIPTED = ("oracle", "demonstrator")


@dataclass(frozen=True)
class AgentChoice:
    """Which agent to load; exactly one of `agent`, `endpoint` and a local `model`.

    Attributes:
        agent: A scripted policy of the environment: `oracle` or `demonstrator`.
        model: A checkpoint folder or Hugging Face name; with an endpoint, the served model's name.
        endpoint: Base URL of an OpenAI-compatible server, such as `http://localhost:8000/v1`.
        engine: What runs a local model.
        device: Where it runs; `auto` takes CUDA if there is any.
        dtype: Of its weights.
        chat: Whether to use the chat template; None uses it when there is one.
        concurrency: Most requests in flight at an endpoint or in the vllm engine.
    """

    agent: str | None = None
    model: str | None = None
    endpoint: str | None = None
    engine: EngineName = "transformers"
    device: str = "auto"
    dtype: str = "auto"
    chat: bool | None = None
    concurrency: int = 64

    @property
    def label(self) -> str:
        """The agent's name for tables."""
        if self.agent is not None:
            return self.agent
        return f"{self.model} at {self.endpoint}" if self.endpoint else str(self.model)


def load_agent(choice: AgentChoice, env: ToolEnv) -> tuple[InferenceEngine, Codec]:
    """Makes the engine that acts and the codec that goes with it.

    Args:
        choice: Which agent.
        env: The environment it will act in; scripted policies belong to it.

    Raises:
        InputError: If none or several agents are chosen, or the chosen one cannot be loaded.
    """
    if choice.agent is not None and (choice.model or choice.endpoint):
        raise InputError("--agent excludes --model and --endpoint; give one of them")
    if choice.endpoint is not None:
        return _served(choice)
    if choice.agent is not None:
        return _scripted(choice.agent, env)
    if choice.model is None:
        raise InputError("say who acts: --agent oracle, --model FOLDER_OR_NAME, or --endpoint URL --model NAME")
    return _local(choice, choice.model)


def scripted_policy(name: str, env: ToolEnv) -> ScriptedPolicy:
    """A scripted policy of an environment by name.

    Raises:
        InputError: If the environment has none of that name.
    """
    if name not in SCRIPTED or not hasattr(env, name):
        known = [one for one in SCRIPTED if hasattr(env, one)]
        raise InputError(f"{type(env).__name__} has no scripted agent {name!r}; it has {', '.join(known)}")
    policy: ScriptedPolicy = getattr(env, name)()
    return policy


def _scripted(name: str, env: ToolEnv) -> tuple[InferenceEngine, Codec]:
    from .engines.scripted import ScriptedEngine

    codec = TextCodec()
    return ScriptedEngine(scripted_policy(name, env), codec), codec


def _served(choice: AgentChoice) -> tuple[InferenceEngine, Codec]:
    from .engines.openai import OpenAIEngine

    if choice.endpoint is None or choice.model is None:
        raise InputError("--endpoint needs --model, the name under which the server knows the model")
    return OpenAIEngine(choice.endpoint, choice.model, concurrency=choice.concurrency), TextCodec()


def _local(choice: AgentChoice, model: str) -> tuple[InferenceEngine, Codec]:
    _check_folder(model)
    try:
        import torch
    except ImportError as error:
        raise InputError("running a model needs torch; install it with: pip install 'toolgym[train]'") from error
    codec = Codec.from_folder(model, choice.chat)
    cuda = torch.cuda.is_available()
    device = ("cuda" if cuda else "cpu") if choice.device == "auto" else choice.device
    dtype = ("bfloat16" if device.startswith("cuda") else "float32") if choice.dtype == "auto" else choice.dtype
    if choice.engine == "vllm":
        from .engines.vllm import VllmEngine

        if dtype not in ("float32", "bfloat16"):
            raise InputError(f"the vllm engine takes dtype float32 or bfloat16, not {dtype!r}")
        return VllmEngine(model, codec, dtype=cast(VllmDtype, dtype), slots=choice.concurrency, device=device), codec
    from .engines.transformers import TransformersEngine

    return TransformersEngine.from_pretrained(model, codec, device, dtype), codec


def _check_folder(model: str) -> None:
    """A text that looks like a path must be one: nothing is asked of the network for a mistyped folder."""
    path = Path(model)
    looks_like_path = model.startswith((".", "/", "~")) or model.count("/") > 1 or model.endswith("/")
    if looks_like_path and not path.is_dir():
        raise InputError(f"{model}: there is no such folder; give a checkpoint folder or a Hugging Face name")


def engine_name(name: str) -> EngineName:
    """The name of an engine for local models.

    Raises:
        InputError: If there is none of that name.
    """
    if name not in get_args(EngineName):
        raise InputError(f"there is no engine {name!r}; it is {' or '.join(get_args(EngineName))}")
    return cast(EngineName, name)


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, as opposed to None."""
    return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True)
class EnvironmentSetup:
    """An environment as a person describes it: JSON-able where the person's options are.

    Attributes:
        env_id: Its id.
        options: Its options.
        limits: Bounds that differ from the environment's own.
        tools: Timeouts and policies of tools, by function and setting.
    """

    env_id: str
    options: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def make(self) -> ToolEnv:
        """The environment.

        Raises:
            InputError: If the id, an option, a bound or a tool's setting is unknown.
        """
        env = make_env(self.env_id, **self.options)
        known = [field.name for field in fields(env.limits)]
        for name in self.limits:
            if name not in known:
                raise InputError(f"limits has no {name!r}; it has {', '.join(known)}")
        env.limits = replace(env.limits, **self.limits)
        for function, settings in self.tools.items():
            env.configure_tool(function, settings)
        return env

    def scorer(self, tasks: TaskSet | None, reward: str | None = None) -> ToolEnv:
        """The environment for rewards and scores alone (`make_scoring_env`).

        Args:
            tasks: The tasks of the episodes that are to be scored; None for an environment with its own.
            reward: Takes the place of its reward.

        Raises:
            InputError: If there is no such reward, or as for `make`.
        """
        by_name = reward is not None and takes_option(self.env_id, "reward")
        options = {**self.options, **({"reward": reward} if by_name else {})}
        env = make_env(self.env_id, **options) if tasks is None else make_scoring_env(self.env_id, tasks, **options)
        if reward is not None and not by_name:
            env.reward_function = pick_reward(reward)
        return env

    def with_limits(self, **limits: Any) -> EnvironmentSetup:
        """The same with these bounds."""
        return replace(self, limits={**self.limits, **limits})


def environment_setup(
    env_id: str,
    options: Mapping[str, Any],
    limits: Mapping[str, Any],
    texts: Sequence[str] | None = None,
    split: str | None = None,
) -> EnvironmentSetup:
    """Reads what a person wrote.

    Args:
        env_id: Its id.
        options: Its options.
        limits: Bounds that differ from the environment's own.
        texts: Further options as `key=value`, bounds as `limits.key=value`, and timeouts and policies of tools as
            `tools.function.key=value`; they come first. Values are TOML, a bare word is a text.
        split: Split to take where the environment knows splits and the options name none.

    Raises:
        InputError: If a text is no `key=value`.
    """
    arguments, bounds, tools = dict(options), dict(limits), dict[str, dict[str, Any]]()
    for key, value in map(_key_and_value, texts or ()):
        if key.startswith("tools."):
            function, _, name = key.removeprefix("tools.").rpartition(".")
            tools.setdefault(function, {})[name] = value
        else:
            (bounds if key.startswith("limits.") else arguments)[key.removeprefix("limits.")] = value
    if split is not None and takes_option(env_id, "split"):
        arguments.setdefault("split", split)
    return EnvironmentSetup(env_id, arguments, bounds, tools)


def load_environment(
    env_id: str, options: Mapping[str, Any], limits: Mapping[str, Any], texts: Sequence[str] | None = None
) -> ToolEnv:
    """Makes an environment from what a person wrote: see `environment_setup`.

    Raises:
        InputError: If a text is no `key=value`, or the id, an option, a bound or a tool's setting is unknown.
    """
    return environment_setup(env_id, options, limits, texts).make()


def _key_and_value(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise InputError(f"--option {text!r} must look like KEY=VALUE")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, None if value in ("none", "null") else value


def retrieval_recall(env: ToolEnv, wanted: bool | None, limit: int | None = None) -> dict[str, float]:
    """Recall of the environment's retriever.

    Args:
        env: The environment.
        wanted: True insists, False skips it, None measures it where the gold passages are known.
        limit: Only the first tasks.

    Raises:
        InputError: If it is wanted and cannot be measured.
    """
    measure = getattr(env, "retrieval_recall", None)
    known = measure is not None and any(task.metadata.get("gold_passages") for task in env.tasks)
    if wanted is False or (wanted is None and not known):
        return {}
    if measure is None:
        raise InputError(f"{type(env).__name__} has no retriever whose recall could be measured; leave --recall out")
    recall: dict[str, float] = measure(limit=limit)
    return recall
