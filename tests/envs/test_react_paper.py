from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from toolgym.envs import ReActFeverEnv, ReActQAEnv, Task, TaskSet, read_rows
from toolgym.envs.react_paper import FEVER_ROWS, HOTPOTQA_ROWS, choose_subset, paper_positions
from toolgym.tools import InputError, PageStore

PAGES = PageStore({"Ulm": "A city on the Danube."})


def test_the_positions_are_those_of_the_notebook() -> None:
    # The outputs that FEVER.ipynb stores begin with these claims, by their positions.
    assert paper_positions()[:10] == [3687, 6238, 5388, 3522, 3824, 2866, 1551, 2544, 1557, 5762]
    order = list(range(7405))
    random.Random(233).shuffle(order)
    assert paper_positions() == order[:500] and order[499] == 4082
    assert len(set(paper_positions())) == 500


def test_no_global_random_state_is_used() -> None:
    before = random.getstate()
    paper_positions()
    assert random.getstate() == before


def test_whole_files_are_picked_from_by_their_order() -> None:
    rows = [{"question": f"q{index}", "answer": "a"} for index in range(HOTPOTQA_ROWS)]
    env = ReActQAEnv(rows, PAGES, subset="paper")
    assert [task.question for task in env.tasks] == [f"q{position}" for position in paper_positions()]
    assert env.tasks.name == "rows-paper" and env.tasks[0].id == "rows-3687"
    claims = [{"claim": f"c{index}", "label": "REFUTES"} for index in range(FEVER_ROWS)]
    fever = ReActFeverEnv(claims, PAGES, subset="paper")
    assert [task.question for task in fever.tasks] == [f"c{position}" for position in paper_positions()]


def test_rows_may_tell_their_positions() -> None:
    rows: list[dict[str, Any]] = [
        {"question": str(position), "answer": "a", "dev_index": position} for position in (0, 5388, 3687, 4082)
    ]
    env = ReActQAEnv(rows, PAGES, subset="paper")
    assert [task.question for task in env.tasks] == ["3687", "5388", "4082"], "in the paper's order"
    claims = [{"claim": "c", "label": "REFUTES", "dev_index": 6238}]
    assert len(ReActFeverEnv(claims, PAGES, subset="paper").tasks) == 1
    with pytest.raises(InputError, match="none of the 1 rows"):
        ReActQAEnv(rows[:1], PAGES, subset="paper")


def test_what_cannot_be_picked_from_is_refused() -> None:
    with pytest.raises(InputError, match=r"needs all 7405 rows .* rows has 1 rows without"):
        ReActQAEnv([{"question": "q", "answer": "a"}], PAGES, subset="paper")
    with pytest.raises(InputError, match="needs all 7405 rows"):
        ReActQAEnv(subset="paper")
    with pytest.raises(InputError, match="is generated"):
        ReActFeverEnv(size=None, subset="paper")
    with pytest.raises(InputError, match="must be 'all' or 'paper'"):
        choose_subset(TaskSet([Task("1", "q", ("a",))]), "dev", 1)  # type: ignore[arg-type]


@pytest.mark.real_data
def test_the_real_files(data: Path) -> None:
    questions = ReActQAEnv(data / "open_questions" / "hotpotqa_dev_7405.jsonl.gz", PAGES, subset="paper").tasks
    assert [task.id for task in questions] == [f"hotpot-dev-{position}" for position in paper_positions()]
    assert questions[1].question == "Who created the show with Wendy Schaal doing the voice of Francine?"
    claims = ReActFeverEnv(data / "fever_evidence" / "paper_dev_9999.jsonl.gz", PAGES, subset="paper").tasks
    assert len(claims) == 500
    # As stored in FEVER.ipynb.
    assert [(task.question, task.answers[0]) for task in claims][:3] == [
        ("Paramore is not from Tennessee.", "REFUTES"),
        ("Eric Church is a sound mixer.", "NOT ENOUGH INFO"),
        ("Victoria Palace Theatre is barely in the West End.", "REFUTES"),
    ]
    rows = list(read_rows(data / "open_questions" / "hotpotqa_dev_7405.jsonl.gz"))
    assert len(rows) == HOTPOTQA_ROWS
