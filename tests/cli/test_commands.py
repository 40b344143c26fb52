"""What each command prints, and what it says when the input is wrong."""

import json

import pytest

from toolgym.trainers.run_folder import RunFolder

COMMANDS = ("envs", "train", "eval", "play", "view", "doctor")
SEARCH = "toolgym/SearchQA-v0"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_examples(toolgym, command):
    ended = toolgym(command, "--help")
    assert ended.code == 0
    assert "Examples" in ended.stdout and f"toolgym {command}" in ended.stdout


def test_version(toolgym):
    from toolgym import __version__

    assert toolgym("--version").stdout == f"toolgym {__version__}\n"


def test_help_and_environments_import_no_learning_side(process):
    code = (
        "import sys; from typer.testing import CliRunner; from toolgym.cli import app\n"
        "commands = (['--help'], ['envs'], ['eval', 'toolgym/SearchQA-v0', '--agent', 'oracle', '--limit', '2'])\n"
        "for command in commands:\n"
        "    assert CliRunner().invoke(app, command).exit_code == 0, command\n"
        "print(sorted({'torch', 'transformers', 'vllm'} & set(sys.modules)))"
    )
    ended = process(code=code)
    assert ended.stdout == "[]\n", ended.stderr


def test_environments_as_table_and_json(toolgym):
    assert SEARCH in toolgym("envs").stdout
    listed = toolgym("envs", "--json").json
    assert SEARCH in [one["id"] for one in listed["environments"]]
    assert "search_r1" in listed["formats"]


def test_recipes_are_listed(toolgym):
    assert "quickstart" in toolgym("train", "--list").stdout
    assert "quickstart" in [one["name"] for one in toolgym("train", "--list", "--json").json]


def test_doctor_says_what_to_do(toolgym, tmp_path):
    checks = toolgym("doctor", "--runs-folder", tmp_path, "--json").json
    assert {check["state"] for check in checks} <= {"ok", "warn", "missing"}
    assert all(check["advice"] for check in checks if check["state"] != "ok")
    assert {"python", "cores", "memory", "sandbox", "runs folder"} <= {check["name"] for check in checks}
    assert "what to do" in toolgym("doctor", "--runs-folder", tmp_path).stdout


def test_view_writes_the_report_and_summarises(toolgym, run_folder):
    ended = toolgym("view", run_folder.path)
    assert "cold_start" in ended.stdout and "grpo" in ended.stdout and "finished" in ended.stdout
    assert (run_folder.path / "report.html").is_file()


def test_view_finds_a_run_by_name(toolgym, run_folder):
    summary = toolgym("view", "demo", "--runs-folder", run_folder.path.parent, "--json").json
    assert summary["finished"] and summary["report"].endswith("report.html")
    assert [stage["done"] for stage in summary["stages"]] == [6, 8]


# Wrong input -----------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(tmp_path):
    """Files with one thing wrong in each."""
    rows = [json.dumps({"id": f"q{index}", "question": "?", "answers": ["a"]}) for index in range(16)]
    (tmp_path / "tasks.jsonl").write_text("\n".join(rows) + "\n")
    (tmp_path / "broken.jsonl").write_text("\n".join([*rows, '{"question": "cut', *rows[:2]]) + "\n")
    (tmp_path / "corpus.jsonl").write_text('{"id": "1", "title": "T", "text": "words"}\n')
    (tmp_path / "untext.jsonl").write_text('{"id": "1", "title": "T"}\n')
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "bad.toml").write_text("name = [")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    return tmp_path


def given(text, folder):
    return [part.replace("{}", str(folder)) for part in text.split()]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("eval toolgym/SearchQ-v0 --agent oracle", "SearchQA-v0"),
        ("eval nowhere:x/Y-v0 --agent oracle", "nowhere"),
        (f"eval {SEARCH}", "--agent oracle"),
        (f"eval {SEARCH} --agent oracl", "oracle"),
        (f"eval {SEARCH} --agent oracle --model x", "excludes"),
        (f"eval {SEARCH} --agent oracle --format jason", "jason"),
        (f"eval {SEARCH} --agent oracle --reward gold", "gold"),
        (f"eval {SEARCH} --agent oracle -o hopes=2", "hops"),
        (f"eval {SEARCH} --agent oracle -o hops", "KEY=VALUE"),
        (f"eval {SEARCH} --agent oracle -o limits.turns=2", "max_turns"),
        (f"eval {SEARCH} --agent oracle --tasks {{}}/none.jsonl --corpus {{}}/corpus.jsonl", "none.jsonl"),
        (f"eval {SEARCH} --agent oracle --tasks {{}}/broken.jsonl --corpus {{}}/corpus.jsonl", "line 17"),
        (f"eval {SEARCH} --agent oracle --tasks {{}}/tasks.jsonl --corpus {{}}/untext.jsonl", "text"),
        (f"eval {SEARCH} --agent oracle --tasks {{}}/tasks.jsonl --corpus {{}}/none.jsonl", "none.jsonl"),
        (f"eval {SEARCH} --agent oracle --tasks {{}}/tasks.jsonl", "corpus"),
        (f"eval {SEARCH} --agent oracle --limit 2 --missed {{}}/no/m.jsonl", "--missed"),
        (f"eval {SEARCH} --model {{}}/model", "tokenizer"),
        (f"eval {SEARCH} --model {{}}/nothing", "no such folder"),
        (f"eval {SEARCH} --model {{}}/model --engine fast", "transformers"),
        (f"eval {SEARCH} --endpoint localhost --model x", "http://"),
        (f"eval {SEARCH} --endpoint http://localhost:1/v1", "--model"),
        ("eval toolgym/KnightsAndKnaves-v0 --agent oracle --recall", "retriever"),
        (f"play {SEARCH} --task none", "none"),
        ("train", "recipe"),
        ("train quickstar", "quickstart"),
        ("train {}/bad.toml", "TOML"),
        ("train quickstart sed=3", "seed"),
        ("train quickstart stage.grpo.group_sizes=3", "group_size"),
        ("train quickstart seed=x", "seed"),
        ("train quickstart seed", "key=value"),
        ("train quickstart --resume {}", "quickstart"),
        ("train --resume {}/other", "no run"),
        ("train quickstart --name other --runs-folder {} --overwrite", "no run"),
        ("view {}/nothing", "no run"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(toolgym, broken, command, says):
    ended = toolgym(*given(command, broken))
    assert ended.code == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1
    assert says in ended.stderr
    assert (broken / "other" / "notes.txt").exists()


def test_wrong_input_leaves_no_traceback_in_a_process(process, broken):
    ended = process("eval", SEARCH, "--agent", "oracle", "--tasks", broken / "broken.jsonl", "--corpus", broken)
    assert ended.code == 2
    assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["evil"], ["eval"], ["eval", SEARCH, "--limit", "x"], ["eval", SEARCH, "--nope"]]
)
def test_usage_errors_exit_with_code_2(toolgym, arguments):
    ended = toolgym(*arguments)
    assert ended.code == 2
    assert "Traceback" not in ended.stderr


def test_an_existing_run_is_not_overwritten_unasked(toolgym, run_folder):
    before = (run_folder.path / "metrics.jsonl").read_text()
    ended = toolgym("train", "quickstart", "--name", "demo", "--runs-folder", run_folder.path.parent)
    assert ended.code == 2
    assert "--resume" in ended.stderr and "--overwrite" in ended.stderr
    assert (run_folder.path / "metrics.jsonl").read_text() == before


# Training, with the training replaced ----------------------------------------------------------------------------


@pytest.fixture
def fake_training(monkeypatch, synthetic):
    """Puts a run on disk in no time; returns what `train` was called with."""
    import toolgym.trainers.loop as module

    calls = []

    def fake(recipe, folder, *, resume=False, observer=None):
        calls.append((recipe, folder, resume))
        if recipe.seed == 13:
            raise KeyboardInterrupt
        if not resume:
            synthetic.make_run(folder, cold=2, grpo=4)
        observer.stage_started("grpo", 4, 0)
        observer.stepped("grpo", 4, {"reward_mean": 0.5, "reward_std": 0.1})
        observer.evaluated("grpo", 4, {"score": 0.5, "score_low": 0.4, "score_high": 0.6, "tasks": 100})
        return module.RunSummary(folder, [], 12.5, 2**30)

    monkeypatch.setattr(module, "train", fake)
    return calls


def test_train_shows_progress_and_summary(toolgym, fake_training, tmp_path):
    ended = toolgym("train", "quickstart", "seed=4", "--name", "one", "--runs-folder", tmp_path)
    assert ended.code == 0
    recipe, folder, resume = fake_training[0]
    assert (recipe.seed, folder, resume) == (4, tmp_path / "one", False)
    assert "held-out score 0.500 [0.400, 0.600] on 100" in ended.stderr
    assert "grpo" in ended.stdout and (tmp_path / "one" / "report.html").is_file()


def test_train_resumes_with_the_runs_own_recipe_and_prints_json(toolgym, fake_training, tmp_path):
    toolgym("train", "quickstart", "--runs-folder", tmp_path)
    ended = toolgym("train", "--resume", tmp_path / "quickstart", "--json")
    assert fake_training[1][2] is True
    assert fake_training[1][0] == RunFolder.open(tmp_path / "quickstart").recipe()
    assert ended.json["seconds"] == 12.5 and ended.json["peak_memory_bytes"] == 2**30


def test_overwrite_replaces_a_run(toolgym, fake_training, tmp_path):
    toolgym("train", "quickstart", "--runs-folder", tmp_path)
    (tmp_path / "quickstart" / "left-over").write_text("")
    assert toolgym("train", "quickstart", "--runs-folder", tmp_path, "--overwrite").code == 0
    assert not (tmp_path / "quickstart" / "left-over").exists()


def test_interrupted_training_says_how_to_resume(toolgym, fake_training, tmp_path):
    ended = toolgym("train", "quickstart", "seed=13", "--runs-folder", tmp_path)
    assert ended.code == 130
    assert ended.stderr.splitlines()[-1] == f"interrupted; continue with: toolgym train --resume {tmp_path}/quickstart"
