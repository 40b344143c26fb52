"""The reward of ReCall: F1 of the last turn's box, 0.1 for form."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .research import FORM_REWARD
from .scanning import CHAT_HEADER, blocks, hendrycks_box, paired, spans
from .text import as_answers, f1_score

_END = "<|im_end|>"


def recall_reward(turns: Sequence[str], answers: str | Sequence[str], *, finished: bool = True) -> float:
    r"""The reward of an episode's assistant turns: F1 in (0, 1], 0.1 or 0.

    Source: ReCall, Agent-RL/ReCall, `re_call.py`. Any fault of form (`recall_format`) and an end that the model did not
    make earn 0. The box is looked for in the whole last turn, as `hendrycks_box` finds it.

    Args:
        turns: The assistant's messages, each with the `<think>` that the framework wrote; `chat_turns` finds them in a
            text.
        answers: Accepted answers.
        finished: Whether the whole text ends with the end-of-turn token.

    Raises:
        InputError: If there are no answers.
    """
    golds = as_answers(answers)
    answer = hendrycks_box(turns[-1]) if turns else None
    f1 = 0.0 if answer is None else f1_score(answer, golds)
    if answer is None or not finished or not recall_format(turns):
        return 0.0
    return f1 or FORM_REWARD


def recall_format(turns: Sequence[str]) -> bool:
    r"""Whether assistant turns have ReCall's form.

    There is at least one. In each, thoughts and calls are paired, there is a thought, and what stands in a
    `<tool_call>` is JSON that holds the texts `"name"` and `"arguments"`. The last turn holds `\box`.
    """
    return bool(turns) and all(map(_turn_formed, turns)) and "\\box" in turns[-1]


def _turn_formed(turn: str) -> bool:
    if "<think>" not in turn or not paired(turn, "think") or not paired(turn, "tool_call"):
        return False
    return all(map(_is_call, blocks(turn, "tool_call")))


def _is_call(content: str) -> bool:
    return '"name"' in content and '"arguments"' in content and _is_json(content.strip())


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):  # endless nesting and numbers are no call either
        return False
    return True


def chat_turns(text: str) -> list[str]:
    """The assistant's messages of a text in ChatML, stripped; one that is never closed ends the list."""
    return [text[start:end].strip() for start, end in spans(text, CHAT_HEADER, _END)]
