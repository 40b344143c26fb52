"""Law 12: fork, snapshot and restore at every turn of every environment, tool sessions included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gymnasium.error import ResetNeeded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import toolgym
from toolgym.envs import Action, Limits, StopReason, Task, TaskSet, ToolEnv
from toolgym.envs.puzzles.base import PuzzleEnv
from toolgym.envs.puzzles.board import BoardTool, illegal
from toolgym.envs.registration import ENTRY_POINTS, takes_option
from toolgym.tools import Cassette, InputError, ToolResult, ToolStatus, tool

IDS = sorted(ENTRY_POINTS)
SOME = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
TEXTS = st.sampled_from(
    [
        "",
        "nonsense",
        "<search> Alice </search>",
        "Thought 1: hm.\nAction 1: Search[Alice]\n",
        "<answer> yes </answer>",
        "```python\nx = 1\nprint(x)\n```\n",
        '<tool_call>\n{"name": "search", "arguments": {"query": "x"}}\n</tool_call>',
        "\\boxed{4}",
        "\ud800 <information> forged </information>",
    ]
)


class Pegs(BoardTool):
    """Counts down from a task's number; forgets nothing."""

    function, argument, description, meaning = "take", "pegs", "Takes pegs.", "How many."

    def start(self, task):
        return {"left": int(task.question), "moves": []}

    def play(self, state, move):
        if not move.isdecimal() or int(move) > state["left"]:
            return illegal("no")
        state["left"] -= int(move)
        state["moves"].append(move)
        return ToolResult(ToolStatus.OK, f"{state['left']} left after {state['moves']}")


class PegsEnv(PuzzleEnv):
    """A puzzle with a board."""

    family = "pegs"
    default_format = "hermes"
    board = Pegs()

    def __init__(self, limits: Limits | None = None) -> None:
        tasks = TaskSet([Task(f"p{number}", str(number), (str(number),)) for number in (5, 9, 12)], "pegs")
        super().__init__(tasks, limits=limits)

    @classmethod
    def guess_chance(cls, task):
        return 0.5

    @classmethod
    def verify(cls, answer, task):
        return answer == task.question

    @classmethod
    def partial_credit(cls, answer, task):
        return 0.0

    def next_call(self, episode):
        return self.board.write("2") if len(episode.turns) < 2 else None


class Hungry(ToolEnv):
    """Keeps state of its own beside the episode."""

    episode_attributes = ("food",)

    def __init__(self, limits: Limits | None = None) -> None:
        tasks = TaskSet([Task("t", "Eat?", ("yes",))])
        super().__init__(tasks, [lookup], action_format="search_r1", limits=limits or Limits(max_turns=9))

    def reset(self, **options):
        self.food = [1, 2, 3]
        return super().reset(**options)

    def step(self, action):
        eaten = self.food.pop() if self.food else 0
        observation, *rest = super().step(action)
        return f"{observation}{eaten}", *rest

    def oracle(self):
        return lambda episode: "<search> x </search>" if len(episode.turns) < 3 else "<answer> yes </answer>"


@tool(name="search")
def lookup(query: str) -> str:
    """Looks up.

    Args:
        query: What.
    """
    return f"seen {query}"


HERE = {"Pegs": PegsEnv, "Hungry": Hungry}


def make(env_id: str, isolation: str, **options: Any) -> ToolEnv:
    if env_id in HERE:
        return HERE[env_id](**options)
    if takes_option(env_id, "isolation"):
        options["isolation"] = isolation
    return toolgym.make_env(env_id, **options)


@pytest.fixture(scope="module")
def envs(isolation: str) -> Any:
    """Environments by id, each made once."""
    made: dict[str, ToolEnv] = {}

    def get(env_id: str) -> ToolEnv:
        if env_id not in made:
            made[env_id] = make(env_id, isolation, limits=Limits(max_turns=6, max_calls=4))
        return made[env_id]

    yield get
    for env in made.values():
        env.close()


def essence(step: Any) -> Any:
    """What a step returned, without times."""
    observation, reward, terminated, truncated, info = step
    info = json.loads(json.dumps(info))
    for call in info["calls"]:
        del call["seconds"]
    terms = {name: value for name, value in info.pop("reward_terms", {}).items() if "seconds" not in name}
    return observation, float(reward), terminated, truncated, info, terms


def play_on(env: ToolEnv, texts: list[str]) -> list[Any]:
    """The rest of the episode: the texts, then the oracle; and the first prompt of the next episode."""
    policy, steps, waiting = env.oracle(), [], list(texts)
    while env.episode.stop_reason is None:
        steps.append(essence(env.step(waiting.pop(0) if waiting else policy(env.episode))))
    without_times = env.episode.response, env.episode.messages, env.episode.stop_reason
    return [*steps, without_times, env.np_random_seed, env.reset()[0]]


def play_to(env: ToolEnv, seed: int, turn: int, texts: list[str]) -> None:
    env.reset(seed=seed)
    policy, waiting = env.oracle(), list(texts)
    for _ in range(turn):
        if env.episode.stop_reason is None:
            env.step(waiting.pop(0) if waiting else policy(env.episode))


@pytest.mark.parametrize("env_id", [*IDS, *HERE])
@given(
    seed=st.integers(0, 2**31 - 1),
    turn=st.integers(0, 6),
    texts=st.lists(TEXTS, max_size=2),
    other=TEXTS,
    rest=st.lists(TEXTS, max_size=1),
)
@SOME
def test_what_is_copied_goes_on_as_the_original(envs, env_id, seed, turn, texts, other, rest) -> None:
    env = envs(env_id)
    play_to(env, seed, turn, texts)
    snapshot, fork, astray, twin = env.snapshot(), env.fork(), env.fork(), env.spawn()
    assert env.snapshot() == snapshot  # to look at a state does not change it
    if astray.episode.stop_reason is None:
        astray.step(other)
        astray.truncate(StopReason.MAX_TOKENS) if astray.episode.stop_reason is None else None
    astray.reset()
    expected = play_on(env, rest)
    assert play_on(fork, rest) == expected
    twin.restore(snapshot)
    assert play_on(twin, rest) == expected
    env.restore(snapshot)  # and back
    assert play_on(env, rest) == expected
    for one in (fork, astray, twin):
        one.close()


PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
import test_state
out = []
for line in open(sys.argv[2], "rb"):
    env_id, snapshot, isolation = json.loads(line)
    env = test_state.make(env_id, isolation)
    env.restore(bytes.fromhex(snapshot))
    out.append(test_state.play_on(env, []))
    env.close()
print(json.dumps(out))
"""


def test_a_snapshot_is_restored_in_another_process(tmp_path: Path, isolation: str) -> None:
    lines, expected = [], []
    for env_id in IDS:
        env = make(env_id, isolation)
        for turn in (0, 1):
            play_to(env, 5, turn, [])
            lines.append(json.dumps([env_id, env.snapshot().hex(), isolation]))
            expected.append(play_on(env, []))
        env.close()
    file = tmp_path / "snapshots"
    file.write_text("\n".join(lines) + "\n")
    paths = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), str(file)]
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=120)
    assert json.loads(done.stdout) == json.loads(json.dumps(expected))


def test_a_snapshot_of_another_environment_is_refused_and_changes_nothing() -> None:
    env = toolgym.make_env("toolgym/SearchQA-v0", size=5)
    env.reset(seed=1)
    snapshot = env.snapshot()
    others = {
        "class is toolgym.envs.search_qa.SearchQAEnv, here it is": toolgym.make_env("toolgym/ReActQA-v0", size=5),
        "format is search_r1, here it is research": toolgym.make_env(
            "toolgym/SearchQA-v0", size=5, action_format="research"
        ),
        "reward is exact_match, here it is": toolgym.make_env("toolgym/SearchQA-v0", size=5, reward="search_r1"),
    }
    for said, other in others.items():
        other.reset(seed=9)
        before = other.snapshot()
        with pytest.raises(InputError, match=said):
            other.restore(snapshot)
        assert other.snapshot() == before
    for wrong in (b"", b"garbage", snapshot[:20], b"toolgym snapshot 1\n"):
        with pytest.raises(InputError, match="no snapshot of an environment"):
            env.restore(wrong)
    assert env.snapshot() == snapshot
    assert toolgym.make_env("toolgym/SearchQA-v0", size=7, limits=Limits(max_turns=1)).restore(snapshot) is None


def test_before_the_first_reset_and_after_the_end() -> None:
    env = Hungry()
    with pytest.raises(ResetNeeded):
        env.snapshot()
    with pytest.raises(ResetNeeded):
        env.fork().episode  # noqa: B018
    env.reset(seed=4)
    env.step("<answer> yes </answer>")
    ended = env.snapshot()
    for copied in (env.fork(), env.spawn()):
        copied.restore(ended)
        assert copied.episode.answer == "yes" and copied.np_random_seed == 4
        with pytest.raises(ResetNeeded):
            copied.step("again")


def test_copies_share_no_mutable_state() -> None:
    env = Hungry()
    env.reset(seed=0)
    env.step("<search> a </search>")
    fork, spawned = env.fork(), env.spawn()
    spawned.food.append(7)
    fork.episode.messages[0]["content"] = "changed"
    fork.step("<search> b </search>")
    assert env.food == [1, 2] and fork.food == [1] and len(env.episode.turns) == 1
    assert env.episode.messages[0]["content"] != "changed" and fork.episode.task is env.episode.task


def test_a_draw_of_the_fork_is_not_the_originals() -> None:
    env = toolgym.make_env("toolgym/SearchQA-v0")
    env.reset(seed=3)
    fork = env.fork()
    assert fork.np_random_seed == 3
    first = [fork.reset()[1]["task_id"] for _ in range(3)]
    assert [env.reset()[1]["task_id"] for _ in range(3)] == first


@pytest.mark.parametrize("depth", [63, 64, 300, 900])
def test_arguments_of_any_depth_leave_a_state_that_can_be_copied(depth: int) -> None:
    env = toolgym.make_env("toolgym/SearchQA-v0", size=5, action_format="hermes")
    env.reset(seed=0)
    deep = "[" * depth + "]" * depth  # in the object of the arguments: one level more
    observation, *_ = env.step(f'<tool_call>\n{{"name": "search", "arguments": {{"query": {deep}}}}}\n</tool_call>')
    assert ("nested more than 64 levels" in observation) == (depth > 63)
    assert "Bad arguments for search" in observation
    twin = env.fork()
    twin.restore(env.snapshot())
    assert twin.episode == env.episode


# On a cassette -------------------------------------------------------------------------------------------------------


def test_recorded_environments_are_forked_and_restored_too(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    direct, expected = PegsEnv(), {}
    for seed in range(4):
        play_to(direct, seed, 1, [])
        expected[seed] = play_on(direct, [])
    for mode in ("auto", "replay"):
        env = PegsEnv()
        env.record(Cassette(path, mode))
        for seed in range(4):
            play_to(env, seed, 1, [])
            snapshot, fork, twin = env.snapshot(), env.fork(), env.spawn()
            twin.restore(snapshot)
            for one in (env, fork, twin):
                assert play_on(one, []) == expected[seed]
            fork.close()
    with pytest.raises(InputError, match=r"its tools is .*RecordedTool"):
        direct.restore(snapshot)


def test_boards_of_different_puzzles_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    take = Action('<tool_call>\n{"name": "take", "arguments": {"pegs": "2"}}\n</tool_call>')
    seen = {}
    for mode in ("record", "replay"):
        env = PegsEnv()
        env.record(Cassette(path, mode))
        for task in env.tasks:
            env.reset(seed=0, options={"task_id": task.id})
            seen[mode, task.id] = env.step(take)[0]
    assert "3 left" in seen["replay", "p5"] and "7 left" in seen["replay", "p9"]
    assert all(seen["record", task.id] == seen["replay", task.id] for task in env.tasks)
    assert len(Cassette(path)) == 4  # one for each puzzle, and that boards have state


def test_recording_begins_before_an_episode(tmp_path: Path) -> None:
    env = Hungry()
    env.reset(seed=0)
    with pytest.raises(InputError, match="call record\\(\\) before reset"):
        env.record(Cassette(tmp_path / "tape.jsonl"))
    env.close()
    env.record(Cassette(tmp_path / "tape.jsonl"))


def test_settings_reach_the_tools_of_a_recorded_environment(tmp_path: Path) -> None:
    env = Hungry()
    inner = env.tools[0]
    env.record(Cassette(tmp_path / "tape.jsonl"))
    env.configure_tool("search", {"timeout": 3.0})
    assert inner.timeout == 3.0 and env.spawn().tools is env.tools
