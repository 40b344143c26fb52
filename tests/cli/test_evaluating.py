"""Intervals by hand-checked numbers, and `toolgym eval` from end to end."""

import json
import math

import pytest

from toolgym.agents.evaluation import evaluate
from toolgym.agents.intervals import bootstrap_interval, mean_interval, wilson_interval
from toolgym.tools.errors import InputError

SEARCH = "toolgym/SearchQA-v0"


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (1, 1, 0.2065, 1.0),
        (50, 100, 0.4038, 0.5962),
    ],
)
def test_wilson_interval(successes, trials, low, high):
    interval = wilson_interval(successes, trials)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


def test_wilson_interval_without_trials_knows_nothing():
    assert wilson_interval(0, 0)[:2] == (0.0, 1.0)
    with pytest.raises(ValueError, match="no share"):
        wilson_interval(3, 2)


def test_bootstrap_interval_is_seeded_and_near_the_normal_one():
    values = [index / 99 for index in range(100)]
    interval = bootstrap_interval(values, seed=1)
    assert interval == bootstrap_interval(values, seed=1)
    assert interval != bootstrap_interval(values, seed=2)
    half = 1.96 * math.sqrt(sum((value - 0.5) ** 2 for value in values) / 100 / 100)
    assert interval.low == pytest.approx(0.5 - half, abs=0.01)
    assert interval.high == pytest.approx(0.5 + half, abs=0.01)


def test_bootstrap_of_more_values_than_fit_in_a_block():
    assert bootstrap_interval([0.0, 1.0] * 3000, resamples=1000).low == pytest.approx(0.487, abs=0.01)


def test_mean_interval_takes_tasks_as_units():
    assert mean_interval([[1.0], [0.0], [1.0]]) == wilson_interval(2, 3)
    assert mean_interval([[1.0] * 4, [0.0] * 4]) == wilson_interval(1, 2)  # eight samples are two tasks
    assert mean_interval([[1.0, 0.0], [1.0, 1.0]]).method == "bootstrap"
    assert mean_interval([]).method == "none"


def test_oracle_scores_one(toolgym):
    result = toolgym("eval", SEARCH, "--agent", "oracle", "--limit", "20", "--json").json
    assert (result["score"], result["tasks"], result["score_high"]) == (1.0, 20, 1.0)
    assert result["score_low"] == pytest.approx(wilson_interval(20, 20).low)
    assert result["stop_reasons"] == {"answer": 20}
    assert result["calls"]["ok"] == 40
    assert set(result) >= {"recall@5", "recall@10", "tokens_per_second", "hidden_tool_share", "turns_mean"}
    assert len(result["records"]) == 20
    search = result["tools"]["search"]
    assert (search["calls"], search["ok"], search["timeout"], result["abandoned_calls"]) == (40, 40, 0, 0)
    assert 0 < search["seconds"]["latency_p50"] <= search["seconds"]["latency_p95"]


@pytest.mark.parametrize("name", ["ReActQA", "KnightsAndKnaves", "PythonMath"])
def test_every_environment_can_be_evaluated(toolgym, name, isolation):
    options = ["-o", f"isolation={isolation}"] if name == "PythonMath" else []
    result = toolgym("eval", f"toolgym/{name}-v0", "--agent", "oracle", "--limit", "3", "--json", *options).json
    assert result["score"] == 1.0


def test_table_names_the_missed(toolgym, tmp_path):
    missed = tmp_path / "missed.jsonl"
    ended = toolgym(
        "eval", SEARCH, "--agent", "oracle", "--limit", "12", "--shuffle-answers", "--no-recall", "--missed", missed
    )
    assert "function" in ended.stdout and "p95" in ended.stdout and "search" in ended.stdout
    assert "wrong answer" in ended.stdout and "wilson" in ended.stdout and "recall" not in ended.stdout
    rows = [json.loads(line) for line in missed.read_text().splitlines()]
    assert len(rows) >= 8
    assert {"task_id", "reason", "answer", "gold", "stop_reason", "question"} <= set(rows[0])


def test_options_reach_the_environment(toolgym):
    arguments = ["eval", SEARCH, "--agent", "oracle", "--limit", "4", "--json", "--format", "hermes", "--samples", "2"]
    result = toolgym(*arguments, "-o", "hops=1", "-o", "limits.max_turns=1").json
    assert result["stop_reasons"] == {"max_turns": 8}
    assert (result["score"], result["tasks"], result["samples"]) == (0.0, 4, 2)
    assert result["records"][0]["turns"] == 1


def test_tools_take_timeouts_and_policies(toolgym):
    arguments = ["eval", SEARCH, "--agent", "oracle", "--limit", "3", "--json"]
    options = ["-o", "tools.search.cache_entries=0", "-o", "tools.search.timeout=20", "-o", "limits.max_calls=1"]
    result = toolgym(*arguments, *options, "-o", "limits.surplus_calls=answer").json
    search = result["tools"]["search"]
    assert (search["ok"], search["budget"]) == (3, 3) and "cache_hit_rate" not in search
    for wrong, says in (
        ("tools.serch.retries=1", "no tool has a function 'serch'; there are: search"),
        ("tools.search.retires=1", "a tool has no setting 'retires'"),
        ("tools.search.timeout=-1", "timeout is -1"),
    ):
        ended = toolgym(*arguments, "-o", wrong)
        assert ended.code == 2 and says in " ".join(ended.stderr.split())


def test_own_tasks_and_corpus(toolgym, tmp_path):
    tasks, corpus = tmp_path / "tasks.jsonl", tmp_path / "corpus.jsonl"
    tasks.write_text(
        json.dumps({"question": "Capital of Norland?", "answers": ["Elva"], "supporting_pids": ["p1"]}) + "\n"
    )
    texts = {"p1": "The capital of Norland is Elva.", "p2": "Rivers flow.", "p3": "Birds sing."}
    corpus.write_text(
        "".join(json.dumps({"id": key, "title": key, "text": text}) + "\n" for key, text in texts.items())
    )
    result = toolgym("eval", SEARCH, "--agent", "oracle", "--tasks", tasks, "--corpus", corpus, "--json").json
    assert (result["score"], result["recall@5"]) == (1.0, 1.0)


def test_environment_of_a_module_in_the_current_folder(process, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import toolgym\nfrom toolgym.envs.search_qa import SearchQAEnv\n"
        "toolgym.register('mine/Riddles-v0', SearchQAEnv, hops=1)\n"
    )
    ended = process("eval", "mine:mine/Riddles-v0", "--agent", "oracle", "--limit", "3", "--json", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert ended.json["score"] == 1.0


def test_local_model(toolgym, tiny_folder):
    arguments = ["--model", tiny_folder, "--limit", "2", "--max-turn-tokens", "5", "-o", "limits.max_turns=1"]
    result = toolgym("eval", SEARCH, *arguments, "--device", "cpu", "--json").json
    assert result["tasks"] == 2 and result["action_tokens_mean"] <= 5


def test_checkpoints_are_evaluated_as_their_run_evaluates_itself(toolgym, synthetic, tmp_path, monkeypatch):
    import toolgym.agents.loading as loading

    run, seen = synthetic.make_run(tmp_path / "run", cold=2, grpo=4), []
    checkpoint = run.checkpoints / "grpo-000004"
    checkpoint.mkdir()

    def oracle(choice, env):
        seen.append(env)
        return original(loading.AgentChoice("oracle"), env)

    original = loading.load_agent
    monkeypatch.setattr(loading, "load_agent", oracle)
    ended = toolgym("eval", SEARCH, "--model", checkpoint, "--limit", "2", "-o", "limits.max_turns=3", "--json")
    assert "recipe.toml" in ended.stderr and ended.json["score"] == 1.0
    env = seen[0]
    assert env.limits.max_turns == 3 and env.limits.max_tokens == run.recipe().limits["max_tokens"]
    assert "-test-" in env.tasks.name and len(env.reset(seed=0)[0]) < 200


def test_served_model(toolgym, fake_openai):
    with fake_openai() as server:
        arguments = ["--endpoint", server.url, "--model", "tiny", "--limit", "2", "-o", "limits.max_turns=1"]
        ended = toolgym("eval", SEARCH, *arguments, "--json")
    assert ended.json["tasks"] == 2


def test_evaluate_refuses_senseless_numbers(tmp_path):
    from toolgym import make_env
    from toolgym.agents.loading import AgentChoice, load_agent

    env = make_env(SEARCH, size=3)
    engine, codec = load_agent(AgentChoice("oracle"), env)
    for options in ({"samples": 0}, {"limit": 0}, {"task_ids": ["none"]}, {"workers": 0}):
        with pytest.raises(InputError):
            evaluate(engine, codec, env, **options)
    result = evaluate(engine, codec, env, task_ids=[env.tasks[2].id], keep_trajectories=1)
    assert [record.task_id for record in result.records] == [env.tasks[2].id]
    assert len(result.trajectories) == 1


def test_failed_episodes_are_counted_and_in_no_mean():
    from toolgym.agents.evaluation import EpisodeRecord, EvaluationResult
    from toolgym.agents.rollout_statistics import RolloutStatistics

    def record(task, score, stop="answer"):
        return EpisodeRecord(task, 0, score, score, {}, stop, "?", None, ("a",), 1, {}, {}, 5, 0, 0.1, "dead")

    result = EvaluationResult([record("a", 1.0), record("b", 0.0, "failed")], RolloutStatistics(episodes=2))
    assert (result.score, result.tasks, result.failed) == (1.0, 1, 1)
    assert [one.task_id for one in result.missed] == ["b"]
    assert "dead" in result.missed[0].reason
    empty = EvaluationResult([record("b", 0.0, "failed")], RolloutStatistics())
    assert json.loads(json.dumps(empty.as_json(), allow_nan=False))["score"] is None
