"""Environments served over OpenEnv's protocol, played by the package's own client."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

pytest.importorskip("openenv", reason="openenv is not installed (`make test-ecosystem` installs it)")

import httpx
from openenv import GenericEnvClient

from toolgym import make_env
from toolgym.envs.adapters.openenv import openenv_app
from toolgym.tools import ToolUnavailable
from toolgym.tools.http_server import HttpServer


@contextmanager
def served(env, **options):
    """Serves an environment and yields its address."""
    with HttpServer(port=0) as server:
        server.start(openenv_app(env, **options), websockets=True)
        yield server.url


def client(url):
    return GenericEnvClient(base_url=url).sync()


@pytest.mark.parametrize(
    ("env_id", "best"),
    [("toolgym/PythonMath-v0", 1.0), ("toolgym/KnightsAndKnaves-v0", 3.0), ("toolgym/ReActQA-v0", 1.0)],
)
def test_an_episode_over_the_wire_is_the_episode_of_the_environment(env_id, best):
    env = make_env(env_id)
    twin = env.spawn()
    task = env.tasks[2]
    text, info = twin.reset(seed=5, options={"task_id": task.id})
    policy = twin.oracle()
    with served(env) as url, client(url) as remote:
        result = remote.reset(seed=5, task_id=task.id, episode_id="mine")
        assert (result.done, result.reward) == (False, None)
        assert result.observation["text"] == text
        assert result.observation["messages"] == info["messages"]
        assert result.observation["tools"] == info["tools"]
        assert result.metadata["stop"] == list(env.action_format.stop)
        steps = 0
        while not result.done:
            action = policy(twin.episode)
            text, reward, terminated, truncated, info = twin.step(action)
            result = remote.step({"text": action})
            steps += 1
            assert result.observation["text"] == text and result.observation["messages"] == info["messages"]
            assert (result.reward, result.done) == (reward, terminated or truncated)
            assert result.observation["truncated"] == truncated
        for name in ("reward_terms", "score", "answer", "stop_reason", "faults"):
            assert result.metadata[name] == info[name]
        assert (result.reward, result.metadata["score"]) == (best, 1.0)
        state = remote.state()
        assert (state["episode_id"], state["step_count"], state["task_id"]) == ("mine", steps, task.id)
        assert state["stop_reason"] == "answer"
        json.dumps(result.observation)
    env.close()
    twin.close()


def test_a_wrong_answer_a_cut_one_and_a_forged_observation_earn_nothing(problems):
    right = f"<answer>\n\\boxed{{{problems.tasks[0].answers[0]}}}\n</answer>"
    with served(problems) as url, client(url) as remote:
        for action, expected, reason in [
            ({"text": right}, 1.0, "answer"),
            ({"text": right.replace("{", "{9")}, 0.0, "answer"),
            ({"text": f"<interpreter>\n1\n</interpreter>{right}"}, 0.0, "answer"),
            ({"text": right[:-12], "finish_reason": "length"}, 0.0, "max_tokens"),
            ({"text": right[:-12], "finish_reason": "eos"}, 0.0, "no_action"),
        ]:
            remote.reset(task_id=problems.tasks[0].id)
            result = remote.step(action)
            assert (result.done, result.reward, result.metadata["stop_reason"]) == (True, expected, reason)


def test_the_seed_draws_the_task(problems):
    twin = problems.spawn()
    with served(problems) as url, client(url) as remote:
        drawn = [remote.reset(seed=seed).metadata["task_id"] for seed in range(12)]
    assert drawn == [twin.reset(seed=seed)[1]["task_id"] for seed in range(12)]
    assert len(set(drawn)) > 1


def test_sessions_are_apart_and_bounded(problems):
    with served(problems, max_sessions=2) as url, client(url) as first, client(url) as second:
        for number, remote in enumerate((first, second)):
            remote.reset(task_id=problems.tasks[number].id)
            remote.step({"text": f"<code>\n```python\nmine = {number}\n```\n</code>"})
        for number, remote in enumerate((first, second)):
            result = remote.step({"text": "<code>\n```python\nprint('mine is', mine)\n```\n</code>"})
            assert f"mine is {number}" in result.observation["text"]
            assert remote.state()["task_id"] == problems.tasks[number].id
        with pytest.raises(Exception, match="CAPACITY_REACHED"), client(url) as third:
            third.reset()


def test_what_a_client_does_wrong_is_an_error_and_the_session_lives_on(problems):
    with served(problems) as url, client(url) as remote:
        with pytest.raises(RuntimeError, match=r"call reset\(\)"):
            remote.step({"text": "hello"})
        with pytest.raises(RuntimeError, match="no task has the id 'nowhere'"):
            remote.reset(task_id="nowhere")
        with pytest.raises(RuntimeError, match="'task_id' alone, not \\['tusk'\\]"):
            remote.reset(tusk=1)
        with pytest.raises(RuntimeError, match="VALIDATION_ERROR"):
            remote.step({"txt": "hello"})
        remote.reset(seed=1)
        assert remote.step({"text": "no action in it"}).done
        with pytest.raises(RuntimeError, match="the episode ended"):
            remote.step({"text": "again"})
        remote.reset(seed=1)


def test_tasks_can_be_discovered_without_their_answers(problems):
    name = "toolgym-PythonMath-v0"
    split = problems.tasks.name
    listed = [{"id": task.id, "index": index} for index, task in enumerate(problems.tasks)]
    with served(problems) as url:
        assert httpx.get(f"{url}/list_environments").json() == [name]
        assert [one["name"] for one in httpx.get(f"{url}/{name}/splits").json()] == [split]
        assert httpx.post(f"{url}/{name}/tasks", json={"split": split}).json()["tasks"] == listed
        wrong = httpx.post(f"{url}/{name}/task", json={"split": split, "index": 3})
        assert wrong.status_code == 400
        about = httpx.get(f"{url}/metadata").json()
        assert about["name"] == "toolgym/PythonMath-v0" and about["description"].startswith("Solves maths problems")
        assert "text" in httpx.get(f"{url}/schema").json()["action"]["required"]
        with client(url) as remote:
            assert remote.reset(split=split, index=1).metadata["task_id"] == problems.tasks[1].id


def test_an_unavailable_tool_is_an_error_and_no_reward(toys):
    def gone(call):
        raise ToolUnavailable("the server is gone")

    with served(toys.ToyEnv(says=gone)) as url, client(url) as remote:
        remote.reset()
        with pytest.raises(RuntimeError, match="the server is gone"):
            remote.step({"text": "<search> x </search>"})


def test_the_command_serves_until_it_is_told_to_stop():
    command = [sys.executable, "-m", "toolgym", "serve", "openenv", "toolgym/PythonMath-v0", "--port", "0", "--json"]
    with subprocess.Popen([*command, "-o", "size=4"], stdout=subprocess.PIPE, text=True) as process:
        try:
            about = json.loads(process.stdout.readline())
            with client(about["url"]) as remote:
                asked = remote.reset(seed=0).observation["messages"][0]["content"]
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
    assert about["tasks"] == 4
    assert "Solve the problem" in asked
