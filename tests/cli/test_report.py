"""The report holds the whole run, needs no network, and nothing in a trajectory can break it."""

import json
import re
import shutil
import subprocess
import tempfile

import pytest

from toolgym.trainers.recipe import load_recipe
from toolgym.trainers.report import as_script_json, report_data, report_html, write_report
from toolgym.trainers.run_folder import RunFolder
from toolgym.trainers.summary import run_summary


@pytest.fixture(scope="module")
def page(run_folder):
    return write_report(run_folder).read_text(encoding="utf-8")


def embedded(page):
    text = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    return json.loads(text.group(1))


def test_report_holds_every_role_token_and_number(page, run_folder, synthetic):
    data = embedded(page)
    roles = {segment["role"] for row in data["trajectories"] for segment in row["segments"]}
    assert roles == {"prompt", "action", "observation"}
    assert data["texts"]["0"] == synthetic.HOSTILE
    assert len(data["metrics"]) == 14 and "sampler_trainer_logprob_difference" in data["metrics"][-1]
    assert data["evaluations"][-1]["score_low"] < data["evaluations"][-1]["score"]
    assert load_recipe("quickstart").name in data["recipe"]
    stored = list(run_folder.read_trajectories())
    for row, kept in zip(stored, data["trajectories"], strict=True):
        for segment, shown in zip(row["segments"], kept["segments"], strict=True):
            assert shown["ids"] == segment["token_ids"]
            assert [data["texts"][str(one)] for one in shown["ids"]] == segment["texts"]


def test_nothing_in_a_trajectory_ends_the_script(page, synthetic):
    assert synthetic.HOSTILE not in page
    assert page.count("</script>") == 2
    assert "{{" not in page.split("<script>")[0].replace('"', "").split("application/json")[0]


def test_report_needs_no_network(page):
    assert not re.search(r"""(src|href)\s*=\s*["'](https?:)?//""", page)
    assert "@import" not in page and "fetch(" not in page


def test_script_json_escapes_and_has_no_nan():
    text = as_script_json({"a": "</script><!--&", "b": [float("nan"), float("inf"), 1.5]})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"a": "</script><!--&", "b": [None, None, 1.5]}


def test_a_run_that_has_just_begun(tmp_path):
    run = RunFolder.create(tmp_path / "new", load_recipe("quickstart"))
    data = embedded(write_report(run).read_text(encoding="utf-8"))
    assert data["trajectories"] == [] and data["summary"]["finished"] is False
    assert run_summary(run)["stages"][0]["done"] == 0


def test_large_runs_are_thinned_over_all_steps(run_folder, monkeypatch):
    monkeypatch.setattr("toolgym.trainers.report.MOST_TOKENS", 1000)
    data = report_data(run_folder)
    assert 0 < len(data["trajectories"]) < data["trajectories_stored"] == 28
    assert {row["stage"] for row in data["trajectories"]} == {"cold_start", "grpo"}


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_page_draws_itself(run_folder, tmp_path):
    page = tmp_path / "report.html"
    page.write_text(report_html(report_data(run_folder)), encoding="utf-8")
    with tempfile.TemporaryDirectory() as profile:
        flags = "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update"
        flags += f" --disable-sync --no-first-run --user-data-dir={profile} --virtual-time-budget=2000 --dump-dom"
        command = ["chromium", *flags.split(), page.as_uri()]
        dom = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False).stdout
    assert "<title>demo · toolgym</title>" in dom
    for kind in ("block prompt", "block action", "block observation"):
        assert f'class="{kind}' in dom
    assert dom.count("<svg") > 15
    assert "Held-out score" in dom and "NaN" not in re.sub(r"<script.*?</script>", "", dom, flags=re.DOTALL)
