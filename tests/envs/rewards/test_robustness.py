"""Nothing that a model can write makes a reward raise, take long, or leave its range."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolgym.envs.rewards import (
    autotir_reward,
    chat_turns,
    cover_exact_match,
    deep_researcher_reward,
    exact_match,
    f1_score,
    gsm8k_reward,
    is_void_turn,
    logic_rl_reward,
    orz_answer,
    r1_format,
    r1_searcher_reward,
    r1_tag_count,
    recall_reward,
    repetition_penalty,
    research_reward,
    retool_reward,
    search_r1_reward,
    simple_tir_answer,
    step_search_reward,
    swe_rl_reward,
    zero_search_reward,
)
from toolgym.envs.rewards.python_tools import torl_box

GOLD = ["Atlantis"]
ROLES = {"Zoey": True, "Oliver": False}

Reward = Callable[[str], float]
REWARDS: dict[str, tuple[Reward, set[float]]] = {
    # name: reward of a text, what a wrong one may earn
    "research": (partial(research_reward, answers=GOLD), {0.0, 0.1}),
    "research paper": (partial(research_reward, answers=GOLD, variant="paper"), {0.0, 0.1}),
    "autotir": (partial(autotir_reward, answers=GOLD, tool="code"), {-0.1, 0.0, 0.1}),
    "recall": (lambda text: recall_reward([text], GOLD), {0.0, 0.1}),
    "search_r1": (partial(search_r1_reward, answers=GOLD), {0.0}),
    "search_r1 format": (partial(search_r1_reward, answers=GOLD, variant="format"), {0.0, 0.1, 0.2}),
    "r1_searcher": (partial(r1_searcher_reward, answers=GOLD), {-2.0, 0.0}),
    "r1_searcher llama": (partial(r1_searcher_reward, answers=GOLD, model="llama"), {-1.0, 0.0}),
    "r1_searcher stage 1": (partial(r1_searcher_reward, answers=GOLD, stage=1), {-1.0, -0.5, 0.0}),
    "zero_search": (partial(zero_search_reward, answers=GOLD), {0.0}),
    "deep_researcher": (partial(deep_researcher_reward, answers=GOLD), {-1.0, 0.0}),
    "step_search": (partial(step_search_reward, answers=GOLD), {-1.0, 0.0}),
    "logic_rl": (partial(logic_rl_reward, solution=ROLES), {-3.0, -1.0, -0.5}),
    "retool verl": (partial(retool_reward, answers=GOLD, variant="verl"), {-1.0}),
    "gsm8k": (partial(gsm8k_reward, answers=GOLD), {0.0}),
    "gsm8k flexible": (partial(gsm8k_reward, answers=GOLD, method="flexible", variant="verl"), {0.0}),
    "swe_rl": (lambda text: swe_rl_reward(text, {"a": "x"}, {"a": "y"}), {-1.0, 0.0}),
    "exact_match": (partial(exact_match, answers=GOLD), {0.0}),
    "cover": (partial(cover_exact_match, answers=GOLD), {0.0}),
    "f1": (partial(f1_score, answers=GOLD, rules="deep_researcher"), {0.0}),
}
READINGS: dict[str, Callable[[str], object]] = {
    "torl box": torl_box,
    "simple_tir": simple_tir_answer,
    "orz": orz_answer,
    "void": is_void_turn,
    "open_r1": partial(r1_format, form="open_r1"),
    "tags": r1_tag_count,
    "repetition": repetition_penalty,
    "chat": chat_turns,
}

PIECES = st.sampled_from(
    [
        *"<think> </think> <search> </search> <result> </result> <information> </information> <code> </code>".split(),
        *"<answer> </answer> <tool_call> </tool_call> <solution> </solution>".split(),
        *"\\boxed{ \\boxed \\fbox } { \\{ \\}".split(),
        *"<|begin_of_query|> <|end_of_query|> <|begin_of_documents|> <|end_of_documents|> ``` ```python ####".split(),
        *"x Zoey is a knight knave 18 assistant 中 \u00b2 \u0663 \x00 \ud800".split(),
        *(" ", "\n", "\r", "\n### a\n<<<<<<< SEARCH\nx\n=======\n", "\n>>>>>>> REPLACE\n```"),
    ]
)


@given(st.lists(PIECES | st.text(max_size=4), max_size=30).map("".join))
@settings(deadline=None)
def test_any_text_earns_what_a_wrong_one_may(text: str) -> None:
    for name, (reward, allowed) in REWARDS.items():
        assert reward(text) in allowed, name
    for reading in READINGS.values():
        reading(text)
    code, paper = (research_reward(text, GOLD, variant=variant) for variant in ("code", "paper"))  # type: ignore[arg-type]
    assert code <= paper


LONG_PIECES = (
    "<answer>",
    "</answer>",
    "<answer></answer>",
    "<search>",
    "<search></search><result></result>",
    "<information>",
    "<think>",
    "<tool_call>",
    "<tool_call>{}</tool_call>",
    "<|begin_of_documents|>",
    "<|endoftext|>",
    "<|im_start|>assistant\n",
    "\\boxed{",
    "\\boxed ",
    "{",
    "}",
    "\\{",
    "{}",
    " ",
    "a ",
    "knight ",
    "Zoey is a ",
    "1",
    "-1.",
    "#### ",
    "```\n",
    "```",
    "\n</think>\n<answer>\n",
    "\n</answer>x",
    "\n### a\n<<<<<<< SEARCH\n",
)


@pytest.mark.parametrize("piece", LONG_PIECES)
def test_long_texts_take_no_time(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    started = time.thread_time()
    for response in (
        text,
        f"<think>\n{text}\n</think>\n<answer>\\boxed{{{text}}}</answer>",
        f"<solution>{text}</solution>",
    ):
        for name, (reward, _) in REWARDS.items():
            before = time.thread_time()
            reward(response)
            assert time.thread_time() - before < 1.0, name
        for name, reading in READINGS.items():
            before = time.thread_time()
            reading(response)
            assert time.thread_time() - before < 1.0, name
    assert time.thread_time() - started < 8.0
