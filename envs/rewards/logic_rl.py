"""The reward of Logic-RL: form, then the roles of all persons."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from ...tools.errors import InputError

FORMAT_REWARD = 1.0
RIGHT, WRONG, UNREADABLE = 2.0, -1.5, -2.0
"""Constants of Logic-RL (arXiv 2502.14768, section 3; Unakar/Logic-RL, `kk.py`)."""

_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_ROLE = re.compile(r"([\w'-]+) is a (knight|knave)\b", re.IGNORECASE)


def logic_rl_reward(response: str, solution: Mapping[str, bool | str] | str, *, prefill: str = "<think>") -> float:
    """The reward of a whole response: 3, -0.5, -1 or -3.

    Source: Logic-RL, arXiv 2502.14768; Unakar/Logic-RL, `verl/utils/reward_score/kk.py`. The form earns +1 or -1. In
    the right form, the roles earn +2 if all are right and -1.5 if not; an answer that cannot be read, and any answer in
    the wrong form, earns -2.

    Args:
        response: All that follows the prompt and the prefill.
        solution: Who is a knight (True, or the word) and who a knave (False, or the word), or a text such as
            `Zoey is a knight, and Oliver is a knave.`
        prefill: What the framework put before the response; the form is judged with it.

    Raises:
        InputError: If the solution names nobody, or a role that is none.
    """
    roles = solution_roles(solution)
    text = prefill + response
    if not logic_rl_format(text):
        return -FORMAT_REWARD + UNREADABLE
    given = read_roles(text[text.find("<answer>") + len("<answer>") : text.find("</answer>")], roles)
    if given is None:
        return FORMAT_REWARD + UNREADABLE
    return FORMAT_REWARD + (RIGHT if given == roles else WRONG)


def logic_rl_format(text: str) -> bool:
    """Whether each of the think and answer tags occurs exactly once and in order, prefill included."""
    if any(text.count(tag) != 1 for tag in _TAGS):
        return False
    positions = [text.find(tag) for tag in _TAGS]
    return positions == sorted(positions)


def read_roles(answer: str, names: Collection[str]) -> dict[str, bool] | None:
    """The roles that an answer gives to persons, or None if it cannot be read.

    As in the official parser, the words "knight" and "knave" must occur as often as there are persons (so that "a
    knight (not a knave)" cannot be read), and each person needs a `NAME is a knight|knave`.

    Args:
        answer: Text of the answer.
        names: The persons.
    """
    lowered = answer.lower()
    if lowered.count("knight") + lowered.count("knave") != len(names):
        return None
    roles = {}
    for name in names:
        said = re.search(rf"\b{re.escape(name)}\b\s+is\s+a\s+\b(knight|knave)\b", answer, re.IGNORECASE)
        if said is None:
            return None
        roles[name] = said[1].lower() == "knight"
    return roles


def solution_roles(solution: Mapping[str, bool | str] | str) -> dict[str, bool]:
    """Roles by name, from a mapping or from a text of `NAME is a knight|knave` clauses.

    Raises:
        InputError: If it names nobody, or a role that is none.
    """
    if isinstance(solution, str):
        roles = {name: _is_knight(role) for name, role in _ROLE.findall(solution)}
    else:
        roles = {str(name): _is_knight(role) for name, role in solution.items()}
    if not roles:
        raise InputError(f"a puzzle's solution must say who is a knight and who a knave; {solution!r:.80} names nobody")
    return roles


def _is_knight(role: bool | str) -> bool:
    if isinstance(role, str) and role.lower() in ("knight", "knave"):
        return role.lower() == "knight"
    if isinstance(role, str) or role not in (True, False):
        raise InputError(f"a role is True or 'knight', False or 'knave', not {role!r:.60}")
    return bool(role)
