"""`toolgym eval --save`, `--cassette`, and `toolgym replay`: stored episodes are scored again, nothing is played."""

from __future__ import annotations

import json
from typing import Any

import pytest

import toolgym as package
from toolgym.agents.replay import PairedDifference
from toolgym.agents.saved_evaluation import EvaluationFolder
from toolgym.envs.env import ToolEnv
from toolgym.envs.episode import RewardResult
from toolgym.envs.reward import RewardFunction
from toolgym.envs.task import Task, TaskSet
from toolgym.tools.errors import InputError

SEARCH = "toolgym/SearchQA-v0"
WRONG = 7 / 3
"""What a wrong answer earns of `Odd`: a number that takes all digits of a float."""


class Odd(ToolEnv):
    """Its tasks hold an object that cannot be stored; its reward is its own, and its arguments name none."""

    def __init__(self, right: int = 2) -> None:
        tasks = TaskSet(Task(f"t{i}", f"Is {i} below {right}?", ("yes",), {"check": range(i)}) for i in range(6))
        super().__init__(tasks, action_format="think_answer")
        self.right = right
        self.reward_function = RewardFunction("odd", self._reward, maximum=3.0)

    def _reward(self, episode: Any) -> RewardResult:
        solved = len(episode.task.metadata["check"]) < self.right
        return RewardResult(1.0 if solved else WRONG, {"solved": float(solved)})

    def score(self, episode: Any) -> float:
        return float(len(episode.task.metadata["check"]) < self.right)

    def oracle(self) -> Any:
        return lambda episode: self.action_format.write_answer("Yes.", "yes", 1)


package.register("tests/Odd-v0", Odd)


ANSWERS = ("Elva", "Elva River", "Oslo", None)
"""What a model answers to four tasks whose answer is Elva. By F1 they earn 1, 2/3 (a half of the words, all of the
answer), 0 and 0; by exact match 1, 0, 0 and 0."""


@pytest.fixture
def saved(toolgym, tmp_path, fake_openai):
    """An evaluation of that model, saved with the reward F1, and what it printed."""
    tasks, corpus, folder = tmp_path / "tasks.jsonl", tmp_path / "corpus.jsonl", tmp_path / "saved"
    rows = [{"id": f"t{i}", "question": f"Question {i}?", "answers": ["Elva"]} for i in range(4)]
    tasks.write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus.write_text(json.dumps({"id": "p", "title": "Norland", "text": "Its capital is Elva."}) + "\n")

    def reply(body: Any) -> str:
        number = next(i for i in range(4) if f"Question {i}?" in json.dumps(body))
        return "I do not know." if ANSWERS[number] is None else f"<answer> {ANSWERS[number]} </answer>"

    with fake_openai(reply) as server:
        arguments = ["--endpoint", server.url, "--model", "tiny", "--tasks", tasks, "--corpus", corpus]
        ended = toolgym("eval", SEARCH, *arguments, "--save", folder, "--reward", "f1", "--json")
    assert "4 episodes saved" in ended.stderr and f"toolgym replay {folder}" in ended.stderr
    assert [record["reward"] for record in ended.json["records"]] == pytest.approx([1, 2 / 3, 0, 0])
    return folder, ended.json


def test_the_evaluations_own_reward_is_found_again(toolgym, saved) -> None:
    folder, result = saved
    again = toolgym("replay", folder, "--json").json
    assert (again["episodes"], again["tasks"], again["changed"], again["reward_function"]) == (4, 4, 0, "f1")
    for old, new in zip(result["records"], again["records"], strict=True):
        assert (new["task_id"], new["answer"]) == (old["task_id"], old["answer"])
        assert (new["old_reward"], new["reward"], new["old_score"]) == (old["reward"], old["reward"], old["score"])
        assert new["terms"] == old["reward_terms"] and new["changed_terms"] == {}
    assert again["reward"]["new"] == again["reward"]["old"] == pytest.approx(5 / 12)
    assert again["reward"]["difference"] == 0 and again["reward"]["interval"] == [0, 0]


def test_another_reward_changes_what_it_should(toolgym, saved, tmp_path) -> None:
    folder, _ = saved
    out = tmp_path / "out.jsonl"
    found = toolgym("replay", folder, "--reward", "f1 + 0.5*exact_match", "--json", "--out", out).json
    assert {one["task_id"]: one["reward"] for one in found["records"]} == pytest.approx(
        {"t0": 1.5, "t1": 2 / 3, "t2": 0, "t3": 0}
    )
    assert (found["changed"], found["changed_rewards"], found["changed_scores"]) == (1, 1, 0)
    assert found["reward"]["difference"] == pytest.approx(1 / 8) and found["score"]["difference"] == 0
    assert found["records"][0]["changed_terms"]["exact_match"] == [None, 1.0]
    assert [json.loads(line) for line in out.read_text().splitlines()] == found["records"]
    exact = toolgym("replay", folder, "--reward", "exact_match", "--json").json
    (changed,) = [one for one in exact["records"] if one["changed"]]
    assert changed["task_id"] == "t1" and changed["reward"] == 0 and exact["records"][0] == changed
    assert exact["reward"]["difference"] == pytest.approx(-1 / 6)


def test_only_the_changed_and_only_so_many(toolgym, saved, tmp_path) -> None:
    folder, _ = saved
    out = tmp_path / "out.jsonl"
    command = ["replay", folder, "--reward", "2*f1", "--json", "--out", out]  # changes the first two

    def listed(*arguments: str) -> list[str]:
        found = toolgym(*command, *arguments).json
        assert found["episodes"] == 4 and found["changed"] == 2
        assert len(out.read_text().splitlines()) == len(found["records"])
        return [record["task_id"] for record in found["records"]]

    assert listed() == ["t0", "t1", "t2", "t3"] and listed("--limit", "3") == ["t0", "t1", "t2"]
    assert listed("--changed-only") == ["t0", "t1"] and listed("--changed-only", "--limit", "1") == ["t0"]
    assert listed("--limit", "0") == []


def test_the_table_says_what_changed(toolgym, tmp_path) -> None:
    folder = tmp_path / "saved"
    toolgym("eval", SEARCH, "--agent", "oracle", "--limit", "3", "--no-recall", "--save", folder)
    same = toolgym("replay", folder).stdout
    assert "0 (0 rewards, 0 scores)" in same and "1.000 → 1.000" in same and "paired bootstrap over tasks" in same
    table = toolgym("replay", folder, "--reward", "exact_match + 0.25*f1", "--limit", "2").stdout
    assert "3 (3 rewards, 0 scores)" in table and "1 → 1.25" in table and "difference +0.250" in table
    assert "1 more episodes are not shown" in table and "scored with exact_match + 0.25*f1" in table
    assert "world-0-test-2hop-0-0#0" in table and "exact_match – → 1" in table
    none = toolgym("replay", folder, "--changed-only")
    assert none.code == 0 and "world-0" not in none.stdout


def test_nothing_is_read_but_the_episodes(toolgym, tmp_path) -> None:
    """Tasks and corpus may be gone, and with them whatever the tools would need."""
    tasks, corpus, folder = tmp_path / "tasks.jsonl", tmp_path / "corpus.jsonl", tmp_path / "saved"
    tasks.write_text(json.dumps({"question": "Capital of Norland?", "answers": ["Elva"]}) + "\n")
    corpus.write_text(json.dumps({"id": "p", "title": "Norland", "text": "Its capital is Elva."}) + "\n")
    for env_id in (SEARCH, "toolgym/ReActQA-v0"):
        where = folder / env_id.partition("/")[2]
        arguments = ["--agent", "oracle", "--tasks", tasks, "--corpus", corpus, "--save", where]
        assert toolgym("eval", env_id, *arguments, "--json").json["score"] == 1
    for path in (tasks, corpus):
        path.unlink()
    for where in folder.iterdir():
        result = toolgym("replay", where, "--json").json
        assert (result["episodes"], result["changed"], result["score"]["new"]) == (1, 0, 1)


def test_tasks_that_cannot_be_stored_are_taken_from_the_environment(toolgym, tmp_path) -> None:
    folder = tmp_path / "saved"
    toolgym("eval", "tests/Odd-v0", "--agent", "oracle", "-o", "right=4", "--save", folder)
    own = toolgym("replay", folder, "--json").json
    assert (own["reward_function"], own["changed"]) == ("odd", 0)
    assert own["reward"]["new"] == pytest.approx((4 + 2 * WRONG) / 6)
    other = toolgym("replay", folder, "--reward", "exact_match", "--json").json
    assert other["reward_function"] == "exact_match" and other["changed_rewards"] == 2 and other["changed_scores"] == 0
    # One of the tasks from t4 on: 7/3 before, 1 now.
    assert other["records"][0]["task_id"] == "t4" and other["records"][0]["changed_terms"]["solved"] == [0.0, None]


def test_samples_of_a_task_are_one_unit_of_the_difference() -> None:
    # Task a: 0 -> 1 and 1 -> 1, so 1/2; task b: 0 -> 0. The mean of the two is 1/4, of the episodes 1/3.
    difference = PairedDifference.of(["a", "a", "b"], [0, 1, 0], [1, 1, 0])
    assert (difference.old, difference.new, difference.difference) == (0.25, 0.5, 0.25)
    assert 0 <= difference.interval.low <= 0.25 <= difference.interval.high <= 0.5


def test_what_cannot_be_replayed_is_said_in_one_line(toolgym, saved, run_folder, tmp_path) -> None:
    folder, _ = saved
    for arguments, said in (
        (["nowhere"], "neither a run (no recipe.toml) nor a saved evaluation"),
        ([run_folder.path], "no episodes are stored there"),
        ([folder, "--out", tmp_path / "none" / "x"], "there is no folder"),
        ([folder, "--reward", "exact_match - 0.5*length_of"], "unknown reward 'length_of'"),
    ):
        ended = toolgym("replay", *arguments)
        assert ended.code == 2 and said in " ".join(ended.stderr.split()) and not ended.stdout
    ended = toolgym("eval", SEARCH, "--agent", "oracle", "--limit", "1", "--save", folder)
    assert ended.code == 2 and "there is something in this folder already" in ended.stderr
    (folder / "evaluation.json").write_text("{}")
    assert "does not say how the environment was made" in toolgym("replay", folder).stderr
    with pytest.raises(InputError, match="no saved evaluation can be read"):
        EvaluationFolder(tmp_path).read()


def test_what_a_model_wrote_breaks_no_terminal(toolgym, tmp_path, fake_openai) -> None:
    folder = tmp_path / "saved"
    with fake_openai(lambda body: "<answer> \ud800[bold]\x1b[31m </answer>") as server:
        arguments = ["--endpoint", server.url, "--model", "tiny", "--limit", "1", "--no-recall", "--save", folder]
        assert toolgym("eval", SEARCH, *arguments).code == 0
    assert toolgym("replay", folder).code == 0
    assert "\\ud800" in toolgym("replay", folder, "--json").stdout
    assert toolgym("replay", folder, "--json").json["records"][0]["answer"].startswith("\ud800[bold]")


# Cassettes -----------------------------------------------------------------------------------------------------------


def test_an_evaluation_on_a_cassette(toolgym, tmp_path) -> None:
    tape = tmp_path / "tape.jsonl"
    command = ["eval", SEARCH, "--agent", "oracle", "--limit", "4", "--cassette", tape, "--json"]
    first = toolgym(*command).json
    lines = tape.read_text().splitlines()
    assert len(lines) == 8 and first["calls"]["ok"] == 8 and "recall@5" in first
    second = toolgym(*command, "--cassette-mode", "replay").json
    assert "recall@5" not in second  # it would ask the retriever
    for record in (*first["records"], *second["records"]):
        del record["seconds"]
    assert second["records"] == first["records"] and tape.read_text().splitlines() == lines
    more = toolgym(*command, "--cassette-mode", "replay", "-o", "hops=1")
    assert more.code == 2 and "all 4 episodes failed" in more.stderr and "has no recording of" in more.stderr
    for arguments, said in (
        (["--cassette-mode", "rewind"], "unknown cassette mode 'rewind'"),
        (["--cassette", tmp_path / "none", "--cassette-mode", "replay"], "record it first"),
        (["-o", "limits.wall_seconds=5"], "set limits.wall_seconds to None"),
    ):
        ended = toolgym(*command, *arguments)
        assert ended.code == 2 and said in " ".join(ended.stderr.split())
