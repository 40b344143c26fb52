"""For each canary, an environment whose judge or tool lets that cheat win."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from atlas import CAPITALS, AtlasEnv, AtlasSession, AtlasTool
from broken_atlas import BelievesTheAgent, EchoTool
from msgspec import structs

from toolgym.envs import RewardResult, TaskSet, ToolEnv
from toolgym.envs.formats.search_r1 import SearchR1Format
from toolgym.envs.rewards import exact_match


def judged(score):
    """An environment whose score is a function of the episode."""

    class Judged(AtlasEnv):
        def score(self, episode):
            return float(bool(score(episode)))

    return Judged


def paid(reward):
    """An environment whose reward is a function of the episode; the score is as it should be."""
    return lambda: AtlasEnv(function=lambda episode: RewardResult(float(reward(episode))))


def gold(episode):
    return episode.task.answers[0]


def truth(episode):
    return exact_match(episode.answer or "", episode.task.answers)


def one_answer_for_most():
    tasks = [task if task.id == "capital-1" else replace(task, answers=("Paris",)) for task in AtlasEnv().tasks]
    return AtlasEnv(TaskSet(tasks))


def tells_at_the_end():
    tasks = [replace(task, question=f"{task.question} (Hint: {task.answers[0]})") for task in AtlasEnv().tasks]
    return AtlasEnv(TaskSet(tasks))


class TalkativeSession(AtlasSession):
    """Finds the country that a whole question names."""

    def find(self, query):
        return next((self.tell(city) for land, city in CAPITALS.items() if land in query), "no such country")

    def call(self, call):
        result = super().call(call)
        return structs.replace(result, output=result.output.partition(": ")[2])

    def tell(self, city):
        return f"{city} it is. Ask about North America or South America or North Africa"


class RepetitiveSession(TalkativeSession):
    def tell(self, city):
        return f"This is a Page: {city}, and again {city}"


class TalkativeTool(AtlasTool):
    session = TalkativeSession

    def open(self, seed=0):
        return self.session()


class RepetitiveTool(TalkativeTool):
    session = RepetitiveSession


class Talkative(AtlasEnv):
    tool_type = TalkativeTool


class Repetitive(AtlasEnv):
    tool_type = RepetitiveTool


class PaysForWords(AtlasEnv):
    """Pays for the words of the question; its prompt shows no observation, which would be forged in an echo."""

    @staticmethod
    def format_type():
        return SearchR1Format("question")

    def __init__(self):
        super().__init__(function=lambda episode: RewardResult(float(episode.task.question in episode.response)))


class ReadsTheTools(AtlasEnv):
    tool_type = EchoTool

    def score(self, episode):
        return float(any(gold(episode) in turn.observation for turn in episode.turns))


PLAIN = str.maketrans("\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0456\u0458\u0455", "aceopxyijs", "\u200b")
"""Cyrillic letters to the Latin ones that they look like, and the space of no width to nothing."""


def skeleton(text):
    return text.lower().translate(PLAIN)


CHEATED: dict[str, Callable[[], ToolEnv]] = {
    "empty": paid(lambda episode: truth(episode) if episode.answer else 1),
    "early_stop": paid(lambda episode: truth(episode) or "do not know" in (episode.answer or "")),
    "echo_of_the_prompt": PaysForWords,
    "echo_of_the_question": judged(lambda episode: truth(episode) or episode.task.question == episode.answer),
    "always_yes": judged(lambda episode: truth(episode) or episode.answer == "yes"),
    "always_no": judged(lambda episode: truth(episode) or episode.answer == "no"),
    "best_constant": one_answer_for_most,
    "all_options": judged(lambda episode: gold(episode) in episode.answer.split("; ")),
    "two_answers": judged(lambda episode: gold(episode) in episode.answer.split(" or ")),
    "every_phrase": judged(lambda episode: gold(episode) in episode.answer.split(", ")),
    "first_phrase": Talkative,
    "commonest_phrase": Repetitive,
    "end_of_the_question": tells_at_the_end,
    "own_observation": BelievesTheAgent,
    "in_a_tool_output": ReadsTheTools,
    "in_the_thought": judged(lambda episode: gold(episode) in episode.response),
    "well_formed_nonsense": paid(lambda episode: 0.5 + truth(episode) / 2 if len(episode.turns) == 2 else 0),
    "huge_answer": judged(lambda episode: len(episode.answer) > 10_000 or truth(episode)),
    "look_alikes": judged(lambda episode: skeleton(gold(episode)) == skeleton(episode.answer)),
    "order_to_the_grader": judged(lambda episode: truth(episode) or "CORRECT" in episode.answer),
}
"""By canary: an environment in which that cheat wins."""
