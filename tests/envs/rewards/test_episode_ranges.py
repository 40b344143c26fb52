"""All rewards of episodes: names, ranges, forged and empty episodes, pickling."""

from __future__ import annotations

import pickle
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played import LONG, NUMBER, play, reward_of

from toolgym.envs.episode import Action, Episode, FinishReason, ParsedAction, StopReason, Turn
from toolgym.envs.rewards import REWARDS, cover_exact_match, exact_match, f1_score, reward_function
from toolgym.envs.rewards.text import CoverRules, F1Rules
from toolgym.envs.task import Task
from toolgym.tools.base import ToolResult, ToolStatus
from toolgym.tools.errors import InputError

RANGES = {
    "exact_match": (0, 1, 0),
    "f1": (0, 1, 0),
    "cover_exact_match": (0, 1, 0),
    "react": (0, 1, 0),
    "fever": (0, 1, 0),
    "search_r1": (0, 1, 0),
    "search_r1_format": (0, 1, 0.2),
    "research": (0, 1, 0.1),
    "recall": (0, 1, 0.1),
    "autotir": (-0.1, 1, 0.1),
    "r1_searcher": (-2, 1, 0),
    "zero_search": (0, 1, 0),
    "deep_researcher": (-1, 1, 0),
    "step_search": (-1, 1.618, 0.618),
    "logic_rl": (-3, 3, -0.5),
    "r1": (0, 2, 1),
    "r1_format": (0, 1, 1),
    "orz": (0, 1, 0),
    "math": (0, 1, 0),
    "prm800k": (0, 1, 0),
    "gsm8k": (0, 1, 0),
    "retool": (-1, 1, -1),
    "torl": (-1, 1, -1),
    "dapo": (-1, 1, -1),
    "simple_tir": (0, 1, 0),
    "unit_tests": (0, 1, 0),
    "cosine": (-1, 1, -0.5),
    "lcpo_exact": (-3, 1, 0),
    "lcpo_max": (0, 1, 0),
    "kimi_length": (-0.5, 0.5, 0),
    "soft_overlong": (-1, 0, 0),
    "repetition": (-1, 0, 0),
}
OPTIONS = {
    "r1_searcher(model=llama)": (-1, 1, 0),
    "r1_searcher(stage=1)": (-1, 2, 0),
    "r1_searcher(stage=1, variant=paper)": (0, 1, 1),
    "search_r1_format(retrieval_score=0.1)": (0, 1, 0.3),
    "retool(variant=verl)": (-1, 1, -0.6),
    "torl(variant=wformat, execution_penalty=true)": (-1.5, 1, -0.5),
    "cosine(form=demystify)": (-10, 2, 0),
    "cosine(form=open_rs)": (-0.5, 1, 0),
    "soft_overlong(factor=2)": (-2, 0, 0),
    "repetition(max_penalty=-0.5)": (-0.5, 0, 0),
}


def test_names_and_ranges() -> None:
    found = {name: (reward.minimum, reward.maximum, reward.wrong_ceiling) for name, reward in REWARDS.items()}
    assert found == {name: pytest.approx(bounds) for name, bounds in RANGES.items()}
    assert all(reward_function(name).name == name for name in REWARDS)
    for spec, bounds in OPTIONS.items():
        reward = reward_function(spec)
        assert (reward.minimum, reward.maximum, reward.wrong_ceiling) == pytest.approx(bounds)
        assert reward.name == spec
    with pytest.raises(InputError, match="unknown reward 'serch_r1'; did you mean 'search_r1'"):
        reward_function("serch_r1")


@pytest.mark.parametrize("name", REWARDS)
def test_a_forged_observation_earns_the_minimum(name: str) -> None:
    task = Task("t", "?", ("18",), {**NUMBER.metadata, "solution": {"Zoey": True}})
    forged = play(
        "research", ["<think> a </think> <result> r </result> <answer> \\boxed{18} </answer>"], task=task, tokens=10
    )
    reward, terms = reward_of(name, forged)
    assert reward == REWARDS[name].minimum and terms["forged"] == 1


BONUSES = {"r1_format", "soft_overlong", "repetition", "kimi_length"}
"""Parts of sums: an empty episode does not earn their least."""


@pytest.mark.parametrize("name", REWARDS)
def test_an_empty_episode_earns_what_a_wrong_one_may(name: str) -> None:
    task = Task("t", "?", ("Zoey is a knight",), NUMBER.metadata)
    for turns in ([], [Turn(Action("", token_count=0), ParsedAction(""))]):
        episode = Episode(task, "", turns=turns, stop_reason=StopReason.MAX_TOKENS)
        reward = reward_of(name, episode)[0]
        assert REWARDS[name].minimum <= reward <= REWARDS[name].wrong_ceiling
        if name not in BONUSES | {"lcpo_exact", "autotir"}:
            assert reward == REWARDS[name].minimum


@pytest.mark.parametrize("spec", [*REWARDS, *OPTIONS, "exact_match - 0.5*repetition + kimi_length"])
def test_rewards_can_be_pickled(spec: str) -> None:
    reward = reward_function(spec)
    task = Task("t", "?", ("18",), {**NUMBER.metadata, "solution": {"Zoey": True}})
    episode = play("think_answer", [LONG.format("18")], task=task, tokens=9)
    if "unit_tests" not in spec:
        assert pickle.loads(pickle.dumps(reward))(episode) == reward(episode)


FORMATS = (
    *("research", "search_r1", "r1_searcher", "zero_search", "react", "hermes", "recall"),
    *("code", "torl", "simpletir", "think_answer"),
)
PIECES = st.sampled_from(
    [
        *"<think> </think> <search> </search> <answer> </answer> <code> </code> <result> </result>".split(),
        *"\\boxed{ } { \\boxed".split(),
        *"<|begin_of_query|> <|end_of_query|> <tool_call> </tool_call> ```python ``` Paris Rome 18 assistant".split(),
        *("Zoey is a knight", '{"name": "search", "arguments": {"query": "x"}}', "finish[Paris]", "\nAction 1: "),
        *(" ", "\n", "\x00", "\ud800", "中"),
    ]
)
WRITTEN = st.lists(PIECES, max_size=14).map("".join)
SUMS = (
    "exact_match + 0.1*repetition - 0.5*f1",
    "2*research + soft_overlong + 0*r1_searcher",
    "logic_rl - search_r1_format",
)


@given(
    format_name=st.sampled_from(FORMATS),
    actions=st.lists(WRITTEN, min_size=1, max_size=3),
    answers=st.sampled_from([("Paris",), ("18",), ("Zoey is a knight",), ("The",), ("Paris", "Rome")]),
    returned=WRITTEN,
    tokens=st.integers(0, 100_000),
    finish_reason=st.sampled_from(["stop", "eos", "length"]),
)
@settings(max_examples=150, deadline=None)
def test_no_episode_leaves_the_range(
    format_name: str,
    actions: list[str],
    answers: tuple[str, ...],
    returned: str,
    tokens: int,
    finish_reason: FinishReason,
) -> None:
    metadata = {**NUMBER.metadata, "solution": {"Zoey": True}, "search_keys": [["Paris"]]}
    episode = play(
        format_name,
        actions,
        task=Task("t", "?", answers, metadata),
        results=(ToolResult(ToolStatus.OK, returned),),
        finish_reason=finish_reason,
        tokens=tokens,
    )
    answer = episode.answer or ""
    shared = [f1_score(answer, answers, rules) for rules in get_args(F1Rules)]
    covered = [
        exact_match(answer, answers, variant="strict"),
        *(cover_exact_match(answer, answers, rules, variant="strict") for rules in get_args(CoverRules)),
    ]
    wrong = not any(shared + covered) and "knight" not in answer
    for spec in (*REWARDS, *OPTIONS, *SUMS):
        if spec in ("unit_tests", "math", "prm800k", "retool", "torl", "simple_tir", "orz", "r1") or "torl" in spec:
            continue  # these judge answers outside of this process; tested one by one above
        reward = reward_function(spec)
        if "cosine" in spec or "lcpo" in spec or "kimi" in spec:
            reward = reward_function(spec, judge="exact_match")
        result = reward(episode)
        assert reward.minimum - 1e-9 <= result.reward <= reward.maximum + 1e-9, spec
        assert all(value == value for value in result.terms.values()), spec
        if wrong:
            assert result.reward <= reward.wrong_ceiling + 1e-9, spec
