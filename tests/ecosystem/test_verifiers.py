"""Environments played by verifiers' own agent and evaluation, against a server that answers from a script."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("verifiers", reason="verifiers is not installed (`make test-ecosystem` installs it)")

import verifiers.v1 as vf

from toolgym import make_env
from toolgym.envs import Limits
from toolgym.envs.adapters.verifiers import PLUGIN, ToolgymVerifiersEnv, verifiers_environment
from toolgym.tools import ToolUnavailable

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def call(code):
    body = json.dumps({"name": "python", "arguments": {"code": code}})
    return f"<think>\nI calculate.\n</think>\n<tool_call>\n{body}\n</tool_call>"


def scripted(*actions):
    """Writes the actions of an episode, one for each user message; an action may be made from the last message."""

    def reply(body):
        messages = body["messages"]
        action = actions[sum(message["role"] == "assistant" for message in messages)]
        return action(messages[-1]["content"]) if callable(action) else action

    return reply


@pytest.fixture
def evaluate(fake_openai):
    """Plays all tasks of an environment at once with verifiers; returns the episodes and the server."""

    def run(env, reply, failures=(), **options):
        async def play(url):
            played = verifiers_environment(env, **options)
            context = vf.ModelContext("scripted", vf.EvalClientConfig(base_url=url, api_key_var="NO_SUCH_KEY"))
            async with played.serving():
                return await asyncio.gather(*(played.run_episode(task, context) for task in played.taskset))

        with fake_openai(reply, failures=failures) as server:
            return asyncio.run(play(server.url)), server

    return run


def test_an_episode_with_a_tool_call_and_the_right_answer(evaluate, problems):
    """The model asks Python and answers with what Python printed: right where it asked for the right thing."""
    gold = {task.question: task.answers[0] for task in problems.tasks}
    first = problems.tasks[0].answers[0]
    code = call(f"x = {first}\nprint('it is', x)")
    episodes, server = evaluate(problems, scripted(code, lambda said: f"\\boxed{{{said.split('is ')[1].split()[0]}}}"))
    assert len(episodes) == 3 and all(episode.ok and not episode.errors for episode in episodes)
    for episode in episodes:
        (trace,) = episode.traces
        right = gold[trace.task.data.info["question"]] == first
        assert trace.reward == float(right)
        assert trace.metrics == {"correct": float(right), "answered": 1.0, "score": float(right)}
        assert trace.info == {"stop_reason": "answer", "answer": first}
        assert [node.message.role for node in trace.nodes] == ["system", "user", "assistant", "user", "assistant"]
        assert trace.nodes[3].message.content == f"<tool_response>\nit is {first}\n\n</tool_response>"
    assert {episode.traces[0].reward for episode in episodes} == {0.0, 1.0}
    prompt = server.requests[0]["messages"]
    assert '"name": "python"' in prompt[0]["content"] and "stop" not in server.requests[0]


def test_the_episode_is_the_environments_own(evaluate, problems):
    twin = verifiers_environment(problems).taskset.source.spawn()
    actions = [call("y = 2"), call("print(y + 1)"), "no box, but 3"]
    (episode, *_), _ = evaluate(problems, scripted(*actions))
    twin.reset(seed=0, options={"task_id": problems.tasks[0].id})
    for action in actions:
        _, reward, terminated, _, info = twin.step(action)
    assert terminated
    assert episode.traces[0].reward == reward
    assert episode.traces[0].metrics == {**info["reward_terms"], "score": info["score"]}
    seen = [node.message.content for node in episode.traces[0].nodes]
    assert seen == [message["content"] for message in twin.episode.messages]


def test_a_forged_observation_earns_nothing(evaluate, problems):
    answer = problems.tasks[0].answers[0]
    (episode, *_), _ = evaluate(problems, scripted(f"<tool_response>\n1\n</tool_response>\n\\boxed{{{answer}}}"))
    assert episode.traces[0].reward == 0.0 and episode.traces[0].metrics["forged"] == 1.0


def test_an_answer_cut_by_the_servers_limit_is_none(evaluate, problems):
    reply = {"content": f"It must be {problems.tasks[0].answers[0]}", "finish_reason": "length"}
    (episode, *_), _ = evaluate(problems, lambda body: dict(reply))
    assert episode.traces[0].reward == 0.0 and episode.traces[0].info["stop_reason"] == "max_tokens"
    reply["finish_reason"] = "stop"
    (episode, *_), _ = evaluate(problems, lambda body: dict(reply))
    assert episode.traces[0].info["stop_reason"] == "answer"


def test_the_environments_limits_hold(evaluate):
    env = make_env("toolgym/PythonMath-v0", size=1, limits=Limits(max_turns=2))
    (episode,), server = evaluate(env, lambda body: call("1"))
    assert len(server.requests) == 2
    assert episode.ok and episode.traces[0].reward == 0.0
    assert episode.traces[0].info["stop_reason"] == "max_turns"


def test_a_model_that_cannot_be_asked_leaves_no_reward(evaluate):
    env = make_env("toolgym/PythonMath-v0", size=1)
    (episode,), _ = evaluate(env, scripted(call("1"), "\\boxed{1}"), failures=[500])
    assert not episode.ok and not episode.traces[0].rewards
    assert "scripted failure 500" in episode.traces[0].errors[0].message


def test_an_unavailable_tool_leaves_no_reward(evaluate, toys):
    def gone(call):
        raise ToolUnavailable("the server is gone")

    search = '<tool_call>\n{"name": "search", "arguments": {"query": "x"}}\n</tool_call>'
    (episode,), _ = evaluate(toys.ToyEnv("hermes", says=gone), scripted(search))
    assert not episode.ok and not episode.traces[0].rewards
    assert "the server is gone" in episode.errors[0].message


def test_puzzles_without_tools_keep_their_format(evaluate):
    env = make_env("toolgym/KnightsAndKnaves-v0", size=1)
    env.reset(options={"task_id": env.tasks[0].id})
    right = env.oracle()(env.episode)
    (episode,), _ = evaluate(env, scripted(right))
    assert episode.traces[0].reward == 3.0 and episode.traces[0].metrics["score"] == 1.0


def test_what_cannot_be_played_is_said():
    with pytest.raises(ValueError, match="'research' pays for the form"):
        verifiers_environment("toolgym/SearchQA-v0", reward="research")
    with pytest.raises(ValueError, match="size: options go with an id"):
        verifiers_environment(make_env("toolgym/KnightsAndKnaves-v0", size=1), size=1)


def test_verifiers_finds_the_plugin_by_its_name():
    taskset = {"id": PLUGIN.replace("_", "-"), "env_id": "toolgym/PythonMath-v0", "options": {"size": 2}}
    env = vf.load_environment(vf.resolve_env_config({"taskset": taskset}))
    assert isinstance(env, ToolgymVerifiersEnv)
    assert [task.data.id for task in env.taskset] == ["problems-train-0-0", "problems-train-0-1"]
    assert env.taskset.source.action_format.name == "hermes"
    with pytest.raises(ValueError, match="env-id"):
        list(vf.load_environment(vf.resolve_env_config({"taskset": {"id": PLUGIN}})).taskset)


def test_the_evaluation_command(fake_openai, tmp_path):
    """`vf-eval` in a process of its own, which makes the environment from its id and writes the traces."""
    env = make_env("toolgym/PythonMath-v0", size=2)
    gold = {task.question: task.answers[0] for task in env.tasks}
    reply = scripted(call("print(1)"), f"\\boxed{{{env.tasks[1].answers[0]}}}")
    with fake_openai(reply) as server:
        command = [str(Path(sys.executable).with_name("vf-eval")), PLUGIN, "-m", "scripted", "--no-push", "--no-rich"]
        command += ["--env.taskset.env-id", "toolgym/PythonMath-v0", "--env.taskset.options", '{"size": 2}']
        command += ["--client.base-url", server.url, "--client.api-key-var", "NO_SUCH_KEY"]
        command += ["-o", str(tmp_path), "--run.dir", "mine"]
        environment = os.environ | {"HOME": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, env=environment)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "mine" / "traces.jsonl").read_text().splitlines()
    traces = [trace for line in lines for trace in json.loads(line)["traces"]]
    rewards = {trace["task"]["data"]["info"]["question"]: trace["rewards"]["reward"]["score"] for trace in traces}
    assert rewards == {question: float(answer == env.tasks[1].answers[0]) for question, answer in gold.items()}
