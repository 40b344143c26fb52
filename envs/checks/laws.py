"""What must hold after every step, whatever the agent wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ...tools.base import ToolStatus
from ..env import ToolEnv
from ..episode import Action, FormatFault, StopReason
from .base import shown
from .play import Moment

_FAULTS = frozenset(fault.value for fault in FormatFault)
_STATUSES = frozenset(status.value for status in ToolStatus)
_AT_THE_END = ("score", "stop_reason", "reward_terms", "answer")
_TOLERANCE = 1e-9


def broken_law(env: ToolEnv, moment: Moment) -> str | None:
    """The first law that does not hold after a step or a truncation; None where all do.

    Args:
        env: The environment, after the step.
        moment: What the step returned.
    """
    return (
        text_fault(moment.observation)
        or info_fault(moment.info)
        or ended_wrongly(env, moment)
        or record_fault(env, moment)
        or reward_fault(env, moment)
        or undeserved(env, moment)
    )


def text_fault(observation: Any) -> str | None:
    """Why an observation is no text that can be written down."""
    if not isinstance(observation, str):
        return f"the observation is {shown(observation)}, which is no text"
    try:
        observation.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"the observation is not valid UTF-8 ({error.reason} at {error.start})"
    return None


def info_fault(info: Any) -> str | None:
    """Why an info is not what JSON gives back."""
    if not isinstance(info, dict):
        return f"info is {shown(info)}, which is no dict"
    try:
        back = json.loads(json.dumps(info, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        return f"info cannot be written as JSON: {error}"
    # The answer is the agent's own text, in which JSON joins two surrogates to the character that they make up.
    changed = next((key for key in info if key != "answer" and (key not in back or back[key] != info[key])), None)
    return None if changed is None else f"JSON changes info[{changed!r}], which is {shown(info[changed])}"


def ended_wrongly(env: ToolEnv, moment: Moment) -> str | None:
    """What is wrong with the flags and the stop reason."""
    terminated, truncated, info, recorded = moment.terminated, moment.truncated, moment.info, env.episode.stop_reason
    if type(terminated) is not bool or type(truncated) is not bool:
        return f"terminated and truncated are {terminated!r} and {truncated!r}, not bools"
    if terminated and truncated:
        return "terminated and truncated are both True"
    if not moment.over:
        early = [key for key in _AT_THE_END if key in info]
        if recorded is not None:
            return f"the record has ended ({recorded.value}), the step has not"
        return f"info has {early[0]!r} before the end" if early else None
    missing = [key for key in _AT_THE_END if key not in info]
    if missing:
        return f"info lacks {missing[0]!r} at the end"
    if recorded is None or info["stop_reason"] != recorded.value:
        return f"info says that it ended by {info['stop_reason']!r}, the record by {recorded!r}"
    if recorded.terminated != terminated:
        return f"it ended by {recorded.value!r}, and terminated is {terminated}"
    answered = info["answer"] is not None
    if answered != (recorded is StopReason.ANSWER) or info["answer"] != env.episode.answer:
        return f"it ended by {recorded.value!r} with the answer {shown(info['answer'])}"
    return None


def record_fault(env: ToolEnv, moment: Moment) -> str | None:
    """Where the record of the episode is not what was written and told."""
    episode, info = env.episode, moment.info
    if info.get("task_id") != episode.task.id:
        return f"info names the task {info.get('task_id')!r}, the record {episode.task.id!r}"
    if not episode.turns:
        return None if moment.over else _prompt_fault(env, moment)
    turn = episode.turns[-1]
    parsed, results = turn.parsed, turn.results
    if not isinstance(turn.action, Action) or parsed.text + parsed.surplus != turn.action:
        return f"the parts of the action {shown(turn.action)} do not make it up"
    if info.get("faults") != [fault.value for fault in parsed.faults] or not _FAULTS.issuperset(info["faults"]):
        return f"info has the faults {info.get('faults')}, the record {[fault.value for fault in parsed.faults]}"
    called = [(call["name"], call["status"]) for call in info.get("calls", ())]
    ran = [(call.name, result.status.value) for call, result in zip(parsed.calls, results, strict=False)]
    if called != ran or len(results) > len(parsed.calls) or not _STATUSES.issuperset(status for _, status in called):
        return f"info has the calls {called}, the record {ran}"
    limits = env.limits
    if limits.max_turns is not None and episode.turn_count > limits.max_turns:
        return f"{episode.turn_count} turns where limits.max_turns is {limits.max_turns}"
    if limits.max_calls is not None and episode.call_count > limits.max_calls:
        return f"{episode.call_count} calls where limits.max_calls is {limits.max_calls}"
    return None if moment.over else _observation_fault(env, moment)


def _prompt_fault(env: ToolEnv, moment: Moment) -> str | None:
    episode, messages = env.episode, moment.info.get("messages")
    if moment.observation != episode.prompt:
        return f"the prompt is {shown(moment.observation)}, the record has {shown(episode.prompt)}"
    if messages != episode.messages:
        return f"info has the messages {shown(messages)}, the record {shown(episode.messages)}"
    return None


def _observation_fault(env: ToolEnv, moment: Moment) -> str | None:
    episode, turn, messages = env.episode, env.episode.turns[-1], moment.info.get("messages")
    if moment.observation != turn.told:
        return f"the observation is {shown(moment.observation)}, the record has {shown(turn.observation)}"
    if not messages or episode.messages[-len(messages) :] != messages:
        return f"info has the messages {shown(messages)}, the record ends with {shown(episode.messages[-1:])}"
    acted = episode.messages[-len(messages) - 1]
    return None if acted.get("role") == "assistant" else f"before the observation stands {shown(acted)}, no action"


def reward_fault(env: ToolEnv, moment: Moment) -> str | None:
    """What is wrong with the reward, its terms and the score."""
    reward, info, declared = moment.reward, moment.info, env.reward_function
    if type(reward) is not float or not math.isfinite(reward):
        return f"the reward is {reward!r}, not a finite float"
    if not moment.over:
        return f"the reward is {reward} before the end" if reward else None
    failed = env.episode.stop_reason is StopReason.FAILED
    if not (failed or declared.minimum <= reward <= declared.maximum):
        return f"the reward {reward} is not in the declared [{declared.minimum}, {declared.maximum}]"
    score, terms = info["score"], info["reward_terms"]
    if type(score) is not float or not 0 <= score <= 1:
        return f"info['score'] is {score!r}, not a float in [0, 1]"
    if not all(type(term) is float and math.isfinite(term) for term in terms.values()):
        return f"info['reward_terms'] is {shown(terms)}, not finite floats by name"
    return None


def ceiling_of(env: ToolEnv, info: Mapping[str, Any]) -> float:
    """The highest reward of an episode that is not right: the declared ceiling where nothing of the answer is.

    In rewards by F1 an answer is wrong when it shares no token with an accepted one (ReSearch, arXiv 2503.19470); one
    that shares some may earn that share of the way from the ceiling to the highest reward.
    """
    reward = env.reward_function
    return reward.wrong_ceiling + float(info["reward_terms"].get("f1", 0.0)) * (reward.maximum - reward.wrong_ceiling)


def undeserved(env: ToolEnv, moment: Moment) -> str | None:
    """Why an episode may not earn what it did: lost by the infrastructure, forged, or wrong."""
    if not moment.over:
        return None
    reward, score, declared, episode = moment.reward, moment.info["score"], env.reward_function, env.episode
    if episode.stop_reason is StopReason.FAILED:
        return None if reward == 0 and score == 0 else f"a failed episode earned {reward}, and scored {score}"
    if episode.forged and (reward != declared.minimum or score):
        return f"an episode with a forged observation earned {reward}, and scored {score}"
    ceiling = ceiling_of(env, moment.info)
    if score == 0 and reward > ceiling + _TOLERANCE:
        return f"a wrong episode earned {reward}, above the ceiling {ceiling}"
    return None
