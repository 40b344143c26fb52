r"""The rewards of R1-Zero, its forms, and Open-Reasoner-Zero's box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ...tools.errors import InputError
from .math import any_equal
from .scanning import braced, last_block, last_box
from .text import as_answers, one_of

R1Form = Literal["paper", "open_r1", "open_rs"]

_THINK, _TURN, _ANSWER_END = "<think>\n", "\n</think>\n<answer>\n", "\n</answer>"
_COUNTED = ("<think>\n", "\n</think>\n", "\n<answer>\n", _ANSWER_END)


def r1_reward(response: str, answers: str | Sequence[str], *, form: R1Form = "paper", prefill: str = "") -> float:
    r"""1 for the right answer and 1 for form, added: 0, 1 or 2.

    Source: DeepSeek-R1, arXiv 2501.12948, section 2.2.2. The answer is the last `\boxed{}`, or else the last answer
    block, and is compared by `math_equal`.

    Args:
        response: All that follows the prompt and the prefill.
        answers: Accepted answers.
        form: See `r1_format`.
        prefill: What the framework put before the response; the form is judged with it.

    Raises:
        InputError: For an unknown form, if math-verify is needed and not installed, or there are no answers.
    """
    golds = as_answers(answers)
    answer = last_box(response)
    answer = last_block(response, "answer") if answer is None else answer
    right = answer is not None and any_equal(answer, golds)
    return float(right) + r1_format(prefill + response, form)


def r1_format(text: str, form: R1Form = "paper") -> float:
    r"""1 if a response, prefill included, has the form of R1-Zero, else 0.

    Args:
        text: The response with its prefill.
        form: `paper` (arXiv 2501.12948): one thought in `<think>` and `</think>`, nothing before it and something after
            it. `open_r1` (huggingface/open-r1, `format_reward`): `<think>`, `</think>`, `<answer>` and `</answer>` on
            lines of their own, the first at the very start, the middle two one after the other; the thought and the
            answer may hold anything, and after `</answer>` the text or at least its line ends. `open_rs`
            (knoveleng/open-rs): exactly one `</think>` on a line of its own.

    Raises:
        InputError: For an unknown form.
    """
    one_of("form", form, R1Form)
    if form == "open_rs":
        return float(text.count("\n</think>\n") == 1)
    if form == "paper":
        once = text.count("<think>") == text.count("</think>") == 1
        return float(once and text.lstrip().startswith("<think>") and bool(text.partition("</think>")[2].strip()))
    # The first turn from thought to answer leaves the most room for the end.
    turn = text.find(_TURN, len(_THINK)) if text.startswith(_THINK) else -1
    end = text.find(_ANSWER_END, turn + len(_TURN)) if turn >= 0 else -1
    while end >= 0:
        after = text[end + len(_ANSWER_END) : end + len(_ANSWER_END) + 1]
        if after in ("", "\n"):
            return 1.0
        end = text.find(_ANSWER_END, end + 1)
    return 0.0


def r1_tag_count(text: str) -> float:
    """A quarter for each of R1's four tags that occurs exactly once, with its line breaks.

    Source: huggingface/open-r1, `rewards.py`, `tag_count_reward`.
    """
    return sum(0.25 for tag in _COUNTED if text.count(tag) == 1)


def orz_reward(response: str, answers: str | Sequence[str], *, finished: bool = True) -> float:
    r"""1 if the generation stopped by itself and the box in the answer block is right, else 0; nothing for form.

    Source: Open-Reasoner-Zero, arXiv 2503.24290; Open-Reasoner-Zero, `orz_7b_ppo.py`: what counts is the last box
    between the first `<answer>` and the last `</answer>`, where the first box after `<answer>` opens before the last
    `}` that precedes the last `</answer>`. Answers are compared by `math_equal` rather than by that repository's own
    rules.

    Args:
        response: All that follows the prompt.
        answers: Accepted answers.
        finished: Whether the model ended its turn itself or by a stop string (`stop_reason == "stop"`).

    Raises:
        InputError: If math-verify is needed and not installed, or there are no answers.
    """
    golds = as_answers(answers)
    answer = orz_answer(response)
    return float(finished and answer is not None and any_equal(answer, golds))


def orz_answer(response: str) -> str | None:
    """The answer that Open-Reasoner-Zero reads in a response; None if there is none."""
    opened = response.find("<answer>")
    box = response.find("\\boxed{", opened) if opened >= 0 else -1
    close = response.rfind("}", 0, max(response.rfind("</answer>"), 0))
    if not 0 <= box < close:
        return None
    inside = response[box : close + 1]
    start = inside.rfind("\\boxed")
    content = braced(inside, start + len("\\boxed")) if inside.startswith("\\boxed{", start) else None
    return inside if content is None else content


def soft_verifier_reward(verdict: bool | None, probability: float) -> float:
    """The probability that a generative verifier gives to the answer being right.

    Source: "Crossing the Reward Bridge", arXiv 2503.23829, section 3.2: P(1) where the verifier says 1, 1 - P(0) where
    it says 0, and 0 where it says anything else.

    Args:
        verdict: What the verifier said; None for neither.
        probability: The probability of the token that it said.

    Raises:
        InputError: If the probability is none.
    """
    if not 0.0 <= probability <= 1.0:
        raise InputError(f"a probability must be from 0 to 1, not {probability}")
    if verdict is None:
        return 0.0
    return probability if verdict else 1.0 - probability
