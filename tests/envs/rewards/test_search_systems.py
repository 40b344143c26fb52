"""Search-R1, R1-Searcher, ZeroSearch, DeepResearcher and StepSearch, against the official code and by hand."""

from __future__ import annotations

from typing import Any

import pytest

from toolgym.envs.rewards import (
    deep_researcher_reward,
    r1_searcher_reward,
    search_r1_reward,
    step_search_reward,
    zero_search_reward,
)
from toolgym.envs.rewards.search_r1 import search_r1_format
from toolgym.tools.errors import InputError

# Search-R1 ------------------------------------------------------------------------------------------------------

CHAIN = (
    "<think>a</think>\n<search> x </search>\n\n<information>{}</information>\n\n<think>b</think>\n<answer> {} </answer>"
)
SHORT = "<think>b</think><answer>{}</answer>"

SEARCH_R1 = [
    # response, format reward (structure .2, final .1, retrieval .1), EM reward
    (CHAIN.format("d", "Paris"), 1.0, 1),
    (SHORT.format("The Paris"), 1.0, 1),
    ("<think>b</think> so <answer>Paris</answer>", 0.8, 1),
    (CHAIN.format("Paris is big", "Rome"), 0.3, 0),
    (SHORT.format("Rome"), 0.2, 0),
    ("so <answer>Rome</answer>", 0.1, 0),
    ("<think>b</think> <search>Paris", 0.0, 0),
    ("", 0.0, 0),
    ("<answer>Rome</answer> <answer>Paris</answer>", 0.8, 1),  # the last block counts
    ("<answer>Paris</answer> <answer>Rome</answer>", 0.1, 0),
    ("<answer>Paris", 0.0, 0),
    ("<answer>Rome <answer>Paris</answer>", 0.1, 0),  # the block starts at the first opening tag
    (CHAIN.format("<answer>Paris</answer>", "Rome"), 0.1, 0),  # tags inside of a block are in the wrong place
]


@pytest.mark.parametrize(("response", "formed", "em"), SEARCH_R1)
def test_search_r1(response: str, formed: float, em: float) -> None:
    assert search_r1_reward(response, ["Paris"]) == em
    assert search_r1_reward(response, ["Paris"], variant="format", retrieval_score=0.1) == pytest.approx(formed)


def test_search_r1_pays_for_retrieval_only_where_asked() -> None:
    response = CHAIN.format("Paris is big", "Rome")
    assert search_r1_reward(response, ["Paris"], variant="format") == 0.2
    # Of this answer normalisation leaves the empty text, which is part of every block.
    assert search_r1_reward(response, ["The"], variant="format", retrieval_score=0.1) == pytest.approx(0.3)
    assert search_r1_reward("<answer> a </answer>", ["The"]) == 1  # and equals what else is left empty
    # Retrieval counts in the right form alone.
    assert search_r1_reward(response + " x", ["Paris"], variant="format", retrieval_score=0.1) == 0.1


def test_the_cover_variant_of_search_r1() -> None:
    assert search_r1_reward(SHORT.format("in Paris, France"), ["Paris"], variant="cover") == 1
    assert search_r1_reward(SHORT.format("Rome"), ["Paris"], variant="cover") == 0
    assert search_r1_reward("Paris", ["Paris"], variant="cover") == 0


@pytest.mark.parametrize(
    ("response", "formed"),
    [
        (SHORT.format("x"), True),
        ("\n " + SHORT.format("x") + " \n", True),
        (CHAIN.format("d", "x"), True),
        (CHAIN.format("d", "x").replace("<think>b</think>", ""), False),  # no thought after information
        ("<answer>x</answer>", False),
        ("<think>a</think>", False),
        ("<think>a<think>b</think><answer>x</answer>", False),
        ("<think>a</think><think>b</think><answer>x</answer>", False),
        ("<think>a</think><search>q</search><think>b</think><answer>x</answer>", False),
        ("<think>a</think><information>d</information><think>b</think><answer>x</answer>", False),
        (SHORT.format("x") + " more", False),
        (SHORT.format("x") + "<think>c</think>", False),
        (SHORT.format("<search>x</search>"), False),
        ("<think>b</think><answer>x", False),
        ("<think></think><answer></answer>", True),
        ("", False),
    ],
)
def test_the_form_of_search_r1(response: str, formed: bool) -> None:
    assert search_r1_format(response) is formed


# R1-Searcher ----------------------------------------------------------------------------------------------------

DOCUMENTS = "\n\n<|begin_of_documents|>\n(1)a\n(2)b\n<|end_of_documents|>\n\n"
FOUND = f" hm <|begin_of_query|> q <|end_of_query|>{DOCUMENTS} so </think>\n\n"
DIRECT = " hm </think>\n\n"
TURING = "<answer> Alan Turing </answer>"
BOB = "<answer> Bob </answer>"
ELEVEN = "<answer>" + " w" * 9 + " Alan Turing </answer>"  # F1: 2 of 11 and 2 of 2
LONG_F1 = 2 * (2 / 11) / (2 / 11 + 1)


@pytest.mark.parametrize(
    ("response", "qwen", "llama"),
    [
        (FOUND + TURING, 1.0, 1.0),
        (DIRECT + TURING, 1.0, 1.0),  # no search at all is no fault
        (FOUND + BOB, 0.0, 0.0),
        (FOUND + ELEVEN, LONG_F1 - 2, LONG_F1),  # Llama's script does not count words
        ("<think>" + FOUND + TURING, -1.0, 0.0),
        (FOUND, -2.0, -1.0),
        (FOUND.replace("hm", "the assistant") + TURING, -1.0, 1.0),
        (FOUND.replace("(2)b", "(2)the Assistant") + TURING, -1.0, 1.0),  # in retrieved text too
        (FOUND.replace("</think>", "") + TURING, -1.0, 0.0),
        (FOUND + TURING + BOB, -2.0, -1.0),  # two answers; the last is judged
        (FOUND + BOB + TURING, -1.0, 0.0),
        (" <|begin_of_query|> q" + DIRECT + TURING, -1.0, 0.0),  # marks are not equally many
        (FOUND.replace("\n(1)a", " (1)a") + TURING, -1.0, 0.0),  # the line break after the mark counts
        (FOUND.replace("\n(1)a", "\na") + TURING, -1.0, 0.0),  # and the first number
        (FOUND.replace("documents|>\n\n so", "documents|> so") + TURING, -1.0, 0.0),
        (FOUND + "<answer> begin_of_query </answer>", -2.0, 0.0),
        (FOUND + "<answer> begin_of_documents Alan Turing </answer>", 2 * 0.4 / 1.4 - 2, 2 * 0.4 / 1.4),  # 2 of 5
        (FOUND.replace("hm", "中") + TURING, -1.0, 0.0),
        (FOUND.replace("(2)b", "(2)中") + TURING, 1.0, 1.0),  # documents may be Chinese
        (DIRECT + "</answer> <answer> Alan Turing", 0.8, 0.8),  # never closed: the end-of-turn token is a word of it
    ],
)
def test_r1_searcher_stage_2(response: str, qwen: float, llama: float) -> None:
    assert r1_searcher_reward(response, "Alan Turing") == pytest.approx(qwen)
    assert r1_searcher_reward(response + "<|endoftext|>", "Alan Turing") == pytest.approx(qwen)
    assert r1_searcher_reward(response, "Alan Turing", variant="paper") == pytest.approx(qwen)
    if "</answer> <answer>" not in response:  # Llama's token is of three words: eot, id and the bars
        assert r1_searcher_reward(response, "Alan Turing", model="llama") == pytest.approx(llama)


@pytest.mark.parametrize(
    ("response", "code", "paper"),
    [
        (FOUND + TURING, 2.0, 1.0),
        (DIRECT + TURING, 1.5, 0.5),
        (FOUND + BOB, 0.0, 1.0),  # in the paper the answer plays no part
        (DIRECT + BOB, -0.5, 0.5),
        (FOUND, -0.5, 0.5),
        ("", -1.0, 0.0),
        (FOUND + "<answer> Turing, the famous Alan </answer>", 2.0, 1.0),  # covers, in any order
        ("<think>" + FOUND + TURING, 1.5, 0.5),
        (FOUND.replace("<|end_of_query|>", "") + TURING, 1.5, 0.5),  # paper: searched, but not in form
    ],
)
def test_r1_searcher_stage_1(response: str, code: float, paper: float) -> None:
    assert r1_searcher_reward(response, "Alan Turing", stage=1) == code
    assert r1_searcher_reward(response, "Alan Turing", stage=1, model="llama") == code
    assert r1_searcher_reward(response, "Alan Turing", stage=1, variant="paper") == paper


def test_r1_searcher_knows_yes_and_takes_the_best_answer() -> None:
    assert r1_searcher_reward(DIRECT + "<answer> True </answer>", "yes") == 1
    assert r1_searcher_reward(DIRECT + BOB, ["Alan", "Bob"]) == 1


def test_r1_searcher_reads_what_follows_the_last_end_of_a_prompt() -> None:
    again = f"<answer> Bob \nAssistant: <think>{DIRECT}{TURING}"
    assert r1_searcher_reward(again, "Alan Turing") == 1
    assert r1_searcher_reward(again, "Alan Turing", variant="paper") == -1
    assert r1_searcher_reward(again, "Alan Turing", model="llama") == 0  # Llama's prompt ends otherwise: one <think>
    again = f"{FOUND}{TURING}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n<think>{DIRECT}{BOB}"
    assert r1_searcher_reward(again, "Alan Turing", model="llama") == 0
    assert r1_searcher_reward(again, "Alan Turing", stage=1) == -0.5


def test_r1_searcher_has_no_code_for_stage_1_of_qwen() -> None:
    with pytest.raises(InputError, match="published code for model 'llama' alone; use variant='paper'"):
        r1_searcher_reward("", "x", stage=1, model="qwen_zero")
    bad: dict[str, Any]
    for bad in ({"stage": 3}, {"model": "gpt"}, {"variant": "blog"}):
        with pytest.raises(InputError, match=f"{next(iter(bad))} must be"):
            r1_searcher_reward("", "x", **bad)


# ZeroSearch, DeepResearcher, StepSearch -------------------------------------------------------------------------


def test_zero_search() -> None:
    assert zero_search_reward("<answer>Rome</answer><answer>the Paris</answer>", "Paris") == 1
    assert zero_search_reward("<answer>yes it is</answer>", "yes") == 0.5  # no rule for yes and no
    assert zero_search_reward("<answer>Parisian</answer>", "Paris") == 0
    assert zero_search_reward("<answer>Parisian</answer>", "Paris", metric="em") == 1  # a substring
    assert zero_search_reward("Paris", "Paris") == 0


@pytest.mark.parametrize(
    ("response", "reward"),
    [
        ("<think>a</think><answer>Paris</answer>", 1.0),
        ("<ANSWER>PARIS</Answer>", 1.0),
        ("<answer>the Paris</answer>", 2 / 3),  # articles stay: 1/2 and 1
        ("<answer>Paris, Paris</answer>", 1.0),  # a set
        ("<answer>Rome</answer>", 0.0),
        ("<answer></answer>", 0.0),
        ("<answer>Paris</answer><answer>Rome</answer>", 1.0),  # the first counts
        ("Paris", -1.0),
        ("<answer>Paris", -1.0),
        ("<think>a<answer>Paris</answer>", -1.0),
        ("</think>a<think><answer>Paris</answer>", -1.0),  # closed before it is opened
        ("<tool_call>{}</tool_call></tool_call><answer>Paris</answer>", -1.0),
        ("<think><think>a</think></think><answer>Paris</answer>", 1.0),  # nested is paired
        ("<answer>Rome<answer>Paris</answer></answer>", 0.5),  # rome, answer and paris; precision 1/3
    ],
)
def test_deep_researcher(response: str, reward: float) -> None:
    assert deep_researcher_reward(response, ["x", "Paris"]) == pytest.approx(reward)
    assert deep_researcher_reward(response, "x<|answer_split|>Paris") == pytest.approx(reward)


KEYS = [["capital of France", "France capital"], ["population of Paris"]]
ASKED = "<search>capital France</search><information>d</information>"


@pytest.mark.parametrize(
    ("response", "keys", "reward"),
    [
        ("<answer>Paris</answer> \n", (), 1.0),
        ("<answer>x y Paris</answer>", (), 0.5),  # 1/3 and 1
        ("<answer>x x x Paris Paris</answer>", (), 0.3333),  # 1/5 and 1, rounded
        ("<answer>Paris</answer> so", (), -1.0),
        ("<answer>Paris</answer></answer>", (), -1.0),
        ("Paris", (), -1.0),
        # "capital France" is all of "France capital": 1 of 2 groups.
        (ASKED + "<answer>Paris</answer>", KEYS, 1 + 0.618 / 2),
        (ASKED + "<answer>Rome</answer>", KEYS, 0.618 / 2),
        # The second query meets the same group less well (1/2 and 1/2), and replaces what was there.
        (ASKED + "<search>capital Rome</search><answer>Rome</answer>", KEYS, 0.618 * 0.5 / 2),
        ("<search>zzz</search><answer>Rome</answer>", KEYS, 0.0),
        ("<search>population of <search>Paris</search><answer>Rome</answer>", KEYS, 0.618 / 2),
    ],
)
def test_step_search(response: str, keys: Any, reward: float) -> None:
    assert step_search_reward(response, "Paris", keys) == pytest.approx(reward)


def test_unknown_variants() -> None:
    with pytest.raises(InputError, match="variant must be 'em', 'cover' or 'format'"):
        search_r1_reward("", ["x"], variant="blog")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="metric must be 'f1' or 'em'"):
        zero_search_reward("", ["x"], metric="rouge")  # type: ignore[arg-type]
