"""Environments that tiny random models can be trained on in seconds; loaded by conftest.py and by subprocesses."""

from __future__ import annotations

import uuid

import toolgym
from toolgym.envs.env import ToolEnv
from toolgym.envs.episode import ParsedAction, RewardResult, StopReason
from toolgym.envs.formats.base import ActionFormat
from toolgym.envs.limits import Limits
from toolgym.envs.reward import RewardFunction
from toolgym.envs.search_qa import SearchQAEnv
from toolgym.envs.task import Task, TaskSet
from toolgym.tools.base import FunctionSchema, StatelessSession, Tool, ToolCall, ToolResult, ToolSession, ToolStatus


class WholeText(ActionFormat):
    """Whatever the agent writes is its answer."""

    name = "whole_text"

    def messages(self, task, functions):
        return [{"role": "user", "content": task.question}]

    def text(self, task, functions):
        return task.question

    def parse(self, action, functions=()):
        return ParsedAction(str(action), answer=str(action))

    def render(self, calls, results, cut=None):
        return ""

    def write_call(self, thought, call, turn):
        raise NotImplementedError

    def write_answer(self, thought, answer, turn):
        return answer


class Letters(ToolEnv):
    """Answer every question with its letter: reward 1 for an answer that is that letter alone, else 0."""

    def __init__(self, questions=("a", "b"), split="train", limits=None):
        tasks = TaskSet(Task(f"{split}-{letter}", f"{letter}?", (letter,)) for letter in questions)
        reward = RewardFunction(
            "letter", lambda episode: RewardResult(0.0 if episode.answer is None else self.score(episode)), minimum=-2.0
        )
        super().__init__(tasks, action_format=WholeText(), reward=reward, limits=limits)

    def score(self, episode):
        return float(episode.answer in episode.task.answers)

    def oracle(self):
        return lambda episode: episode.task.answers[0]


class Case(Letters):
    """Upper case is asked for, or lower case: a random token is right about once in twelve."""

    def __init__(self, split="train", limits=None):
        super().__init__(("U", "L"), split, limits)

    def score(self, episode):
        wanted = str.isupper if episode.task.answers[0] == "U" else str.islower
        return float(episode.answer.isascii() and wanted(episode.answer))


class DenseLetters(Letters):
    """A reward that hardly two answers share, so that every group teaches something."""

    def score(self, episode):
        return (sum(episode.answer.encode("utf-8", "replace")) % 97) / 97


class Trouble(DenseLetters):
    """The first episodes of the task `a` end badly: cut off for a reason, or lost with the machine.

    Copies of the environment share the count of what is still to go wrong.
    """

    def __init__(self, reason="max_calls", times=1, split="train", limits=None):
        super().__init__(split=split, limits=limits)
        self.reason, self.left = StopReason(reason), [times]

    def step(self, action):
        if self.left[0] > 0 and self.episode.task.id.endswith("-a"):
            self.left[0] -= 1
            if self.reason is StopReason.FAILED:
                raise OSError("the machine is gone")
            return self.truncate(self.reason, None)
        return super().step(action)


class DenseSearch(SearchQAEnv):
    """The search world with a reward that hardly two texts share, so that every group teaches something."""

    def __init__(self, **options):
        reward = RewardFunction("vowels", lambda episode: RewardResult(vowels(episode.response)))
        super().__init__(**options, reward=reward)


def shortest_first(episodes, results):
    """The shortest right answers of a group earn 2 in place of 1."""
    lengths = [
        len(episode.answer) if result.reward else None for episode, result in zip(episodes, results, strict=True)
    ]
    least = min((length for length in lengths if length is not None), default=None)
    return [
        RewardResult(2.0, {**result.terms, "shortest": 1.0}) if length is not None and length == least else result
        for length, result in zip(lengths, results, strict=True)
    ]


class Short(Letters):
    """Any answer that begins as asked is right; within a group, the shortest such answer earns most."""

    def __init__(self, begins=("x", "y"), split="train", limits=None):
        super().__init__(begins, split, limits)
        self.reward_function = RewardFunction(
            "short",
            lambda episode: RewardResult(self.score(episode), {"right": self.score(episode)}),
            minimum=-1.0,
            maximum=2.0,
            group=shortest_first,
        )

    def score(self, episode):
        return float((episode.answer or "").startswith(episode.task.answers))


class Asking(WholeText):
    """Whatever the agent writes is a question, to one tool or the other; in the last turn, its answer."""

    name = "asking"

    def parse(self, action, functions=()):
        name = "rumour" if len(action) % 2 else "notebook"
        return ParsedAction(str(action), calls=(ToolCall(name, {"text": str(action)}),))

    def parse_final(self, action, functions=()):
        return ParsedAction(str(action), answer=str(action))

    def render(self, calls, results, cut=None):
        return f" [{' '.join(result.output for result in results)}] "


class Rumour(Tool):
    """Says something else every time, and cannot be reached once `reachable` is False."""

    name, timeout, reachable = "rumour", None, True

    @property
    def functions(self):
        parameters = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
        return (FunctionSchema(self.name, "Says something.", parameters),)

    def open(self, seed=0):
        if not Rumour.reachable:
            raise AssertionError("nobody may ask")
        return RumourSession()


class RumourSession(StatelessSession):
    def call(self, call):
        return ToolResult(ToolStatus.OK, uuid.uuid4().hex[:8])


class Notebook(Rumour):
    """Keeps what it is told, and counts it."""

    name = "notebook"

    def open(self, seed=0):
        super().open(seed)
        return NotebookSession([])


class NotebookSession(ToolSession):
    def __init__(self, notes):
        self.notes = notes

    def call(self, call):
        self.notes.append(call.arguments["text"])
        return ToolResult(ToolStatus.OK, f"{len(self.notes)} notes, {sum(map(len, self.notes))} long")

    def fork(self):
        return NotebookSession(list(self.notes))

    def snapshot(self):
        return repr(self.notes).encode()

    def restore(self, snapshot):
        raise NotImplementedError


class Rumours(ToolEnv):
    """Ask around and answer; the reward depends on every letter that was read and written."""

    def __init__(self, split="train", limits=None):
        tasks = TaskSet(Task(f"{split}-{letter}", f"{letter}?", (letter,)) for letter in "abcd")
        reward = RewardFunction("letters", lambda episode: RewardResult(sum(map(ord, episode.response)) % 101 / 100))
        limits = limits or Limits(max_turns=3, last_turn_calls=False)
        super().__init__(tasks, [Rumour(), Notebook()], action_format=Asking(), reward=reward, limits=limits)

    def score(self, episode):
        return float(len(episode.answer) % 2)

    def oracle(self):
        return lambda episode: "abc"[: 1 + len(episode.turns)]


def vowels(text: str) -> float:
    return sum(text.count(vowel) for vowel in "aeiou") / max(1, len(text))


toolgym.register("tests/Letters-v0", Letters)
for environment in (Case, DenseLetters, Trouble, DenseSearch, Rumours, Short):
    toolgym.register(f"tests/{environment.__name__}-v0", environment)
