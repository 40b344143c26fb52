"""Checks of what `reset`, `step`, `truncate` and `close` return and refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gymnasium.error import ResetNeeded

from ..env import ScriptedPolicy, ToolEnv
from ..episode import Action, StopReason
from .base import CheckFailed, CheckSkipped, Subject, check, expect, shown
from .laws import ended_wrongly, info_fault, record_fault, reward_fault, text_fault
from .play import Moment, answer_text, answers, begins, has_oracle, last_moment, moments, oracle_or_silence, rest, says

_AGENT_SIDE = tuple(reason for reason in StopReason if not reason.terminated)


def _policies(env: ToolEnv) -> dict[str, ScriptedPolicy]:
    """Policies that bring an environment to different ends."""
    first = oracle_or_silence(env)
    told: dict[str, ScriptedPolicy] = {
        "the oracle": first,
        "silence": says(""),
        "idle words": says("Well, well."),
        "idle words after an action": begins(first, "Well, well."),
        "a wrong answer": answers(env, "nobody knows"),
        "its own first action again and again": lambda episode: (
            episode.turns[0].action if episode.turns else first(episode)
        ),
    }
    return told if has_oracle(env) else {name: told[name] for name in ("silence", "idle words", "a wrong answer")}


def _every_moment(subject: Subject, judge: Callable[[ToolEnv, Moment], str | None]) -> None:
    """Judges all that is said in an episode of each policy; the reset's moment comes before the first turn.

    Raises:
        CheckFailed: For the first fault that `judge` names.
    """
    with subject.fresh() as env:
        for name, policy in _policies(env).items():
            for position, moment in enumerate(moments(env, policy, seed=subject.seed)):
                fault = judge(env, moment)
                where = f"after turn {position} of {name}" if position else "after reset"
                expect(fault is None, f"{where}: {fault}")


@check(
    "Steps before the first reset or after the end that do something instead of being refused.",
    "dm_env resets in silence and drops the action; Gymnasium needs a wrapper against it",
)
def order_of_calls(subject: Subject) -> None:
    """`step` and `truncate` outside of an episode raise `ResetNeeded` and change nothing."""
    with subject.fresh() as env:
        _refused(lambda: env.step("too early"), "step() before reset()")
        last_moment(env, oracle_or_silence(env), seed=subject.seed)
        turns, reason = len(env.episode.turns), env.episode.stop_reason
        _refused(lambda: env.step("too late"), "step() after the end")
        _refused(lambda: env.truncate(StopReason.MAX_TOKENS), "truncate() after the end")
        unchanged = len(env.episode.turns) == turns and env.episode.stop_reason is reason
        expect(unchanged, "a step that was refused changed the record of the episode")
        env.reset(seed=subject.seed)
        expect(env.episode.stop_reason is None, "after reset() the episode is over already")


def _refused(act: Callable[[], object], what: str) -> None:
    try:
        act()
    except ResetNeeded:
        return
    raise CheckFailed(f"{what} is not refused with gymnasium.error.ResetNeeded")


@check(
    "Endings that are terminated and truncated at once, or without a reason.",
    "GEM: games at the turn limit, and every MathEnv and QaEnv episode, return both flags as True",
)
def endings(subject: Subject) -> None:
    """Each way to end sets one flag, and the one reason that goes with it."""
    _every_moment(subject, ended_wrongly)
    with subject.fresh() as env:
        for reason in _AGENT_SIDE:
            env.reset(seed=subject.seed)
            moment = Moment(*env.truncate(reason))
            fault = ended_wrongly(env, moment) or _other_reason(moment, reason)
            expect(fault is None, f"after truncate({reason.value!r}): {fault}")
        env.reset(seed=subject.seed)
        final = answer_text(env, "nobody knows")
        moment = Moment(*env.truncate(StopReason.MAX_TOKENS, Action(final, "length")))
        fault = ended_wrongly(env, moment) or _other_reason(moment, StopReason.ANSWER)
        expect(fault is None, f"after truncate() with a whole answer: {fault}")
        env.reset(seed=subject.seed)
        try:
            env.truncate(StopReason.ANSWER)
        except ValueError:
            return
        raise CheckFailed("truncate() takes a reason that is the environment's to give")


def _other_reason(moment: Moment, reason: StopReason) -> str | None:
    said = moment.info.get("stop_reason")
    return None if said == reason.value else f"info says that the stop reason is {said!r}"


@check(
    "Budgets that do not bind: a model that repeats itself goes on for ever, or calls more tools than it may.",
    "GEM: after `max_tool_uses` a tool call becomes an action of the game; torchforge #521, a loop without an end",
)
def budgets(subject: Subject) -> None:
    """With three turns and one call allowed, no policy gets more."""
    with subject.fresh() as env:
        for calls in (None, 1):
            env.limits = replace(env.limits, max_turns=3, max_calls=calls)
            for name, policy in _policies(env).items():
                *_, last = moments(env, policy, most=7, seed=subject.seed)  # some formats take an action in two parts
                turns, made = env.episode.turn_count, env.episode.call_count
                expect(last.over and turns <= 3, f"{name}: {turns} turns where limits.max_turns is 3")
                expect(calls is None or made <= calls, f"{name}: {made} calls where limits.max_calls is {calls}")


@check(
    "Rewards that are no number, not finite, out of the declared range, or given where the trainer drops them.",
    "SkyRL #201: rewards before the last turn were dropped in silence; OpenEnv RFC 008 `reward_well_formed`",
)
def rewards(subject: Subject) -> None:
    """Rewards and scores are finite floats in their ranges, at the end alone; the declarations make sense."""
    reward, guess = subject.env.reward_function, subject.env.guess_rate
    bounds = (reward.minimum, reward.wrong_ceiling, reward.maximum)
    expect(all(map(math.isfinite, bounds)), f"the reward {reward.name!r} declares {bounds}")
    expect(bounds[0] <= bounds[1] <= bounds[2], f"minimum, wrong_ceiling and maximum of {reward.name!r} are {bounds}")
    expect(0 <= guess <= 1, f"guess_rate is {guess!r}; it is a mean score in [0, 1]")
    _every_moment(subject, reward_fault)


@check(
    "Infos with numpy scalars, tuples, enums or NaN, on which the log of a run dies hours later.",
    "NeMo Gym PR#748: one failed row kills a batch; traces are JSON lines in verifiers, NeMo Gym and SkyRL",
)
def info_is_json(subject: Subject) -> None:
    """Every info comes back from JSON as it was."""
    _every_moment(subject, lambda env, moment: info_fault(moment.info))


@check(
    "Observations that are no text, or a text that cannot be written to a file or fits no space.",
    "Gymnasium's own `Text` space is alphanumeric; a lone surrogate in a reply of this package's ReAct",
)
def observations_are_text(subject: Subject) -> None:
    """Observations are strings, valid UTF-8, and in the observation space; the action space takes any text."""

    def judge(env: ToolEnv, moment: Moment) -> str | None:
        fault = text_fault(moment.observation)
        if fault is None and not env.observation_space.contains(moment.observation):
            fault = f"{shown(moment.observation)} is not in the observation space"
        return fault

    _every_moment(subject, judge)
    with subject.fresh() as env:
        for text in ("", "<answer> 7 € \n</answer>", Action("cut", "length")):
            expect(env.action_space.contains(text), f"the action {text!r} is not in the action space")
        sample = env.action_space.sample()
        expect(isinstance(sample, str), f"the action space samples {shown(sample)}, which is no text")


@check(
    "Records that are not what was said: a dropped observation, a lost turn, another text in the messages.",
    "TRL #6067: an observation was dropped on the way to the policy; SkyRL #179 asks for such a test",
)
def record_is_complete(subject: Subject) -> None:
    """The episode's turns, texts and messages are what the agent wrote and was told."""

    def judge(env: ToolEnv, moment: Moment) -> str | None:
        return record_fault(env, moment)

    _every_moment(subject, judge)


@check(
    "A second close that raises, or a close that the next reset does not survive.",
    "Gymnasium's checker closes twice; OpenEnv PR#1000: sessions half closed fill a server until training stops",
)
def double_close(subject: Subject) -> None:
    """Closing before a reset, in mid-episode, at the end, and twice; a reset starts anew."""
    env = subject.env.spawn()
    for turns in (None, 0, 1, 64):
        if turns is not None:
            policy = oracle_or_silence(env)
            env.reset(seed=subject.seed)
            list(rest(env, policy, most=turns))
        for number in ("first", "second"):
            try:
                env.close()
            except Exception as error:
                raise CheckFailed(f"the {number} close() raised {type(error).__name__}: {error}") from error


@check(
    "A render that prints, fails, or shows something else than the agent saw.",
    "Gymnasium's checker renders in every mode; GEM and SkyRL have nothing to render",
)
def render_is_the_transcript(subject: Subject) -> None:
    """`ansi` gives the transcript, no mode gives None."""
    if "ansi" not in subject.env.metadata.get("render_modes", ()):
        raise CheckSkipped("it declares no render mode 'ansi'")
    with subject.fresh() as env:
        env.render_mode = None
        env.reset(seed=subject.seed)
        expect(env.render() is None, "render() returns something although there is no render mode")
        env.render_mode = "ansi"
        told: Any = ""
        for moment in moments(env, oracle_or_silence(env), seed=subject.seed):
            turn = env.episode.turns[-1] if env.episode.turns else None
            told += moment.observation if turn is None else turn.parsed.text + turn.observation
            expect(env.render() == told, f"render() is {shown(env.render())} where the transcript is {shown(told)}")
