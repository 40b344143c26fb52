"""Search systems that pay F1: ZeroSearch, DeepResearcher, StepSearch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .scanning import blocks, first_block, last_block, paired, spans
from .text import as_answers, cover_exact_match, f1_score, one_of

Metric = Literal["f1", "em"]

BAD_FORM = -1.0
"""What DeepResearcher and StepSearch pay for a response in the wrong form."""

SEARCH_KEYS_WEIGHT = 0.618
"""Weight of the search keys in StepSearch (arXiv 2505.15107)."""

_SPLIT = "<|answer_split|>"


def zero_search_reward(response: str, answers: str | Sequence[str], *, metric: Metric = "f1") -> float:
    """F1 of the last answer block by SQuAD's rules; nothing for form.

    Source: ZeroSearch, arXiv 2505.04588; Alibaba-NLP/ZeroSearch, `qa_em.py`. The official function reads the prompt
    too, whose example is the first answer block, and so asks for two; this one reads the response alone.

    Args:
        response: All that follows the prompt, results included.
        answers: Accepted answers.
        metric: `f1`, or `em` for what ZeroSearch reports as EM (`cover_exact_match`, `substring`).

    Raises:
        InputError: For an unknown metric or no answers.
    """
    one_of("metric", metric, Metric)
    answer = last_block(response, "answer")
    if answer is None:
        return 0.0
    return f1_score(answer, answers, "squad") if metric == "f1" else cover_exact_match(answer, answers)


def deep_researcher_reward(response: str, answers: str | Sequence[str]) -> float:
    """F1 of the first answer block over sets of tokens; -1 for the wrong form.

    Source: DeepResearcher, arXiv 2504.03160; GAIR-NLP/DeepResearcher, `format_and_f1.py`. Tags are read without regard
    to case. The form is wrong where `tool_call`, `think` or `answer` are not paired or are closed before they are
    opened, or where there is no answer block.

    Args:
        response: All that follows the prompt, results included.
        answers: Accepted answers. A text may hold several, with `<|answer_split|>` between them, as in the official
            data.

    Raises:
        InputError: If there are no answers.
    """
    answer = first_block(response.lower(), "answer")
    f1 = deep_researcher_f1(answer or "", answers)
    return f1 if answer is not None and deep_researcher_format(response) else BAD_FORM


def deep_researcher_f1(answer: str, answers: str | Sequence[str]) -> float:
    """F1 of an answer over sets of tokens, as DeepResearcher counts them."""
    golds = [gold for accepted in as_answers(answers) for gold in accepted.lower().split(_SPLIT)]
    return f1_score(answer, golds, "deep_researcher")


def deep_researcher_format(response: str) -> bool:
    """Whether calls, thoughts and answers are paired and closed after they are opened, without regard to case."""
    lowered = response.lower()
    return all(_balanced(lowered, tag) for tag in ("tool_call", "think", "answer"))


def _balanced(text: str, tag: str) -> bool:
    """Whether a tag is paired and each that opens outside of its blocks is closed after that."""
    end = 0
    for _, close in spans(text, f"<{tag}>", f"</{tag}>"):
        end = close
    return paired(text, tag) and text.find(f"<{tag}>", end) < 0


def step_search_reward(response: str, answers: str | Sequence[str], search_keys: Sequence[Sequence[str]] = ()) -> float:
    """The reward at the end of a response: F1, and 0.618 of the share of reference queries that were met; or -1.

    Source: StepSearch, arXiv 2505.15107; Zillwang/StepSearch, `qa_step.py`. A response without an answer block, or with
    text after the last, earns -1. F1 follows SQuAD's rules, rounded to four digits, for answers as for queries. Each
    query counts for the group of keys that it meets best, and replaces what an earlier query got there. The rewards at
    the searches themselves (gain of information, redundancy) are left out.

    Args:
        response: All that follows the prompt, results included.
        answers: Accepted answers.
        search_keys: The task's reference queries: for every sub-question, ways to put it.

    Raises:
        InputError: If there are no answers.
    """
    golds, found = as_answers(answers), list(spans(response, "<answer>", "</answer>"))
    if not found or response[found[-1][1] + len("</answer>") :].strip():
        return BAD_FORM
    return step_search_score(response[slice(*found[-1])], golds, queries_of(response), search_keys)


def step_search_score(
    answer: str, answers: str | Sequence[str], queries: Sequence[str], search_keys: Sequence[Sequence[str]]
) -> float:
    """StepSearch's reward of an answer and of the queries before it."""
    return rounded_f1(answer, answers) + SEARCH_KEYS_WEIGHT * _keys_met(queries, search_keys)


def queries_of(response: str) -> list[str]:
    """The queries of a response: what stands in its search blocks, without a tag that was opened twice."""
    return [content.replace("<search>", "") for content in blocks(response, "search")]


def rounded_f1(prediction: str, answers: str | Sequence[str]) -> float:
    """F1 by SQuAD's rules, to four digits."""
    return round(f1_score(prediction, answers, "squad"), 4)


def _keys_met(queries: Sequence[str], keys: Sequence[Sequence[str]]) -> float:
    met = dict.fromkeys(range(len(keys)), 0.0)
    for query in queries:
        scores = [rounded_f1(query, group) for group in keys]
        best = max(scores, default=0.0)
        if best > 0:
            met[scores.index(best)] = best
    return sum(met.values()) / len(met) if met else 0.0
