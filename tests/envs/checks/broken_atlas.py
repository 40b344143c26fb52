"""For each check, environments with the defect that it stops, and no other."""

from __future__ import annotations

import copy
import os
import random
import re
import time
from collections.abc import Callable
from dataclasses import replace

import gymnasium as gym
import numpy as np
from atlas import CAPITALS, AtlasEnv, AtlasSession, AtlasTool, made_by_id, right

from toolgym.envs import Limits, RewardResult, TaskSet, ToolEnv
from toolgym.envs.formats.search_r1 import SearchR1Format
from toolgym.tools import ToolResult, ToolStatus


class DoubledIds(TaskSet):
    """The tasks 5 and 6 have the same id."""

    def __getitem__(self, index):
        task = super().__getitem__(index)
        return replace(task, id="capital-6") if index == 5 else task

    def __iter__(self):
        return (self[index] for index in range(len(self)))


def task_ids():
    return AtlasEnv(DoubledIds(AtlasEnv().tasks))


class ForgetfulTasks(TaskSet):
    """A task is another thing each time it is read."""

    read = 0

    def __getitem__(self, index):
        self.read += 1
        return replace(super().__getitem__(index), metadata={**super().__getitem__(index).metadata, "read": self.read})


def task_ids_read_twice():
    return AtlasEnv(ForgetfulTasks(AtlasEnv().tasks))


class IgnoresOptions(AtlasEnv):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)


class Mute(SearchR1Format):
    def full_text(self, task, functions):
        return "Answer the question.\n"


class MutePrompt(AtlasEnv):
    format_type = Mute


class Hinting(SearchR1Format):
    def full_text(self, task, functions):
        return f"{super().full_text(task, functions)}(Hint: it begins like {task.answers[0]}.)\n"


class HintingPrompt(AtlasEnv):
    format_type = Hinting


class TellsInInfo(AtlasEnv):
    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed, options=options)
        return observation, {**info, "gold": list(self.episode.task.answers)}


def tells_in_the_question():
    tasks = [replace(task, question=f"{task.question} Answer: {task.answers[0]}.") for task in AtlasEnv().tasks]
    return AtlasEnv(TaskSet(tasks))


class TellsWhileItGoesOn(AtlasEnv):
    def step(self, action):
        *step, info = super().step(action)
        return (*step, {**info, "truth": self.episode.task.answers[0]})


class StepsAfterTheEnd(AtlasEnv):
    def step(self, action):
        if self.episode.stop_reason is not None:
            return "", 0.0, True, False, {}
        return super().step(action)


class BothFlags(AtlasEnv):
    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated or truncated, truncated, info


class TruncatesAsItLikes(AtlasEnv):
    def truncate(self, reason, action=None):
        *step, info = super().truncate(reason, action)
        said = info["stop_reason"]
        return (*step, {**info, "stop_reason": "max_tokens" if said == "wall_time" else said})


class Endless(AtlasEnv):
    limits = property(lambda self: Limits(max_turns=30), lambda self, value: None)


def doubled(episode):
    return RewardResult(2.0 * right(episode).reward)


class TooGenerous(AtlasEnv):
    def __init__(self):
        super().__init__(function=doubled)


class NumpyReward(AtlasEnv):
    def step(self, action):
        observation, reward, *flags, info = super().step(action)
        return observation, np.float64(reward), *flags, info


class RewardsEachTurn(AtlasEnv):
    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward if terminated or truncated else 0.1, terminated, truncated, info


class TupleInInfo(AtlasEnv):
    def step(self, action):
        *step, info = super().step(action)
        return (*step, {**info, "position": (1, 2)})


class NanInInfo(AtlasEnv):
    def step(self, action):
        *step, info = super().step(action)
        return (*step, {**info, "entropy": float("nan")})


class Surrogates(SearchR1Format):
    def render(self, calls, results, cut=lambda text: text):
        return f"{super().render(calls, results, cut)}\ud800"


class SurrogateObservation(AtlasEnv):
    format_type = Surrogates


class NarrowSpace(AtlasEnv):
    def __init__(self):
        super().__init__()
        self.action_space = gym.spaces.Text(20)


class Shouts(AtlasEnv):
    def step(self, action):
        observation, *step = super().step(action)
        return observation.upper(), *step


class RendersThePrompt(AtlasEnv):
    def render(self):
        return None if self.render_mode is None else self.episode.prompt


class ClosesOnce(AtlasEnv):
    closed = False

    def close(self):
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True
        super().close()


class IgnoresSeeds(AtlasEnv):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=int.from_bytes(os.urandom(3)), options=options)


class UnseededLater(AtlasEnv):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=int.from_bytes(os.urandom(3)) if seed is None else seed, options=options)


class AlwaysTheFirst(AtlasEnv):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed, options=options or {"task_id": self.tasks[0].id})


class CountsEpisodes(AtlasEnv):
    played = 0

    def reset(self, *, seed=None, options=None):
        self.played += 1
        return super().reset(seed=None if seed is None else seed + 100 * (self.played > 3), options=options)


class SharedDice(AtlasEnv):
    dice = random.Random(0)

    def reset(self, *, seed=None, options=None):
        type(self).dice = random.Random(seed)
        return super().reset(seed=seed, options=options)

    def step(self, action):
        *step, info = super().step(action)
        return (*step, {**info, "luck": self.dice.randint(1, 100)})


class SharedScratch(AtlasEnv):
    said = ""

    def step(self, action):
        type(self).said = f"{action} in {self.episode.task.id}"
        time.sleep(0.002)
        *step, info = super().step(action)
        return (*step, {**info, "said": type(self).said})


class CountsCopies(AtlasEnv):
    made = 0

    def __init__(self):
        super().__init__()
        self.number, CountsCopies.made = CountsCopies.made, CountsCopies.made + 1

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=None if seed is None else seed + 100 * self.number, options=options)


class HashesTexts(AtlasEnv):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=None if seed is None else seed + hash("capital") % 1000, options=options)


class SeedsTheWorld(AtlasEnv):
    def reset(self, *, seed=None, options=None):
        random.seed(seed)
        return super().reset(seed=seed, options=options)


class SeedsNumpy(AtlasEnv):
    def reset(self, *, seed=None, options=None):
        np.random.seed(seed)
        return super().reset(seed=seed, options=options)


class SpawnsItself(AtlasEnv):
    def spawn(self):
        return copy.copy(self)


class ForksItself(AtlasEnv):
    def fork(self):
        return copy.copy(self)


class Sharing(AtlasSession):
    def fork(self):
        return self


class SharingTool(AtlasTool):
    def open(self, seed=0):
        return Sharing()


class ForksShareTheTool(AtlasEnv):
    tool_type = SharingTool


class Amnesiac(AtlasSession):
    def snapshot(self):
        return b"0"


class AmnesiacTool(AtlasTool):
    def open(self, seed=0):
        return Amnesiac()


class SnapshotsWithoutTheTool(AtlasEnv):
    tool_type = AmnesiacTool


class HoldsALambda(AtlasEnv):
    def __init__(self):
        super().__init__()
        self.hook = lambda: None


class StrangeRoles(SearchR1Format):
    def full_messages(self, task, functions):
        return [{"role": "human", "content": self.full_text(task, functions)}]


class StrangeMessages(AtlasEnv):
    format_type = StrangeRoles


class DatedSession(AtlasSession):
    def call(self, call):
        if "year" in call.arguments:
            call.arguments["year"].strip()
        return super().call(call)


class DatedTool(AtlasTool):
    def open(self, seed=0):
        return DatedSession()


class LyingSchema(AtlasEnv):
    tool_type = DatedTool


class DeafSession(AtlasSession):
    def call(self, call):
        self.asked += 1
        return ToolResult(ToolStatus.OK, f"All capitals: {CAPITALS}")


class DeafTool(AtlasTool):
    def open(self, seed=0):
        return DeafSession()


class NeedlessArgument(AtlasEnv):
    tool_type = DeafTool


class RefusingSession(AtlasSession):
    def call(self, call):
        if "year" in call.arguments:
            return ToolResult(ToolStatus.BAD_ARGUMENTS, "year is not supported")
        return super().call(call)


class RefusingTool(AtlasTool):
    def open(self, seed=0):
        return RefusingSession()


class RefusesWhatItDeclares(AtlasEnv):
    tool_type = RefusingTool


class UnfinishedSession(AtlasSession):
    def call(self, call):
        if "year" in call.arguments:
            return ToolResult(ToolStatus.ERROR, "years are not supported yet")
        return super().call(call)


class UnfinishedTool(AtlasTool):
    def open(self, seed=0):
        return UnfinishedSession()


class DeclaresWhatItHasNot(AtlasEnv):
    tool_type = UnfinishedTool


class EchoSession(AtlasSession):
    def find(self, query):
        return super().find(query) if query in CAPITALS else f"no country {query}"


class EchoTool(AtlasTool):
    max_output_characters = 10**9

    def open(self, seed=0):
        return EchoSession()


class Unbounded(AtlasEnv):
    tool_type = EchoTool


class CountsBytes(AtlasEnv):
    def step(self, action):
        assert len(action.encode()) >= 0
        return super().step(action)


class Quadratic(AtlasEnv):
    def step(self, action):
        re.findall(r"<answer>(.*?)</answer>", action, re.DOTALL)
        return super().step(action)


class RejectsOneAnswer(AtlasEnv):
    def score(self, episode):
        return super().score(episode) * (episode.task.id != "capital-3")


def least(episode):
    return RewardResult(1.0 - right(episode).reward if episode.answer else 0.0)


class PaysForWrongAnswers(AtlasEnv):
    def __init__(self):
        super().__init__(function=least)


class JudgesOnce(AtlasEnv):
    def score(self, episode):
        again = getattr(episode, "judged", False)
        episode.judged = True
        return 0.0 if again else super().score(episode)


class Credulous(SearchR1Format):
    observation_marks = ()


class BelievesTheAgent(AtlasEnv):
    format_type = Credulous


BROKEN: dict[str, tuple[Callable[[], ToolEnv], ...]] = {
    "task_ids": (task_ids, task_ids_read_twice),
    "task_by_id": (IgnoresOptions,),
    "prompt_asks": (MutePrompt,),
    "answers_are_not_told": (HintingPrompt, TellsInInfo, TellsWhileItGoesOn, tells_in_the_question),
    "order_of_calls": (StepsAfterTheEnd,),
    "endings": (BothFlags, TruncatesAsItLikes),
    "budgets": (Endless,),
    "rewards": (TooGenerous, NumpyReward, RewardsEachTurn),
    "info_is_json": (TupleInInfo, NanInInfo),
    "observations_are_text": (SurrogateObservation, NarrowSpace),
    "record_is_complete": (Shouts,),
    "render_is_the_transcript": (RendersThePrompt,),
    "double_close": (ClosesOnce,),
    "same_seed_alone": (IgnoresSeeds, UnseededLater),
    "seeds_differ": (AlwaysTheFirst,),
    "episodes_leave_nothing": (CountsEpisodes,),
    "same_seed_interleaved": (SharedDice,),
    "same_seed_on_threads": (SharedScratch,),
    "same_seed_in_a_vector": (lambda: made_by_id(CountsCopies),),
    "same_seed_in_another_process": (lambda: made_by_id(HashesTexts),),
    "global_random_state": (SeedsTheWorld, SeedsNumpy),
    "spawn_shares_no_episode": (SpawnsItself,),
    "fork": (ForksItself, ForksShareTheTool),
    "snapshot": (SnapshotsWithoutTheTool,),
    "pickling": (HoldsALambda,),
    "messages_and_tools_are_openai": (StrangeMessages,),
    "schemas_against_execution": (LyingSchema, NeedlessArgument, RefusesWhatItDeclares, DeclaresWhatItHasNot),
    "observations_are_bounded": (Unbounded,),
    "parser_fuzz": (CountsBytes,),
    "parse_time": (Quadratic,),
    "oracle": (RejectsOneAnswer, PaysForWrongAnswers),
    "verdicts_repeat": (JudgesOnce,),
    "forged_observations_earn_nothing": (BelievesTheAgent,),
}
"""By check: environments with the defect that it stops, and no other."""
