"""The rewards of ReAct: HotpotQA answers and FEVER labels."""

from __future__ import annotations

from collections.abc import Sequence

from .text import exact_match

FEVER_LABELS = ("SUPPORTS", "REFUTES", "NOT ENOUGH INFO")
"""The labels of FEVER (arXiv 1803.05355) as the gold data spells them."""


def react_reward(prediction: str | None, answers: str | Sequence[str]) -> float:
    """1 if the argument of `finish[...]` equals an accepted answer after normalisation, else 0.

    Source: ReAct, arXiv 2210.03629; ysymyth/ReAct, `wrappers.py`. An episode that runs out of steps is finished with an
    empty answer, which earns 0; so does one without any.

    Args:
        prediction: The answer; None where the episode was never finished.
        answers: Accepted answers.

    Raises:
        InputError: If there are no answers.
    """
    return exact_match("" if prediction is None else prediction, answers)


def fever_reward(prediction: str | None, label: str) -> float:
    """1 if the label that was given is the claim's after normalisation, else 0.

    Source: ReAct, arXiv 2210.03629; ysymyth/ReAct, `wrappers.py` (`FeverWrapper`).

    Args:
        prediction: The label; None where the episode was never finished.
        label: The claim's: one of `FEVER_LABELS`.
    """
    return react_reward(prediction, label)
