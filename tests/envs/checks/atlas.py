"""A small environment with which nothing is wrong."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from toolgym.envs import RewardFunction, RewardResult, Task, TaskSet, ToolEnv
from toolgym.envs.formats.search_r1 import SearchR1Format
from toolgym.envs.rewards import exact_match
from toolgym.tools import FunctionSchema, Tool, ToolCall, ToolResult, ToolSession, ToolStatus

CAPITALS = {
    "France": "Paris",
    "Norway": "Oslo",
    "Kenya": "Nairobi",
    "Peru": "Lima",
    "Japan": "Tokyo",
    "Cuba": "Havana",
    "Nepal": "Kathmandu",
    "Ghana": "Accra",
    "Iraq": "Baghdad",
    "Latvia": "Riga",
    "Malta": "Valletta",
    "Chile": "Santiago",
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "year": {"type": "integer"}},
    "required": ["query"],
    "additionalProperties": False,
}


class AtlasTool(Tool):
    """Tells the capital of a country by its exact name, and how often it was asked."""

    timeout = None

    @property
    def functions(self):
        return (FunctionSchema("search", "Opens the page of a country.", SCHEMA),)

    def open(self, seed=0):
        return AtlasSession()


class AtlasSession(ToolSession):
    def __init__(self, asked=0):
        self.asked = asked

    def find(self, query):
        return f"the capital is {CAPITALS[query]}" if query in CAPITALS else "no such country"

    def call(self, call: ToolCall) -> ToolResult:
        self.asked += 1
        return ToolResult(ToolStatus.OK, f"page {self.asked}: {self.find(call.arguments['query'])}")

    def fork(self):
        return type(self)(self.asked)

    def snapshot(self):
        return str(self.asked).encode()

    def restore(self, snapshot):
        self.asked = int(snapshot)


def right(episode):
    return RewardResult(float(exact_match(episode.answer or "", episode.task.answers)))


class AtlasEnv(ToolEnv):
    """Asks for capitals. Nothing is wrong with it."""

    tool_type = AtlasTool
    format_type = SearchR1Format

    def __init__(self, tasks=None, function=right, maximum=1.0):
        tasks = tasks or TaskSet(
            (
                Task(f"capital-{i}", f"Name the capital of {land}.", (city,), {"land": land})
                for i, (land, city) in enumerate(CAPITALS.items())
            ),
            "capitals",
        )
        reward = RewardFunction("capital", function, maximum=maximum)
        super().__init__(tasks, [self.tool_type()], action_format=self.format_type(), reward=reward)

    def oracle(self):
        def act(episode):
            turn, task = len(episode.turns) + 1, episode.task
            if turn == 1:
                return self.action_format.write_call("I look.", ToolCall("search", {"query": task.metadata["land"]}), 1)
            return self.action_format.write_answer("I know.", task.answers[0], turn)

        return act


def made_by_id(cls, **options):
    """An environment with a spec, as `make_env` gives it, without an entry in the registry."""
    env = cls(**options)
    env.spec = gym.envs.registration.EnvSpec(f"broken/{cls.__name__}-v0", entry_point=cls, kwargs=options)
    return env
