"""The reward of AutoTIR: ReSearch's, and a fine for the wrong tool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .research import FORM_REWARD, answer_boxed, thought_and_answered
from .scanning import ended, first_block, hendrycks_box, in_order
from .text import as_answers, f1_score, one_of

RequiredTool = Literal["search", "code", "general"]

WRONG_TOOL = -0.1
"""What a response that used another tool than the task asks for earns (AutoTIR, arXiv 2507.21836)."""

_TOOL_TAGS = tuple(f"<{slash}{tag}>" for tag in ("search", "code", "result") for slash in ("", "/"))


def autotir_reward(
    response: str,
    answers: str | Sequence[str],
    *,
    tool: RequiredTool,
    finished: bool = True,
    eos: str | None = None,
    header: str = "Assistant:",
) -> float:
    r"""The reward of a whole response: F1 in (0, 1], 0.1, 0 or -0.1.

    Source: AutoTIR, arXiv 2507.21836; weiyifan1023/AutoTIR, `auto_tir.py`. Thoughts or answer tags that are not as
    ReSearch asks for earn 0, before anything else is looked at. Then the other tool's opening tag (with `general`, any
    tag of a tool or a result) earns -0.1. A response that never uses the tool it should, calls without results, an
    answer without a box and an unfinished response earn 0. The instructions of IFEval, which the code judges by
    programs of their own, are left out.

    Args:
        response: All that follows the prompt, results included.
        answers: Accepted answers.
        tool: What the task's data set asks for: `search` (MuSiQue), `code` (ToRL, DAPO and SynTool data) or `general`,
            which is none.
        finished: Whether the model ended its turn itself. Ignored where `eos` is given.
        eos: The end-of-turn token, where the response still holds it.
        header: What ends the prompt; a response that repeats it is cut there, as in `research_reward`.

    Raises:
        InputError: For an unknown tool or no answers.
    """
    one_of("tool", tool, RequiredTool)
    golds = as_answers(answers)
    response, finished = ended(response, finished, eos, header)
    formed, wrong_tool = _judged(response, tool)
    if wrong_tool:
        return WRONG_TOOL
    block = first_block(response, "answer")
    answer = None if block is None else hendrycks_box(block)
    if not (formed and finished) or answer is None:
        return 0.0
    return f1_score(answer, golds) or FORM_REWARD


def _judged(response: str, tool: RequiredTool) -> tuple[bool, bool]:
    """Whether the form is right, and whether the wrong tool was used."""
    if not thought_and_answered(response):
        return False, False
    if tool == "general":
        used = any(tag in response for tag in _TOOL_TAGS)
        return not used and answer_boxed(response), used
    if ("<code>" if tool == "search" else "<search>") in response:
        return False, True
    called = f"<{tool}>" in response and in_order(response, (f"<{tool}>", f"</{tool}>", "<result>", "</result>"))
    return called and answer_boxed(response), False
