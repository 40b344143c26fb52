"""Published rewards, as functions of text and as rewards of episodes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ...tools.errors import InputError
from ..reward import RewardFunction, RewardSpec
from . import answer_rewards, form_rewards, length_rewards
from .autotir import autotir_reward
from .composition import RewardMaker, make_reward, parse_spec, weighted_sum
from .dapo import dapo_reward
from .hotpotqa import MatchScore, answer_score, joint_score, supporting_facts_score
from .length import (
    CosineSchedule,
    cosine_reward,
    cosine_schedule,
    kimi_length_rewards,
    l1_reward,
    lcpo_exact_reward,
    lcpo_max_reward,
    soft_overlong_penalty,
)
from .logic_rl import logic_rl_reward, read_roles, solution_roles
from .math import gsm8k_answer, gsm8k_reward, math_equal
from .prm800k import grade_answer
from .python_tools import (
    has_void_turn,
    is_void_turn,
    retool_reward,
    simple_tir_answer,
    simple_tir_reward,
    torl_reward,
)
from .r1 import orz_answer, orz_reward, r1_format, r1_reward, r1_tag_count, soft_verifier_reward
from .r1_searcher import r1_searcher_reward
from .react import fever_reward, react_reward
from .recall import chat_turns, recall_reward
from .repetition import dense_repetition_penalty, repetition_penalty
from .research import research_reward
from .search_f1 import deep_researcher_reward, step_search_reward, zero_search_reward
from .search_r1 import search_r1_reward
from .swe_rl import swe_rl_reward
from .text import cover_exact_match, exact_match, f1_score, normalize_answer
from .unit_tests import run_unit_tests, unit_test_reward

__all__ = [
    "REWARDS",
    "REWARD_MAKERS",
    "CosineSchedule",
    "MatchScore",
    "RewardFunction",
    "RewardSpec",
    "answer_score",
    "autotir_reward",
    "chat_turns",
    "cosine_reward",
    "cosine_schedule",
    "cover_exact_match",
    "dapo_reward",
    "deep_researcher_reward",
    "dense_repetition_penalty",
    "exact_match",
    "f1_score",
    "fever_reward",
    "grade_answer",
    "gsm8k_answer",
    "gsm8k_reward",
    "has_void_turn",
    "is_void_turn",
    "joint_score",
    "kimi_length_rewards",
    "l1_reward",
    "lcpo_exact_reward",
    "lcpo_max_reward",
    "logic_rl_reward",
    "math_equal",
    "normalize_answer",
    "orz_answer",
    "orz_reward",
    "r1_format",
    "r1_reward",
    "r1_searcher_reward",
    "r1_tag_count",
    "react_reward",
    "read_roles",
    "recall_reward",
    "repetition_penalty",
    "research_reward",
    "retool_reward",
    "reward_function",
    "run_unit_tests",
    "search_r1_reward",
    "simple_tir_answer",
    "simple_tir_reward",
    "soft_overlong_penalty",
    "soft_verifier_reward",
    "solution_roles",
    "step_search_reward",
    "supporting_facts_score",
    "swe_rl_reward",
    "torl_reward",
    "unit_test_reward",
    "weighted_sum",
    "zero_search_reward",
]

REWARD_MAKERS: Mapping[str, RewardMaker] = MappingProxyType(
    {
        "exact_match": answer_rewards.exact_match,
        "f1": answer_rewards.f1,
        "cover_exact_match": answer_rewards.cover_exact_match,
        "react": answer_rewards.react,
        "fever": answer_rewards.fever,
        "search_r1": answer_rewards.search_r1,
        "search_r1_format": form_rewards.search_r1_format,
        "research": form_rewards.research,
        "recall": form_rewards.recall,
        "autotir": form_rewards.autotir,
        "r1_searcher": form_rewards.r1_searcher,
        "zero_search": answer_rewards.zero_search,
        "deep_researcher": form_rewards.deep_researcher,
        "step_search": form_rewards.step_search,
        "logic_rl": form_rewards.logic_rl,
        "r1": form_rewards.r1,
        "r1_format": form_rewards.r1_format,
        "orz": form_rewards.orz,
        "math": answer_rewards.math,
        "prm800k": answer_rewards.prm800k,
        "gsm8k": answer_rewards.gsm8k,
        "retool": answer_rewards.retool,
        "torl": answer_rewards.torl,
        "dapo": answer_rewards.dapo,
        "simple_tir": answer_rewards.simple_tir,
        "unit_tests": answer_rewards.unit_tests,
        "cosine": length_rewards.cosine,
        "lcpo_exact": length_rewards.lcpo_exact,
        "lcpo_max": length_rewards.lcpo_max,
        "kimi_length": length_rewards.kimi_length,
        "soft_overlong": length_rewards.soft_overlong,
        "repetition": length_rewards.repetition,
    }
)
"""What makes the rewards of an episode, by name. The parameters of each are the options of the reward.

Those of search and mathematics read the final answer, and so serve every action format, except where form is paid for:
these read the text of the format they were published with. In `f1`, `research` and their like an answer is wrong when
it shares no token with an accepted one.
"""

REWARDS: Mapping[str, RewardFunction] = MappingProxyType({name: make() for name, make in REWARD_MAKERS.items()})
"""The rewards of an episode by name, with their default options."""


def reward_function(
    spec: RewardSpec, own: Mapping[str, RewardMaker] = MappingProxyType({}), **options: Any
) -> RewardFunction:
    """A reward by name, with options, as a sum, or as it is.

    Args:
        spec: A name of `REWARD_MAKERS` (`"exact_match"`), with options (`"research(variant=paper)"`,
            `"cosine(max_length=1000, unit=characters)"`), a weighted sum (`"exact_match + 0.1*repetition + 0*f1"`), a
            mapping from such names to weights, or a reward function. A weight of 0 makes a metric.
        own: An environment's own rewards, by name.
        options: Options of a single name, as keywords.

    Raises:
        InputError: If the spec cannot be read, or for an unknown name, an unknown option or a value that an option
            cannot have.
    """
    if isinstance(spec, str):
        terms = parse_spec(spec)
    elif isinstance(spec, Mapping):
        terms = [(_weight(name, weight), *_single(name)) for name, weight in spec.items()]
    else:
        terms = []
    if options and (len(terms) != 1 or terms[0][0] != 1.0):
        raise InputError(f"options {', '.join(options)} need a single name to belong to, not {spec!r:.100}")
    if isinstance(spec, RewardFunction):
        return spec
    return weighted_sum(
        [(weight, make_reward(name, {**given, **options}, {**REWARD_MAKERS, **own})) for weight, name, given in terms]
    )


def _single(name: str) -> tuple[str, dict[str, Any]]:
    terms = parse_spec(name)
    if len(terms) != 1 or terms[0][0] != 1.0:
        raise InputError(f"a mapping of rewards has names and weights apart; {name!r:.100} is a sum")
    return terms[0][1:]


def _weight(name: str, weight: object) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise InputError(f"the weight of the reward {name!r} must be a number, not {weight!r:.60}")
    return float(weight)
