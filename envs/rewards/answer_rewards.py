"""Rewards of an episode's final answer, whatever the action format."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from ...tools.base import ToolStatus
from ...tools.errors import InputError
from ..episode import Episode, RewardResult
from ..reward import RewardFunction
from . import dapo as dapo_text
from . import python_tools, text
from .episodes import answer_terms, is_correct, math_terms
from .math import gsm8k_reward
from .unit_tests import passes

if TYPE_CHECKING:
    from ...tools.sandbox import Isolation


def exact_match() -> RewardFunction:
    """1 if the final answer equals an accepted one after normalisation (SQuAD), else 0."""
    return RewardFunction("exact_match", _exact_match)


def react() -> RewardFunction:
    """Exact match: the reward of ReAct's HotpotQA (arXiv 2210.03629)."""
    return RewardFunction("react", _exact_match)


def fever() -> RewardFunction:
    """Exact match of the label, which is its F1 too: the reward of ReAct's FEVER (arXiv 2210.03629)."""
    return RewardFunction("fever", _label)


def _label(episode: Episode) -> RewardResult:
    terms = answer_terms(episode)
    return RewardResult(terms["em"], {**terms, "f1": terms["em"]})


def search_r1() -> RewardFunction:
    """Exact match: the reward of Search-R1 (arXiv 2503.09516)."""
    return RewardFunction("search_r1", _exact_match)


def _exact_match(episode: Episode) -> RewardResult:
    terms = answer_terms(episode)
    return RewardResult(terms["em"], terms)


def f1(*, rules: text.F1Rules = "hotpotqa") -> RewardFunction:
    """F1 of the final answer; an answer is wrong if it shares no token with an accepted one.

    Args:
        rules: See `f1_score`.
    """
    return RewardFunction("f1", partial(_f1, rules=rules))


def zero_search() -> RewardFunction:
    """F1 of the final answer by SQuAD's rules: the reward of ZeroSearch (arXiv 2505.04588)."""
    return RewardFunction("zero_search", partial(_f1, rules="squad"))


def _f1(episode: Episode, rules: text.F1Rules) -> RewardResult:
    terms = answer_terms(episode)
    answer = episode.answer
    score = terms["f1"] if rules == "hotpotqa" or answer is None else text.f1_score(answer, episode.task.answers, rules)
    return RewardResult(score, {**terms, "f1": score})


def cover_exact_match(*, rules: text.CoverRules = "substring") -> RewardFunction:
    """1 if the final answer holds an accepted one, else 0. Long answers that list candidates pass.

    Args:
        rules: See `cover_exact_match`, the function of text.
    """
    return RewardFunction("cover_exact_match", partial(_cover, rules=rules))


def _cover(episode: Episode, rules: text.CoverRules) -> RewardResult:
    answer = episode.answer
    cover = 0.0 if answer is None else text.cover_exact_match(answer, episode.task.answers, rules, variant="strict")
    return RewardResult(cover, {**answer_terms(episode), "cover_em": cover})


# Mathematics ------------------------------------------------------------------------------------------------------


def math() -> RewardFunction:
    """1 if the final answer is mathematically equal to an accepted one (`math_equal`), else 0."""
    return RewardFunction("math", _math)


def _math(episode: Episode) -> RewardResult:
    terms = math_terms(episode)
    return RewardResult(terms["correct"], terms)


def prm800k() -> RewardFunction:
    """1 if the final answer passes the grader of PRM800K (`grade_answer`), else 0."""
    return RewardFunction("prm800k", _prm800k)


def _prm800k(episode: Episode) -> RewardResult:
    correct = float(is_correct(episode, "prm800k"))
    return RewardResult(correct, {"correct": correct, "answered": float(episode.answer is not None)})


def gsm8k() -> RewardFunction:
    """1 if the final answer is the accepted number letter by letter, commas aside (GSM8K's `####` rule), else 0."""
    return RewardFunction("gsm8k", _gsm8k)


def _gsm8k(episode: Episode) -> RewardResult:
    answer = episode.answer
    correct = 0.0 if answer is None else gsm8k_reward(f"#### {answer.strip()}", episode.task.answers)
    return RewardResult(correct, {"correct": correct, "answered": float(answer is not None)})


def retool(*, variant: python_tools.RetoolVariant = "paper") -> RewardFunction:
    """+1 for the right answer and -1 for any other: the reward of ReTool (arXiv 2504.11536).

    Args:
        variant: `paper` compares by `math_equal`; `verl` letter by letter, and a wrong answer earns 0.1 more for each
            round of tools, up to -0.6.
    """
    ceiling = python_tools.WRONG if variant == "paper" else python_tools.VERL_WRONG_CEILING
    return RewardFunction(
        "retool", partial(_retool, variant=variant), minimum=python_tools.WRONG, wrong_ceiling=ceiling
    )


def _retool(episode: Episode, variant: python_tools.RetoolVariant) -> RewardResult:
    if variant == "paper":
        terms = math_terms(episode)
        return RewardResult(python_tools.RIGHT if terms["correct"] else python_tools.WRONG, terms)
    answer = episode.answer
    rounds = sum(bool(turn.results) for turn in episode.turns)
    boxed = "" if answer is None else f"\\boxed{{{answer}}}"
    reward = python_tools.retool_reward(boxed, episode.task.answers, variant="verl", num_turns=2 + 2 * rounds)
    correct = float(reward == python_tools.RIGHT)
    return RewardResult(reward, {"correct": correct, "rounds": float(rounds), "answered": float(answer is not None)})


def torl(*, variant: python_tools.TorlVariant = "default", execution_penalty: bool = False) -> RewardFunction:
    """+1 if the final answer is right, -1 if not: the reward of ToRL (arXiv 2503.23383).

    Args:
        variant: See `torl_reward`.
        execution_penalty: Whether 0.5 is taken off where code failed.
    """
    least = python_tools.WRONG + (python_tools.TORL_EXECUTION_PENALTY if execution_penalty else 0.0)
    ceiling = python_tools.TORL_WRONG_BOX if variant == "wformat" else python_tools.WRONG
    function = partial(_torl, variant=variant, execution_penalty=execution_penalty)
    return RewardFunction("torl", function, minimum=least, wrong_ceiling=ceiling)


def _torl(episode: Episode, variant: python_tools.TorlVariant, execution_penalty: bool) -> RewardResult:
    failed = any(result.status is not ToolStatus.OK for turn in episode.turns for result in turn.results)
    terms = {**math_terms(episode), "failed_execution": float(failed)}
    wrong = python_tools.TORL_WRONG_BOX if variant == "wformat" and terms["answered"] else python_tools.WRONG
    penalty = python_tools.TORL_EXECUTION_PENALTY if failed and execution_penalty else 0.0
    return RewardResult((python_tools.RIGHT if terms["correct"] else wrong) + penalty, terms)


def dapo() -> RewardFunction:
    """+1 if the final answer is right by Minerva's normalisation, -1 if not: the reward of DAPO (arXiv 2503.14476)."""
    return RewardFunction("dapo", _dapo, minimum=dapo_text.WRONG, wrong_ceiling=dapo_text.WRONG)


def _dapo(episode: Episode) -> RewardResult:
    answer = episode.answer
    line = "" if answer is None else f"Answer: {' '.join(answer.split())}"
    reward = dapo_text.dapo_reward(line, episode.task.answers)
    return RewardResult(reward, {"correct": float(reward > 0), "answered": float(answer is not None)})


def simple_tir() -> RewardFunction:
    """1 if the final answer is right, else 0: the reward of SimpleTIR (arXiv 2509.02479).

    The term `void_turn` says whether a trajectory is to be left out of the loss and of its group.
    """
    return RewardFunction("simple_tir", _simple_tir)


def _simple_tir(episode: Episode) -> RewardResult:
    terms = math_terms(episode)
    parsed = [turn.parsed for turn in episode.turns]
    void = any(not read.calls and read.answer is None and read.reply is None for read in parsed)
    return RewardResult(terms["correct"], {**terms, "void_turn": float(void)})


def unit_tests(
    *, isolation: Literal["sandbox", "process", "none"] = "sandbox", seconds: float = 10.0
) -> RewardFunction:
    """1 if the program of the final answer passes the task's tests (HumanEval, MBPP), else 0.

    The task's metadata holds `tests` and, where the answer goes on with it, what stands `before` the program.

    Args:
        isolation: How the code is confined: see `PythonTool`.
        seconds: Processor time for the program and for its tests.
    """
    return RewardFunction("unit_tests", partial(_unit_tests, isolation=isolation, seconds=seconds))


def _unit_tests(episode: Episode, isolation: Isolation, seconds: float) -> RewardResult:
    metadata = episode.task.metadata
    if "tests" not in metadata:
        raise InputError("the reward 'unit_tests' needs each task's tests, in its metadata under 'tests'")
    if episode.answer is None:
        return RewardResult(0.0, {"passed": 0.0, "answered": 0.0})
    passed = float(passes(episode.answer, metadata, isolation, seconds))
    return RewardResult(passed, {"passed": passed, "answered": 1.0})
