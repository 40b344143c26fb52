"""Times environments of GEM, SkyRL-Gym and TextArena.

`benchmarks/environment_speed.py` starts it with another interpreter.

    PYTHON environment_peers.py steps BLOCKS      # seconds as JSON: a step, an episode
    PYTHON environment_peers.py vectors BLOCKS    # a vector's step, with quick tools and with slow ones
    PYTHON environment_peers.py versions

PYTHON is an interpreter with gem-llm, skyrl-gym, textarena and datasets, whose tables GEM's question answering takes.
Their searches go to servers; here they call a function of this process, and everything else is theirs.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from importlib.metadata import version
from typing import Any

work: Any = import_module("environment_workload")
PEERS = ("gem-llm", "skyrl-gym", "textarena")


def gem_env(tool: Callable[[str], str], calls: int, *, history: bool) -> Any:
    """GEM's question answering with its search tool; with `history` as its examples train on it.

    Without its observation wrapper GEM keeps no record of an episode, and an observation is the tool's text alone.
    """
    base = import_module("gem.tools.search_tool").SearchTool
    searching = type("Searching", (base,), {"_search": lambda self, query: tool(query)})(search_url="none")
    rows = import_module("datasets").Dataset.from_list([{"question": work.QUESTION, "answer": work.ANSWER}] * 8)
    env = import_module("gem.envs.qa_env").QaEnv(dataset=rows)
    env = import_module("gem.tools.tool_env_wrapper").ToolEnvWrapper(env, [searching], max_tool_uses=calls + 1)
    if not history:
        return env
    wrappers = import_module("gem.wrappers.observation_wrapper")
    env = wrappers.ObservationWrapper(env, include_action=True, include_chat_template=False)
    return import_module("gem.wrappers.episode_tracking_wrapper").EpisodeTrackingWrapper(env)


def skyrl_env(tool: Callable[[str], str], calls: int) -> Any:
    """SkyRL-Gym's search environment, which serves one episode."""
    core, searching = import_module("skyrl_gym.tools.core"), import_module("skyrl_gym.envs.search.env")

    class Group(core.ToolGroup):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__("SearchToolGroup")

        @core.tool  # type: ignore[untyped-decorator]
        def search(self, query: str) -> str:
            return tool(query.strip())

    class Env(searching.SearchEnv):  # type: ignore[misc, name-defined]
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self.init_tool_groups([Group()])

    truth = {"reward_spec": {"ground_truth": {"target": [work.ANSWER]}}, "max_turns": calls + 1}
    env = Env(searching.SearchEnvConfig(), truth)
    env.init([{"role": "user", "content": work.QUESTION}])
    return env


def steps(blocks: int) -> dict[str, list[float]]:
    """Seconds of a step and of an episode, one figure for each block of each system."""
    found: dict[str, list[float]] = {}
    for name, tool in work.TOOLS.items():
        gems = {kind: gem_env(tool, 20, history=kind == "gem with history") for kind in ("gem", "gem with history")}
        for _ in range(blocks):
            for kind, env in gems.items():
                env.reset()
                found.setdefault(f"{kind}: step, {name}", []).append(
                    work.seconds_each(lambda env=env: env.step(work.SEARCHING), 10)
                )
            env = skyrl_env(tool, 20)
            found.setdefault(f"skyrl: step, {name}", []).append(
                work.seconds_each(lambda env=env: env.step(work.SEARCHING), 10)
            )
    for _ in range(blocks):
        for kind, env in gems.items():
            found.setdefault(f"{kind}: episode", []).append(work.seconds_each(lambda env=env: _gem_episode(env), 3))
        found.setdefault("skyrl: episode", []).append(work.seconds_each(_skyrl_episode, 3))
    game = import_module("textarena").make("GuessTheNumber-v0")
    found["textarena: step, GuessTheNumber"] = [_guess(game) for _ in range(blocks)]
    return found


def _gem_episode(env: Any) -> None:
    env.reset()
    for _ in range(work.CALLS):
        env.step(work.SEARCHING)
    _, reward, *_ = env.step(work.ANSWERING)
    assert reward == 1, reward


def _skyrl_episode() -> None:
    env = skyrl_env(work.lookup, work.CALLS)
    for _ in range(work.CALLS):
        env.step(work.SEARCHING)
    assert env.step(work.ANSWERING)["reward"] == 1


def _guess(game: Any) -> float:
    """Seconds of a step of TextArena's game: the observation is read, a number is guessed."""
    game.reset(num_players=1, seed=3)
    count, over = 0, False
    start = time.perf_counter()
    while not over:
        game.get_observation()
        count += 1
        over, _ = game.step(f"[{count}]")
    return (time.perf_counter() - start) / count


def vectors(blocks: int) -> dict[str, list[float]]:
    """Seconds of GEM's vectors for each environment, and those of a step whose tool takes 0.2 s."""
    vector = import_module("gem.vector.sync_vector_env"), import_module("gem.vector.async_vector_env")
    kinds = {"gem sync": vector[0].SyncVectorEnv, "gem async": vector[1].AsyncVectorEnv}
    count, rounds = 16, 8
    found: dict[str, list[float]] = {}
    for _ in range(blocks):
        alone = gem_env(work.lookup, rounds, history=False)
        alone.reset()
        found.setdefault("gem alone: quick step", []).append(
            work.seconds_each(lambda alone=alone: alone.step(work.SEARCHING), rounds)
        )
        for kind, made in kinds.items():
            env = made(["qa"] * count, [lambda: gem_env(work.lookup, rounds, history=False)] * count)
            env.reset()
            each = work.seconds_each(lambda env=env: env.step([work.SEARCHING] * count), rounds) / count
            found.setdefault(f"{kind}: quick step of {count}", []).append(each)
    for size in work.SIZES:
        env = kinds["gem async"](["qa"] * size, [lambda: gem_env(work.slow, 9, history=False)] * size)
        env.reset()
        found[f"gem async: {size}, 0.2 s"] = [
            work.seconds_each(lambda env=env, size=size: env.step([work.SEARCHING] * size), 1) for _ in range(3)
        ]
    return found


def main(what: str, blocks: str = "1") -> dict[str, Any]:
    """What is asked for."""
    logging.disable(logging.CRITICAL)
    if what == "versions":
        return {name: version(name) for name in PEERS}
    import_module("datasets").disable_progress_bars()
    found: dict[str, Any] = {"steps": steps, "vectors": vectors}[what](int(blocks))
    return found


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):  # some of them print
        told = main(*sys.argv[1:])
    sys.stdout.write(json.dumps(told) + "\n")
