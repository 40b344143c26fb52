"""The 500 questions on which ReAct's notebooks evaluate."""

from __future__ import annotations

import random
from typing import Literal, get_args

from ..tools.errors import InputError
from .task import TaskSet

Subset = Literal["all", "paper"]
POSITION = "dev_index"
"""Field of a row, and key of a task's metadata, that tells its position in the official development file."""

HOTPOTQA_ROWS = 7405
"""Questions in HotpotQA's development file, `hotpot_dev_v1_simplified.json` in ysymyth/ReAct."""
FEVER_ROWS = 9999
"""Claims in FEVER's `paper_dev.jsonl`."""

_SHUFFLE_SEED = 233
_COUNT = 500


def paper_positions() -> list[int]:
    """Positions in the development file, counted from 0, in the order in which the notebooks play them.

    Source: `hotpotqa.ipynb` and `FEVER.ipynb` of ysymyth/ReAct: `random.Random(233)` shuffles `range(7405)`, and the
    first 500 are taken. FEVER's notebook takes the same numbers, although its file is longer.
    """
    positions = list(range(HOTPOTQA_ROWS))
    random.Random(_SHUFFLE_SEED).shuffle(positions)
    return positions[:_COUNT]


def choose_subset(tasks: TaskSet, subset: Subset, official_rows: int) -> TaskSet:
    """All tasks, or those of them that are among the paper's 500, in the paper's order.

    Args:
        tasks: Tasks from rows. They know their positions by `dev_index` in their metadata; without, they must be the
            whole file in its order.
        subset: `all` or `paper`.
        official_rows: Rows of the whole file.

    Raises:
        InputError: If positions are not known, or none of the tasks is among the 500.
    """
    if subset not in get_args(Subset):
        raise InputError(f"subset must be {' or '.join(map(repr, get_args(Subset)))}, not {subset!r}")
    if subset == "all":
        return tasks
    if tasks.endless:
        raise InputError(f"subset='paper' picks from the official development file; {tasks.name} is generated")
    known = {task.metadata[POSITION]: task for task in tasks if POSITION in task.metadata}
    if not known and len(tasks) == official_rows:
        known = dict(enumerate(tasks))
    if not known:
        raise InputError(
            f"subset='paper' needs all {official_rows} rows of the official development file in their order, or rows "
            f"with a {POSITION!r}; {tasks.name} has {len(tasks)} rows without"
        )
    chosen = [known[position] for position in paper_positions() if position in known]
    if not chosen:
        raise InputError(f"none of the {len(tasks)} rows of {tasks.name} is among the paper's {_COUNT}")
    return TaskSet(chosen, f"{tasks.name}-paper")
