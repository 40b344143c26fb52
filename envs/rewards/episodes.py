"""What rewards read in an episode: its text, its answer, its length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ...tools.errors import InputError
from ..episode import Episode
from . import math, prm800k, text

LengthUnit = Literal["tokens", "characters"]
Judge = Literal["exact_match", "cover_exact_match", "math", "prm800k"]


def quoted(payload: str) -> str:
    """What a tool returned, as text in which nothing is a tag; normalisation deletes brackets and parentheses alike."""
    return payload.replace("<", "(")


def response_of(episode: Episode, opening: str, closing: str, payload: Callable[[str], str] = quoted) -> str:
    """The response of an episode, in which only the environment's own marks are tags.

    What a tool returned answers nothing and breaks no form: a passage may hold `<answer>`, or a word that a reward
    punishes.

    Args:
        episode: The episode.
        opening: What opens an observation.
        closing: What closes it.
        payload: What is written for what stands between the two.
    """
    return "".join(turn.parsed.text + _cleaned(turn.observation, opening, closing, payload) for turn in episode.turns)


def _cleaned(observation: str, opening: str, closing: str, payload: Callable[[str], str]) -> str:
    before, opened, rest = observation.partition(opening)
    inside, closed, after = rest.rpartition(closing)
    if not (opened and closed):
        return quoted(observation)
    return before + opened + payload(inside) + closed + after


def written_by_agent(episode: Episode) -> str:
    """What the agent itself wrote and the format counts, turn after turn, without any observation."""
    return "".join(turn.parsed.text for turn in episode.turns)


def answer_terms(episode: Episode) -> dict[str, float]:
    """Metrics of the final answer; zero where there is none."""
    answer, golds = episode.answer, episode.task.answers
    if answer is None:
        return {"em": 0.0, "f1": 0.0, "answered": 0.0}
    return {
        "em": text.exact_match(answer, golds, variant="strict"),
        "f1": text.f1_score(answer, golds),
        "answered": 1.0,
    }


def math_terms(episode: Episode) -> dict[str, float]:
    """Whether the final answer is mathematically right, and whether there is one."""
    return {"correct": float(is_correct(episode, "math")), "answered": float(episode.answer is not None)}


def is_correct(episode: Episode, judge: Judge) -> bool:
    """Whether the final answer is right.

    Args:
        episode: The episode.
        judge: `exact_match`, `cover_exact_match` (substring), `math` (`math_equal`) or `prm800k` (`grade_answer`).
    """
    answer, golds = episode.answer, episode.task.answers
    if answer is None:
        return False
    if judge == "math":
        return math.any_equal(answer, golds)
    if judge == "prm800k":
        return prm800k.grade_answer(answer, golds)
    if judge == "cover_exact_match":
        return text.cover_exact_match(answer, golds, variant="strict") > 0
    return text.exact_match(answer, golds, variant="strict") > 0


def length_of(episode: Episode, unit: LengthUnit) -> int:
    """Length of all that the agent wrote.

    Args:
        episode: The episode.
        unit: `tokens` that were sampled, or `characters`.

    Raises:
        InputError: If tokens are asked for and nobody counted them.
    """
    if unit == "characters":
        return sum(len(turn.action) for turn in episode.turns)
    tokens = episode.action_tokens
    if tokens is None:
        raise InputError(
            "a length in tokens needs actions that know their token_count, as those of a rollout do; "
            "for scripted play give the reward unit=characters"
        )
    return tokens
