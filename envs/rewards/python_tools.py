r"""Rewards of mathematics with a Python tool: ReTool, ToRL, SimpleTIR."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from .math import any_equal
from .scanning import braced, last_box
from .text import as_answers, one_of

RetoolVariant = Literal["paper", "verl"]
TorlVariant = Literal["default", "wformat"]
SimpleTirVariant = Literal["paper", "code"]

RIGHT, WRONG = 1.0, -1.0
"""ReTool (arXiv 2504.11536, section 2.3) and ToRL (arXiv 2503.23383) pay and charge the same."""

VERL_WRONG_CEILING, VERL_TOOL_BONUS = -0.6, 0.1
"""What verl's recipe of ReTool makes of wrong answers: 0.1 more for every round of tools, up to -0.6."""

TORL_EXECUTION_PENALTY, TORL_WRONG_BOX = -0.5, -0.5
_VERL_TAIL, _TORL_DEPTH = 100, 3
_STOP_WORDS = ("</s>", "<|im_end|>", "<|endoftext|>", "[END]")
_CODE_BLOCK = re.compile(r"```(?:py|python)?\n")
_BRACE = re.compile(r"\\?[{}]")
_NUMBER = re.compile(r"-?\d*\.?\d+")


def retool_reward(
    response: str, answers: str | Sequence[str], *, variant: RetoolVariant = "paper", num_turns: int = 2
) -> float:
    r"""+1 for the right answer, -1 for any other; nothing for form.

    Source: ReTool, arXiv 2504.11536, section 2.3 (`paper`): the last `\boxed{}` is compared by `math_equal`. The recipe
    of verl (`recipe/retool/retool.py`, `math_dapo.py`; `verl`) compares the text of the last `\boxed{` within the last
    100 characters letter by letter, and raises a wrong answer's reward by 0.1 for every round of tools, to -0.6 at
    most.

    Args:
        response: All that follows the prompt, interpreter output included.
        answers: Accepted answers.
        variant: `paper` or `verl`.
        num_turns: Messages of the conversation, the prompt included: 2 without tools, 2 more for every round. Of
            `verl` alone.

    Raises:
        InputError: For an unknown variant, if math-verify is needed and not installed, or there are no answers.
    """
    one_of("variant", variant, RetoolVariant)
    golds = as_answers(answers)
    if variant == "verl":
        if last_box(response[-_VERL_TAIL:]) in golds:
            return RIGHT
        return min(VERL_WRONG_CEILING, WRONG + (num_turns - 2) / 2 * VERL_TOOL_BONUS)
    boxed = last_box(response)
    return RIGHT if boxed is not None and any_equal(boxed, golds) else WRONG


def torl_reward(
    response: str,
    answers: str | Sequence[str],
    *,
    variant: TorlVariant = "default",
    failed_execution: bool = False,
) -> float:
    r"""+1 if the last box is right, -1 if not.

    Source: ToRL, arXiv 2503.23383; GAIR-NLP/ToRL, `math_verifier.py`. Answers are equal if they are the same text
    without regard to case, or by `math_equal`. Departure: the code has math-verify read them as bare text, where it
    finds numbers but hardly a formula: roots, tuples and `x^2+1` equal nothing but their own text.

    Args:
        response: All that follows the prompt, output of the code included.
        answers: Accepted answers.
        variant: `default`, or `wformat` (the code's `v2.wformat`) in which a wrong answer in a box earns -0.5.
        failed_execution: Whether code failed; takes 0.5 off (the paper tried it and left it out).

    Raises:
        InputError: For an unknown variant, if math-verify is needed and not installed, or there are no answers.
    """
    one_of("variant", variant, TorlVariant)
    golds = as_answers(answers)
    boxed = torl_box(response)
    penalty = TORL_EXECUTION_PENALTY if failed_execution else 0.0
    if boxed is None:
        return WRONG + penalty
    same = any(boxed.strip().lower() == gold.strip().lower() for gold in golds)
    if same or any_equal(boxed, golds):
        return RIGHT + penalty
    return (TORL_WRONG_BOX if variant == "wformat" else WRONG) + penalty


def torl_box(response: str) -> str | None:
    r"""The content of the last box that ToRL's pattern finds; None if it finds none.

    A box holds at most three levels of braces. `\{` and `\}` are read as plain braces first, and as characters where
    the box does not close otherwise. Boxes are taken from left to right, none inside another.
    """
    braces = [(match.start() + len(match[0]) - 1, match[0]) for match in _BRACE.finditer(response)]
    ends = _box_ends(braces)
    found, position = None, 0
    for index, (brace, _) in enumerate(braces):
        start = brace - len("\\boxed")
        if start >= position and response.startswith("\\boxed{", start) and ends[index + 1] >= 0:
            found, position = response[brace + 1 : ends[index + 1]], ends[index + 1] + 1
    return found


def _box_ends(braces: Sequence[tuple[int, str]]) -> list[int]:
    """Of each brace, where a box closes whose content goes on with it; -1 if nowhere."""
    ends = [-1] * (len(braces) + 1)
    after = [-1] * (_TORL_DEPTH + 1)  # where the box closes, by the depth at which what follows is read
    for index in range(len(braces) - 1, -1, -1):
        position, mark = braces[index]
        here = [*after[1:], -1] if mark[-1] == "{" else [position, *after[:-1]]
        if len(mark) > 1:  # escaped: a character where it is not a brace, but in the innermost group
            here[:-1] = [end if end >= 0 else other for end, other in zip(here, after[:-1], strict=False)]
        ends[index], after = here[0], here
    return ends


def simple_tir_reward(response: str, answers: str | Sequence[str], *, variant: SimpleTirVariant = "code") -> float:
    r"""1 if the answer is right, else 0. Trajectories with a void turn are to be left out: see `has_void_turn`.

    Source: SimpleTIR, arXiv 2509.02479 (`paper`: the last box, which the code may have printed by `final_answer`);
    ltzheng/SimpleTIR, `hf_math_verify.py` (`code`: see `simple_tir_answer`). Answers are compared by `math_equal`.

    Args:
        response: All that follows the prompt, output of the code included.
        answers: Accepted answers.
        variant: `code` or `paper`.

    Raises:
        InputError: For an unknown variant, if math-verify is needed and not installed, or there are no answers.
    """
    one_of("variant", variant, SimpleTirVariant)
    golds = as_answers(answers)
    answer = last_box(response) if variant == "paper" else simple_tir_answer(response)
    return float(bool(answer) and any_equal(answer or "", golds))


def simple_tir_answer(response: str) -> str:
    r"""The answer that SimpleTIR's code reads in a response; "" if there is none.

    What follows an end-of-turn mark is cut. Then, whatever comes first in this list: what stands between "final answer
    is $" and "$. I hope"; the braces after the last "boxed" (without braces, up to a dollar sign); what follows the
    last "he answer is", or "final answer is", or the first "答案是" up to an empty line; the last number. Line breaks,
    a colon before it and a full stop after it go. Source: `qwen_math_eval_toolkit/parser.py`, whose last step is left
    out: it takes units away, of one letter too, and makes "-2" of "t-2".
    """
    for word in _STOP_WORDS:
        head, cut, _ = response.partition(word)
        response = head.strip() if cut else response
    answer = re.sub(r"\n\s*", "", _simple_tir_raw(response))
    return answer.removeprefix(":").removesuffix(".").removesuffix("/").strip()


def _simple_tir_raw(text: str) -> str:
    if "final answer is $" in text and "$. I hope" in text:
        return text.partition("final answer is $")[2].partition("$. I hope")[0].strip()
    _, boxed, after = text.rpartition("boxed")
    if boxed:
        if not after.startswith("{"):
            return after.partition("$")[0].strip()
        content = braced(after, 0)
        return after[1:] if content is None else content
    for words in ("he answer is", "final answer is"):
        _, said, after = text.rpartition(words)
        if said:
            return after.strip()
    if "答案是" in text:  # the answer is
        return text.split("答案是")[1].strip().partition("\n\n")[0].strip()
    numbers = _NUMBER.findall(text.replace(",", ""))
    return numbers[-1] if numbers else ""


def is_void_turn(turn: str) -> bool:
    r"""Whether a turn holds neither a complete code block nor a `\boxed{`.

    Source: SimpleTIR, arXiv 2509.02479, section 3.3; ltzheng/SimpleTIR, `agent_utils.py`. A block opens with three
    backquotes, `py`, `python` or nothing and a line break, and is complete where a line starts with three backquotes
    after that.
    """
    opening = _CODE_BLOCK.search(turn)
    complete = opening is not None and turn.find("\n```", opening.end()) >= 0
    return not complete and "\\boxed{" not in turn


def has_void_turn(turns: Sequence[str]) -> bool:
    """Whether a trajectory has a void turn: it is left out of the loss and of its group's statistics."""
    return any(map(is_void_turn, turns))
