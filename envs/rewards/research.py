"""The reward of ReSearch: F1 of the boxed answer, 0.1 for form alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ...tools.errors import InputError
from ..formats.tags import contents, last_boxed
from .text import f1_score

FORM_REWARD = 0.1
"""What a well-formed response without a token in common with the answers earns (ReSearch, eq. 2)."""


def research_reward(
    response: str,
    answers: str | Sequence[str],
    *,
    finished: bool = True,
    variant: Literal["code", "paper"] = "code",
) -> float:
    r"""The reward of a whole response.

    Source: ReSearch, arXiv 2503.19470, eq. 2 (`paper`), and Agent-RL/ReCall, branch `re-search`, `re_search.py`
    (`code`). The code gives 0 for any fault of form and to responses without an end-of-turn token, however right; the
    paper's equation gives F1 whatever the form, and 0.1 for form alone. In both, only what is in the last `\boxed{}`
    of the answer block is compared, and F1 follows HotpotQA's rules.

    Args:
        response: All that follows `Assistant:` in the prompt (or the assistant's header), results included, without
            the end-of-turn token.
        answers: Accepted answers.
        finished: Whether the model ended its turn itself: the code's "ends with the eos token".
        variant: `code` or `paper`.

    Raises:
        InputError: For an unknown variant or no answers.
    """
    if variant not in ("code", "paper"):
        raise InputError(f"variant must be 'code' or 'paper', not {variant!r}")
    answer = _boxed_answer(response)
    f1 = 0.0 if answer is None else f1_score(answer, answers)
    formed = finished and answer is not None and research_format(response)
    if variant == "code" and not formed:
        return 0.0
    return f1 or (FORM_REWARD if formed else 0.0)


def research_format(response: str) -> bool:
    r"""Whether a response has ReSearch's form.

    As many `<think>` as `</think>` and at least one; exactly one `<answer>` and `</answer>`, in this order, with a
    `\boxed{` and a `}` between them; every `<search>` followed by `</search>`, `<result>` and `</result>` in this
    order before the next one counts.
    """
    thoughts = response.count("<think>")
    if thoughts == 0 or thoughts != response.count("</think>"):
        return False
    if response.count("<answer>") != 1 or response.count("</answer>") != 1:
        return False
    start, end = response.find("<answer>"), response.find("</answer>")
    answer = response[start:end] if start < end else ""
    return "\\boxed{" in answer and "}" in answer and _searches_answered(response)


def _searches_answered(response: str) -> bool:
    search = response.find("<search>")
    while search >= 0:
        search_end = response.find("</search>", search)
        result = response.find("<result>", search)
        result_end = response.find("</result>", max(result, 0))
        if not search < search_end < result < result_end:
            return False
        search = response.find("<search>", result_end)
    return True


def _boxed_answer(response: str) -> str | None:
    given = contents(response, "answer")
    return last_boxed(given[0]) if given else None
