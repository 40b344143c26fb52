from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from toolgym.envs import Limits, ReActFeverEnv, Task, TaskSet, World, read_rows
from toolgym.envs.react_fever import page_title
from toolgym.tools import InputError, PageStore

PAGES = PageStore({"Ulm": "Ulm is a city. It lies on the Danube.", "Soul Food (film)": "Soul Food is a film of 1997."})
FILM = "Soul_Food_-LRB-film-RRB-"
ROWS: list[dict[str, Any]] = [
    {"id": 5, "claim": "Ulm is a city.", "label": "SUPPORTS", "evidence_pages": ["Ulm", "Ulm"]},
    {"claim": "Ulm lies on the Rhine.", "label": "REFUTES", "evidence": ["It lies on the Danube ."]},
    {
        "claim": "Soul Food is a film.",
        "label": "SUPPORTS",
        "evidence": [
            [[1, 2, "Soul_Food_-LRB-film-RRB-", 0]],
            [[3, 4, "Ulm", 1], [3, 4, "Soul_Food_-LRB-film-RRB-", 2]],
        ],
    },
    {"claim": "Ulm is vegan.", "label": "NOT ENOUGH INFO", "evidence": [[[7, None, None, None]]]},
]


def finish(env: ReActFeverEnv, label: str, task_id: str) -> tuple[float, float]:
    env.reset(options={"task_id": task_id})
    _, reward, _, _, info = env.step(env.action_format.write_answer("I know.", label, 1))
    return reward, info["score"]


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("variant", ["code", "paper"])
def test_the_oracle_reads_the_labels_off_the_pages(hops: int, variant: Any, evaluate: Callable[..., Any]) -> None:
    env = ReActFeverEnv(hops=hops, size=30, split="test", variant=variant)
    assert evaluate(env, env.oracle()) == {"scores": [1.0] * 30, "rewards": [1.0] * 30}
    assert len(env.episode.turns) == hops + 1
    assert env.oracle_gap(env.tasks[0]) == ""


def test_the_oracle_needs_the_pages(evaluate: Callable[..., Any]) -> None:
    nothing = PageStore({"Nobody": "Nobody is known here."})
    env = ReActFeverEnv(corpus=nothing, size=30)
    assert sum(evaluate(env, env.oracle())["scores"]) == 10, "nothing can be decided, and ten are like that"


def test_the_oracle_looks_up_what_the_head_of_a_page_hides(evaluate: Callable[..., Any]) -> None:
    relations = ("mother", "boss", "friend", "teacher", "neighbour", "cousin", "baker", "tailor")
    env = ReActFeverEnv(World(relations=relations), size=60, hops=1)
    assert evaluate(env, env.oracle())["scores"] == [1.0] * 60
    names: set[str] = set()
    for task in env.tasks:
        env.reset(options={"task_id": task.id})
        while env.episode.stop_reason is None:
            env.step(env.oracle()(env.episode))
        calls = [turn.parsed.calls[0].name for turn in env.episode.turns[:-1]]
        assert calls in (["search"], ["search", "lookup"])
        if task.answers[0] == "NOT ENOUGH INFO":
            assert calls == ["search", "lookup"], "a long page is searched to its end"
            assert env.episode.turns[1].results[0].output == "No more results.\n"
        names.update(calls)
    assert names == {"search", "lookup"}


@pytest.mark.parametrize(
    "answer, score",
    [("REFUTES", 1), (" refutes. ", 1), ("SUPPORTS", 0), ("NOT ENOUGH INFO", 0), ("REFUTES SUPPORTS", 0)],
)
def test_labels_are_compared_after_normalisation(answer: str, score: float) -> None:
    env = ReActFeverEnv(ROWS, PAGES)
    assert finish(env, answer, "rows-1") == (score, score)


def test_not_enough_information_is_another_label() -> None:
    env = ReActFeverEnv(ROWS, PAGES)
    assert finish(env, "not enough info", "rows-3") == (1, 1)
    assert finish(env, "NOT ENOUGH INFORMATION", "rows-3") == (0, 0)


def test_rows_of_all_three_forms(evaluate: Callable[..., Any]) -> None:
    env = ReActFeverEnv(ROWS, PAGES)
    assert [task.id for task in env.tasks] == ["5", "rows-1", "rows-2", "rows-3"]
    assert [task.metadata["supporting"] for task in env.tasks] == [["Ulm"], [], ["Soul Food (film)", "Ulm"], []]
    assert env.tasks[1].metadata["evidence"] == ["It lies on the Danube ."]
    assert "evidence" not in env.tasks[2].metadata
    assert all(task.metadata["kind"] == "claim" for task in env.tasks)
    assert evaluate(env, env.oracle())["scores"] == [1.0] * 4
    assert env.guess_rate == 0.5
    unknown = "no supporting page is known"
    assert [env.oracle_gap(task) for task in env.tasks] == ["", unknown, "", ""]
    one_page = ReActFeverEnv(ROWS, PageStore({"Ulm": "Ulm may refer to: a city"}), limits=Limits(max_turns=2))
    gaps = [one_page.oracle_gap(task) for task in one_page.tasks]
    assert gaps == ["the page 'Ulm' is one of disambiguation", unknown, "there is no page 'Soul Food (film)'", ""]
    short = ReActFeverEnv(ROWS, PAGES, limits=Limits(max_turns=2))
    assert short.oracle_gap(short.tasks[2]) == "1 of 2 supporting pages do not fit into the turns"
    assert evaluate(short, short.oracle())["scores"] == [1.0] * 4


def test_titles_are_unescaped() -> None:
    escaped = "Star_Trek-COLON-_First_Contact_-LRB-film-RRB-_-LSB-a-RSB-_-LCB-b-RCB-"
    assert page_title(escaped) == "Star Trek: First Contact (film) [a] {b}"


def test_the_bare_claim_under_react_and_a_question_elsewhere() -> None:
    bare, asked = ReActFeverEnv(ROWS, PAGES), ReActFeverEnv(ROWS, PAGES, action_format="hermes")
    assert bare.tasks[0].question == "Ulm is a city."
    question = asked.tasks[0].question
    assert question.endswith("NOT ENOUGH INFO. Claim: Ulm is a city.") and question.startswith("Does the encyclopaedia")
    generated = ReActFeverEnv(action_format="hermes", size=3)
    assert all("Claim: The " in task.question for task in generated.tasks)


def test_turns_of_code_and_paper() -> None:
    assert ReActFeverEnv(size=3).limits.max_turns == 7
    assert ReActFeverEnv(size=3, variant="paper").limits.max_turns == 5
    assert ReActFeverEnv(size=3, variant="paper", limits="published").limits.max_turns == 5
    assert ReActFeverEnv(size=3, limits=Limits(max_turns=2)).limits == Limits(max_turns=2)
    env = ReActFeverEnv(size=3, variant="paper")
    env.reset(seed=0)
    for turn in range(1, 6):
        *_, truncated, info = env.step(f" I try.\nAction {turn}: Search[nobody]")
    assert truncated and info["stop_reason"] == "max_turns" and info["score"] == 0


def test_guessing_earns_a_third(evaluate: Callable[..., Any]) -> None:
    env = ReActFeverEnv(size=50)
    assert env.guess_rate == 17 / 50, "seventeen blocks of three are begun"
    for label in ("SUPPORTS", "REFUTES", "NOT ENOUGH INFO"):
        scores = evaluate(env, lambda episode, label=label: env.action_format.write_answer("x", label, 1))["scores"]
        assert sum(scores) / 50 <= env.guess_rate
    assert ReActFeverEnv(size=None).guess_rate == pytest.approx(1 / 3)


def test_a_task_set_must_hold_claims() -> None:
    claim = Task("1", "Ulm is a city.", ("SUPPORTS",), {"kind": "claim"})
    assert len(ReActFeverEnv(TaskSet([claim]), PAGES).tasks) == 1
    with pytest.raises(InputError, match="its tasks are no claims"):
        ReActFeverEnv(TaskSet([Task("1", "Who?", ("x",))]), PAGES)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="variant must be 'code' or 'paper', not 'book'"):
        ReActFeverEnv(variant="book")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="task '7': a label is 'SUPPORTS', 'REFUTES', 'NOT ENOUGH INFO', not 'TRUE'"):
        ReActFeverEnv([{"id": 7, "claim": "x", "label": "TRUE"}], PAGES)
    with pytest.raises(InputError, match="row 1 has no field 'label'"):
        ReActFeverEnv([{"claim": "x"}], PAGES)
    with pytest.raises(InputError, match="rows need pages"):
        ReActFeverEnv(ROWS)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["data", "paper_dev_9999"])
def test_real_rows(data: Any, name: str, evaluate: Callable[..., Any]) -> None:
    rows = list(read_rows(data / "fever_evidence" / f"{name}.jsonl.gz"))[:200]
    env = ReActFeverEnv(rows, data / "wiki_paragraphs" / "small.jsonl.gz")
    assert evaluate(env, env.oracle())["scores"] == [1.0] * 200
    with_evidence = [task for task in env.tasks if task.metadata["supporting"] or task.metadata.get("evidence")]
    assert len(with_evidence) == sum(task.answers[0] != "NOT ENOUGH INFO" for task in env.tasks)
