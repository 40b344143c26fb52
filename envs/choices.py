"""Formats and rewards given by name, and what guessing may score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..tools.base import FunctionSchema
from ..tools.errors import InputError
from .formats.base import ActionFormat, PromptStyle
from .reward import RewardFunction, RewardSpec
from .task import TaskSet

_COUNTED = 1000


def pick_format(action_format: str | ActionFormat, prompt: PromptStyle) -> ActionFormat:
    """A format by name, with that prompt; an instance has chosen its prompt already.

    Raises:
        InputError: If there is no format of that name.
    """
    if isinstance(action_format, ActionFormat):
        return action_format
    from .formats import action_format as make_format

    return make_format(action_format, prompt)


def check_format(action_format: ActionFormat, functions: Sequence[FunctionSchema]) -> None:
    """Checks that calls of all functions can be written in a format.

    Raises:
        InputError: If one cannot; names the formats that can.
    """
    missing = [function.name for function in functions if not action_format.expresses(function)]
    if not missing:
        return
    from .formats import FORMATS

    able = [name for name, form in FORMATS.items() if all(map(form().expresses, functions))]
    raise InputError(
        f"format {action_format.name!r} cannot express calls of {', '.join(missing)}; "
        f"formats that can: {', '.join(sorted(able)) or 'none'}"
    )


def pick_reward(reward: RewardSpec) -> RewardFunction:
    """A reward function by name, or the one that is given.

    Raises:
        InputError: If there is none of that name.
    """
    if isinstance(reward, RewardFunction):
        return reward
    from .rewards import reward_function

    return reward_function(reward)


def commonest_share(tasks: TaskSet) -> float:
    """The score of the best constant answer: the share of the tasks that accept it, after normalisation.

    Of a set that never runs out the first thousand are looked at.
    """
    from .rewards import normalize_answer

    known = tasks.head(_COUNTED) if tasks.endless else tasks
    counts: Counter[str] = Counter()
    for task in known:
        counts.update({normalize_answer(answer) for answer in task.answers})
    return max(counts.values(), default=0) / len(known)
