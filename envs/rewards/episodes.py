"""The rewards as functions of an episode."""

from __future__ import annotations

from collections.abc import Mapping

from ..episode import Episode, RewardResult
from ..reward import RewardFunction
from ..task import Task
from . import logic_rl, math, research, search_r1, text


def response_of(episode: Episode, tag: str) -> str:
    """The response of an episode, in which only the environment's own marks are tags.

    What a tool returned is quoted text: a passage that contains `<answer>` answers nothing and breaks no form. Its
    opening angle brackets are written as parentheses, which normalisation deletes alike.

    Args:
        episode: The episode.
        tag: Tag of the observations.
    """
    return "".join(turn.parsed.text + _quoted(turn.observation, f"<{tag}>", f"</{tag}>") for turn in episode.turns)


def _quoted(observation: str, opening: str, closing: str) -> str:
    before, opened, rest = observation.partition(opening)
    payload, closed, after = rest.rpartition(closing)
    if not (opened and closed):
        return observation.replace("<", "(")
    return before + opened + payload.replace("<", "(") + closed + after


def _answer_terms(episode: Episode) -> dict[str, float]:
    """Metrics of the final answer; zero where there is none."""
    answer, golds = episode.answer, episode.task.answers
    if answer is None:
        return {"em": 0.0, "f1": 0.0, "answered": 0.0}
    return {"em": text.exact_match(answer, golds), "f1": text.f1_score(answer, golds), "answered": 1.0}


def _exact_match(episode: Episode) -> RewardResult:
    terms = _answer_terms(episode)
    return RewardResult(terms["em"], terms)


def _f1(episode: Episode) -> RewardResult:
    terms = _answer_terms(episode)
    return RewardResult(terms["f1"], terms)


def _cover_exact_match(episode: Episode) -> RewardResult:
    answer = episode.answer
    cover = 0.0 if answer is None else text.cover_exact_match(answer, episode.task.answers)
    return RewardResult(cover, {**_answer_terms(episode), "cover_em": cover})


def _research(episode: Episode) -> RewardResult:
    response, finished = response_of(episode, "result"), episode.finished_by_agent
    reward = research.research_reward(response, episode.task.answers, finished=finished)
    formed = float(finished and research.research_format(response))
    return RewardResult(reward, {**_answer_terms(episode), "format": formed})


def _search_r1_format(episode: Episode) -> RewardResult:
    response, answers = response_of(episode, "information"), episode.task.answers
    terms = {
        **_answer_terms(episode),
        "format": float(search_r1.search_r1_format(response)),
        "retrieved": float(search_r1.answer_retrieved(response, answers)),
    }
    return RewardResult(search_r1.search_r1_reward(response, answers, variant="format"), terms)


def _solution(task: Task) -> Mapping[str, bool] | str:
    """Roles by name, from the metadata (a mapping, or `names` beside a list of roles) or else from the answer."""
    solution, names = task.metadata.get("solution"), task.metadata.get("names")
    if isinstance(solution, Mapping):
        return solution
    if solution is not None and names is not None:
        return dict(zip(names, solution, strict=True))
    return text.as_answers(task.answers)[0]


def _logic_rl(episode: Episode) -> RewardResult:
    solution = _solution(episode.task)
    reward = logic_rl.logic_rl_reward(episode.response, solution)
    formed = logic_rl.logic_rl_format(f"<think>{episode.response}")
    right = float(reward == logic_rl.FORMAT_REWARD + logic_rl.RIGHT)
    return RewardResult(
        reward, {"format": float(formed), "correct": right, "answered": float(episode.answer is not None)}
    )


def _math_terms(episode: Episode) -> dict[str, float]:
    answer = episode.answer
    correct = answer is not None and math.any_equal(answer, episode.task.answers)
    return {"correct": float(correct), "answered": float(answer is not None)}


def _math(episode: Episode) -> RewardResult:
    terms = _math_terms(episode)
    return RewardResult(terms["correct"], terms)


def _retool(episode: Episode) -> RewardResult:
    terms = _math_terms(episode)
    return RewardResult(1.0 if terms["correct"] else -1.0, terms)


EPISODE_REWARDS = (
    RewardFunction("exact_match", _exact_match),
    RewardFunction("f1", _f1),
    RewardFunction("cover_exact_match", _cover_exact_match),
    RewardFunction("react", _exact_match),
    RewardFunction("research", _research, wrong_ceiling=research.FORM_REWARD),
    RewardFunction("search_r1", _exact_match),
    RewardFunction("search_r1_format", _search_r1_format, wrong_ceiling=search_r1.STRUCTURE_FORMAT_SCORE),
    RewardFunction(
        "logic_rl",
        _logic_rl,
        minimum=-logic_rl.FORMAT_REWARD + logic_rl.UNREADABLE,
        maximum=logic_rl.FORMAT_REWARD + logic_rl.RIGHT,
        wrong_ceiling=logic_rl.FORMAT_REWARD + logic_rl.WRONG,
    ),
    RewardFunction("math", _math),
    RewardFunction("retool", _retool, minimum=-1.0, wrong_ceiling=-1.0),
)
"""Every reward of an episode.

Those of search and mathematics read the final answer, and so serve every action format, except where form is paid for
(`research`, `search_r1_format`, `logic_rl`): these read the text of the format they were published with. In `f1` and
`research` an answer is wrong when it shares no token with an accepted one.
"""
