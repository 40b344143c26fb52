"""The rewards of ReAct: HotpotQA answers and FEVER labels."""

from __future__ import annotations

from collections.abc import Sequence

from .text import exact_match

FEVER_LABELS = ("SUPPORTS", "REFUTES", "NOT ENOUGH INFO")
"""The labels of FEVER (arXiv 1803.05355) as the gold data spells them."""


def react_reward(prediction: str | None, answers: str | Sequence[str]) -> float:
    """1 if the argument of `finish[...]` equals an accepted answer after normalisation, else 0.

    Source: ReAct, arXiv 2210.03629; ysymyth/ReAct, `wrappers.py`. An episode without an answer earns 0; one that runs
    out of steps is finished with an empty answer in the notebooks.

    Args:
        prediction: The answer; None where the episode was never finished.
        answers: Accepted answers.

    Raises:
        InputError: If there are no answers.
    """
    equal = exact_match(prediction or "", answers)
    return 0.0 if prediction is None else equal


def fever_reward(prediction: str | None, label: str) -> float:
    """1 if the label that was given is the claim's after normalisation, else 0.

    Source: ReAct, arXiv 2210.03629; ysymyth/ReAct, `wrappers.py` (`FeverWrapper`).

    Args:
        prediction: The label; None where the episode was never finished.
        label: The claim's: one of `FEVER_LABELS`.
    """
    return react_reward(prediction, label)
