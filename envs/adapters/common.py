"""What the adapters share: environments by id, chats as the wire language, and messages as one text."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

from ...tools.errors import InputError
from ..choices import pick_format
from ..env import ToolEnv
from ..episode import Message
from ..registration import make_env
from ..task import TaskSet


def as_environment(env: str | ToolEnv, options: dict[str, Any]) -> ToolEnv:
    """The environment that is meant.

    Args:
        env: An id for `make_env`, or an environment.
        options: Arguments of the environment; only with an id.

    Raises:
        InputError: If the id or an option is unknown, or options come with an environment that exists already.
    """
    if isinstance(env, str):
        return make_env(env, **options)
    if options:
        raise InputError(
            f"{', '.join(sorted(options))}: options go with an id; this {type(env).__name__} is made already"
        )
    return env


def all_tasks(env: ToolEnv) -> TaskSet:
    """The tasks of an environment, for a framework that wants them all in a list.

    Raises:
        InputError: If they never run out.
    """
    if env.tasks.endless:
        raise InputError(f"the tasks of {env.tasks.name} never run out; make the environment with size=N")
    return env.tasks


def need(package: str, extra: str) -> None:
    """Checks that a package of another framework is there.

    Raises:
        InputError: If it is not installed.
    """
    if find_spec(package) is None:
        raise InputError(f"{package} is not installed; install it with: pip install 'toolgym[{extra}]'")


def in_chat(env: ToolEnv, framework: str) -> ToolEnv:
    """The environment with actions that are whole chat messages.

    An environment without tools keeps a format that needs no stop strings; all others are played in the Hermes format,
    as the chat templates of Qwen and others write it.

    Args:
        env: The environment, which stays as it is.
        framework: Who plays it, for the error.

    Raises:
        InputError: If the reward pays for the marks of the format that would be replaced.
    """
    wire = env.action_format
    if wire.name == "hermes" or (not env.tools and not wire.stop):
        return env
    reward = env.reward_function
    if reward.wrong_ceiling > reward.minimum:
        raise InputError(
            f"the reward {reward.name!r} pays for the form of {wire.name!r}, but {framework} plays a chat and writes "
            "calls in the Hermes format; choose a reward of the answer alone, such as reward='f1'"
        )
    env = env.spawn()
    env.action_format = pick_format("hermes", "full")
    return env


def written(message: Message) -> str:
    """An assistant message as its model wrote it: thought, text and calls, which a server or trainer took apart."""
    thought, said = message.get("reasoning_content"), message.get("content") or ""
    parts = [f"<think>\n{thought}\n</think>\n"] if thought else []
    parts += [said] if said else []
    for call in message.get("tool_calls") or ():
        body = json.dumps({key: call["function"].get(key) for key in ("name", "arguments")}, ensure_ascii=False)
        parts.append(f"<tool_call>\n{body}\n</tool_call>")
    return "\n".join(parts)
