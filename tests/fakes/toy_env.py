"""A small environment whose tool says what it is told to, and engines that replay or record."""

from __future__ import annotations

import time

from toolgym.agents.engines.base import Generation, InferenceEngine
from toolgym.agents.engines.scripted import ScriptedEngine
from toolgym.envs.env import ToolEnv
from toolgym.envs.episode import RewardResult
from toolgym.envs.formats import action_format
from toolgym.envs.reward import RewardFunction
from toolgym.envs.task import Task, TaskSet
from toolgym.tools.base import FunctionSchema, StatelessSession, Tool, ToolResult, ToolStatus

ARGUMENTS = {
    "react": {"search": "entity", "lookup": "keyword"},
    "code": {"python": "code"},
    "torl": {"python": "code"},
    "simpletir": {"python": "code"},
}
"""Functions of the formats and their argument; all others have `search(query)`."""


class SayTool(Tool):
    """Functions that return a fixed text, after a while if so asked."""

    timeout = None

    def __init__(self, arguments, says="nothing found", seconds=0.0):
        self.arguments, self.says, self.seconds = arguments, says, seconds

    @property
    def functions(self):
        return [
            FunctionSchema(
                name,
                "Says something.",
                {
                    "type": "object",
                    "properties": {argument: {"type": "string"}},
                    "required": [argument],
                },
            )
            for name, argument in self.arguments.items()
        ]

    def open(self, seed=0):
        return _SaySession(self)


class _SaySession(StatelessSession):
    def __init__(self, tool):
        self.tool = tool

    def call(self, call):
        if self.tool.seconds:
            time.sleep(self.tool.seconds)
        says = self.tool.says(call) if callable(self.tool.says) else self.tool.says
        return ToolResult(ToolStatus.OK, says)


class ToyEnv(ToolEnv):
    """Asks questions; `broken` maps task ids to how many of their episodes raise in `step`."""

    def __init__(self, wire="research", questions=("Where?",), says="nothing found", *, seconds=0.0, limits=None, **kw):
        arguments = ARGUMENTS.get(wire, {"search": "query"})
        tasks = TaskSet(Task(f"t{i}", question, ("right",)) for i, question in enumerate(questions))
        reward = RewardFunction("exact", lambda episode: RewardResult(float(episode.answer == "right")))
        self.broken = dict(kw.pop("broken", {}))
        prompt = kw.pop("prompt", "question")
        super().__init__(
            tasks,
            [] if wire == "think_answer" else [SayTool(arguments, says, seconds)],
            action_format=action_format(wire, prompt),
            reward=reward,
            limits=limits,
        )

    def score(self, episode):
        return float(episode.answer in episode.task.answers)

    def step(self, action):
        task_id = self.episode.task.id
        if self.broken.get(task_id, 0) > 0:
            self.broken[task_id] -= 1
            raise OSError(f"the machine of {task_id} is gone")
        return super().step(action)


class SpyEngine(InferenceEngine):
    """Hands everything to another engine and keeps what passed."""

    def __init__(self, inner):
        self.inner, self.requests, self.generations, self.released = inner, [], {}, []
        self.exact_tokens = inner.exact_tokens
        self.max_context = inner.max_context

    @property
    def statistics(self):
        return self.inner.statistics

    def submit(self, request):
        self.requests.append(request)
        self.inner.submit(request)

    def step(self):
        done = self.inner.step()
        self.generations.update({generation.request_id: generation for generation in done})
        return done

    @property
    def pending(self):
        return self.inner.pending

    def release(self, session):
        self.released.append(session)
        self.inner.release(session)

    def load_weights(self, weights, version):
        self.inner.load_weights(weights, version)


class ReplayEngine(InferenceEngine):
    """Answers turn k of every episode with the k-th entry of a list of ids (or of what a function gives)."""

    exact_tokens = True

    def __init__(self, replies, *, seconds=0.0):
        super().__init__()
        self.replies, self.seconds, self.waiting = replies, seconds, []

    def submit(self, request):
        self.waiting.append(request)

    @property
    def pending(self):
        return len(self.waiting)

    def step(self):
        if self.seconds:
            time.sleep(self.seconds)
        done, self.waiting = self.waiting, []
        return [self._reply(request) for request in done]

    def _reply(self, request):
        reply = self.replies(request) if callable(self.replies) else self.replies[len(request.episode.turns)]
        if isinstance(reply, Generation):
            return reply
        ids, text, reason, *surplus = reply
        return Generation(request.id, tuple(ids), (-0.5,) * len(ids), text, reason, *surplus)


def scripted(texts, codec):
    """An engine that writes the same texts in every episode, one per turn."""
    return ScriptedEngine(lambda episode: texts[len(episode.turns)], codec)
