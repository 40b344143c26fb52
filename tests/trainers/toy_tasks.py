"""Environments that tiny random models can be trained on in seconds; loaded by conftest.py and by subprocesses."""

from __future__ import annotations

import toolgym
from toolgym.envs.env import ToolEnv
from toolgym.envs.episode import ParsedAction, RewardResult
from toolgym.envs.formats.base import ActionFormat
from toolgym.envs.reward import RewardFunction
from toolgym.envs.search_qa import SearchQAEnv
from toolgym.envs.task import Task, TaskSet


class WholeText(ActionFormat):
    """Whatever the agent writes is its answer."""

    name = "whole_text"

    def messages(self, task, functions):
        return [{"role": "user", "content": task.question}]

    def text(self, task, functions):
        return task.question

    def parse(self, action):
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
        reward = RewardFunction("letter", lambda episode: RewardResult(self.score(episode)), minimum=-2.0)
        super().__init__(tasks, action_format=WholeText(), reward=reward, limits=limits)

    def score(self, episode):
        return float(episode.answer in episode.task.answers)

    def oracle(self):
        return lambda episode: episode.task.answers[0]


class DenseSearch(SearchQAEnv):
    """The search world with a reward that hardly two texts share, so that every group teaches something."""

    def __init__(self, **options):
        reward = RewardFunction("vowels", lambda episode: RewardResult(vowels(episode.response)))
        super().__init__(**options, reward=reward)


def vowels(text: str) -> float:
    return sum(text.count(vowel) for vowel in "aeiou") / max(1, len(text))


toolgym.register("tests/Letters-v0", Letters)
toolgym.register("tests/DenseSearch-v0", DenseSearch)
