"""The published rewards against values obtained from the official code, and against hand-derived ones."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolgym.envs.rewards import logic_rl_reward, read_roles, research_reward, search_r1_reward, solution_roles
from toolgym.envs.rewards.search_r1 import search_r1_format
from toolgym.tools.errors import InputError

# ReSearch -------------------------------------------------------------------------------------------------------

GOLD = ["Alan Turing"]
SEARCHED = " <think> a </think> <search> x </search> <result>\nd\n</result> <think> b </think> "
RIGHT = "<answer> The final answer is \\[ \\boxed{Alan Turing} \\] </answer>"


def box(content: str) -> str:
    return f" <think> a </think> <answer> \\boxed{{{content}}} </answer>"


RESEARCH = [
    # response, finished, code's reward, paper's reward
    (SEARCHED + RIGHT, True, 1.0, 1.0),
    (box("the mathematician Alan Turing"), True, 0.8, 0.8),
    (box("Bob"), True, 0.1, 0.1),
    (SEARCHED + RIGHT, False, 0.0, 1.0),
    (box("Bob"), False, 0.0, 0.0),
    (" <think> a </think> <answer> Alan Turing </answer>", True, 0.0, 0.0),
    (" <think> a </think> <search> x </search> " + RIGHT, True, 0.0, 1.0),
    (" <think> a </think> <search> x <result> d </result> </search> " + RIGHT, True, 0.0, 1.0),
    (SEARCHED + "<search> y </search> " + RIGHT, True, 0.0, 1.0),
    (SEARCHED + "<search> y </search> <result> e </result> " + RIGHT, True, 1.0, 1.0),
    (RIGHT, True, 0.0, 1.0),
    (" <think> a " + RIGHT, True, 0.0, 1.0),
    (" <think> a </think> " + RIGHT + RIGHT, True, 0.0, 1.0),
    (" <think> a </think> </answer> \\boxed{Alan Turing} <answer>", True, 0.0, 0.0),
    (" <think> a </think> <answer> \\boxed{Alan Turing </answer> }", True, 0.0, 0.0),
    (" <think> a </think> <answer> \\boxed{Bob} or \\boxed{Alan Turing} </answer>", True, 1.0, 1.0),
    (" <think> a </think> \\boxed{Alan Turing} <answer> \\boxed{Bob} </answer>", True, 0.1, 0.1),
    (box("yes"), True, 0.1, 0.1),
    (box(""), True, 0.1, 0.1),
    ("", True, 0.0, 0.0),
]


@pytest.mark.parametrize(("response", "finished", "code", "paper"), RESEARCH)
def test_research(response: str, finished: bool, code: float, paper: float) -> None:
    assert research_reward(response, GOLD, finished=finished) == pytest.approx(code)
    assert research_reward(response, GOLD, finished=finished, variant="paper") == pytest.approx(paper)


def test_research_takes_the_best_of_the_answers() -> None:
    assert research_reward(box("Bob"), ["Alan", "Bob"]) == 1.0


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
    ("<answer>Rome</answer> <answer>Paris</answer>", 0.8, 1),
    ("<answer>Paris</answer> <answer>Rome</answer>", 0.1, 0),
]


@pytest.mark.parametrize(("response", "formed", "em"), SEARCH_R1)
def test_search_r1(response: str, formed: float, em: float) -> None:
    assert search_r1_reward(response, ["Paris"]) == em
    assert search_r1_reward(response, ["Paris"], variant="format", retrieval_score=0.1) == pytest.approx(formed)


def test_search_r1_pays_for_retrieval_only_where_asked() -> None:
    response = CHAIN.format("Paris is big", "Rome")
    assert search_r1_reward(response, ["Paris"], variant="format") == 0.2
    # An answer of which normalisation leaves nothing is found nowhere.
    assert search_r1_reward(response, ["The"], variant="format", retrieval_score=0.1) == 0.2


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
        ("", False),
    ],
)
def test_the_form_of_search_r1(response: str, formed: bool) -> None:
    assert search_r1_format(response) is formed


# Logic-RL -------------------------------------------------------------------------------------------------------

ROLES = {"Zoey": True, "Oliver": False}


def answered(text: str) -> str:
    return f" thought </think>\n<answer> {text} </answer>"


LOGIC = [
    (answered("(1) Zoey is a knight\n(2) Oliver is a knave"), 3.0),
    (answered("ZOEY IS A KNIGHT, and oliver  is a\nknave."), 3.0),
    (answered("(1) Zoey is a knave\n(2) Oliver is a knave"), -0.5),
    (answered("(1) Zoey is a knight"), -1.0),
    (answered("(1) Zoey is a knight (not a knave)\n(2) Oliver is a knave"), -1.0),
    (answered("(1) **Zoey** is a knight\n(2) **Oliver** is a knave"), -1.0),
    (answered("Zoey is a knight, Zoeys is a knave"), -1.0),
    (answered(""), -1.0),
    (" thought </think> Zoey is a knight", -3.0),
    ("<think>" + answered("(1) Zoey is a knight\n(2) Oliver is a knave"), -3.0),
    (" <answer> (1) Zoey is a knight\n(2) Oliver is a knave </answer> </think>", -3.0),
    (answered("Zoey is a knight, Oliver is a knave") + "<answer></answer>", -3.0),
    ("", -3.0),
]


@pytest.mark.parametrize(("response", "reward"), LOGIC)
def test_logic_rl(response: str, reward: float) -> None:
    assert logic_rl_reward(response, ROLES) == reward
    assert logic_rl_reward(response, "Zoey is a knight, and Oliver is a knave.") == reward
    assert logic_rl_reward("<think>" + response, ROLES, prefill="") == reward


def test_roles() -> None:
    assert read_roles("A is a knave, B is a knight", ("A", "B")) == {"A": False, "B": True}
    assert read_roles("A+ is a knave", ("A+",)) is None  # a name has to end at a word boundary
    assert solution_roles("(1) A is a knight\n(2) B is a knave") == {"A": True, "B": False}
    with pytest.raises(InputError, match="names nobody"):
        solution_roles("who knows")
    with pytest.raises(InputError, match="names nobody"):
        solution_roles({})


# All ------------------------------------------------------------------------------------------------------------


def test_unknown_variants() -> None:
    with pytest.raises(InputError, match="variant must be 'code' or 'paper'"):
        research_reward("", ["x"], variant="blog")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="variant must be 'em' or 'format'"):
        search_r1_reward("", ["x"], variant="blog")  # type: ignore[arg-type]


PIECES = st.sampled_from(
    "<think> </think> <search> </search> <result> </result> <information> </information> <answer> </answer> "
    "\\boxed{ } { x knight knave \x00 \ud800".split()
)


@given(st.lists(PIECES | st.text(max_size=4), max_size=30).map("".join), st.booleans())
def test_any_text_earns_what_the_papers_allow(response: str, finished: bool) -> None:
    code = research_reward(response, ["no such answer"], finished=finished)
    assert code in (0.0, 0.1)
    assert code <= research_reward(response, ["no such answer"], finished=finished, variant="paper")
    assert search_r1_reward(response, ["gold"]) == 0
    assert search_r1_reward(response, ["gold"], variant="format") in (0.0, 0.1, 0.2)
    assert logic_rl_reward(response, ROLES) in (-3.0, -1.0, -0.5)


@pytest.mark.parametrize("piece", ["<answer>", "<search>", "<information>", "<think>", "\\boxed{", "{", " ", "knight "])
def test_long_texts_take_no_time(piece: str) -> None:
    text = piece * (400_000 // len(piece))
    started = time.thread_time()
    for response in (text, f"<think></think><answer>\\boxed{{{text}}}</answer>"):
        research_reward(response, GOLD)
        research_reward(response, GOLD, variant="paper")
        search_r1_reward(response, ["Paris"], variant="format")
        logic_rl_reward(response, ROLES)
    assert time.thread_time() - started < 3.0
