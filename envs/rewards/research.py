"""The reward of ReSearch: F1 of the boxed answer, 0.1 for form alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .scanning import ended, first_block, hendrycks_box, in_order, paired
from .text import as_answers, f1_score, one_of

Variant = Literal["code", "paper"]

FORM_REWARD = 0.1
"""What a well-formed response without a token in common with the answers earns (ReSearch, eq. 2)."""


def research_reward(
    response: str,
    answers: str | Sequence[str],
    *,
    variant: Variant = "code",
    finished: bool = True,
    eos: str | None = None,
    header: str = "Assistant:",
) -> float:
    r"""The reward of a whole response: F1 in (0, 1], 0.1 or 0.

    Source: ReSearch, arXiv 2503.19470, eq. 2 (`paper`), and Agent-RL/ReCall, branch `re-search`, `re_search.py`
    (`code`). The code gives 0 for any fault of form and to responses without an end-of-turn token, however right; the
    paper's equation gives F1 whatever the form, and 0.1 for form alone. In both, the first answer block is read, its
    box as `hendrycks_box` finds it, and F1 follows HotpotQA's rules.

    Args:
        response: All that follows the header, results included.
        answers: Accepted answers.
        variant: `code` or `paper`.
        finished: Whether the model ended its turn itself. Ignored where `eos` is given.
        eos: The end-of-turn token, where the response still holds it: a response that does not end with it is not
            finished.
        header: What ends the prompt: `Assistant:`, or `<|im_start|>assistant` and a line break for chat models. The
            code cuts a response that holds it there, so that what repeats it never ends with an end-of-turn token. It
            looks for the chat header first: a response that holds that one begins after it.

    Raises:
        InputError: For an unknown variant or no answers.
    """
    one_of("variant", variant, Variant)
    response, finished = ended(response, finished, eos, header if variant == "code" else "")
    golds = as_answers(answers)
    block = first_block(response, "answer")
    answer = None if block is None else hendrycks_box(block)
    f1 = 0.0 if answer is None else f1_score(answer, golds)
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
    searched = in_order(response, ("<search>", "</search>", "<result>", "</result>"))
    return thought_and_answered(response) and searched and answer_boxed(response)


def thought_and_answered(response: str) -> bool:
    """Whether the thoughts are paired and at least one, and there is exactly one answer block's pair of tags."""
    if "<think>" not in response or not paired(response, "think"):
        return False
    return response.count("<answer>") == response.count("</answer>") == 1


def answer_boxed(response: str) -> bool:
    r"""Whether `<answer>` stands before `</answer>` with a `\boxed{` and a `}` between them."""
    block = first_block(response, "answer")
    return block is not None and "\\boxed{" in block and "}" in block
