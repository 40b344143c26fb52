"""Logic-RL, R1-Zero's forms and Open-Reasoner-Zero, against the official code and by hand."""

from __future__ import annotations

import sys

import pytest

from toolgym.envs.rewards import (
    logic_rl_reward,
    orz_answer,
    orz_reward,
    r1_format,
    r1_reward,
    r1_tag_count,
    read_roles,
    soft_verifier_reward,
    solution_roles,
)
from toolgym.tools.errors import InputError


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are compared without math-verify."""
    monkeypatch.setitem(sys.modules, "math_verify", None)


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
    (answered("Zoey is a knights, Oliver is a knave"), -1.0),
    (answered("Zoey is knight, Oliver is a knave"), -1.0),
    (answered(""), -1.0),
    (" thought </think> Zoey is a knight", -3.0),
    ("<think>" + answered("(1) Zoey is a knight\n(2) Oliver is a knave"), -3.0),
    (" <answer> (1) Zoey is a knight\n(2) Oliver is a knave </answer> </think>", -3.0),
    (answered("Zoey is a knight, Oliver is a knave") + "<answer></answer>", -3.0),
    (answered("Zoey is a knight, Oliver is a knave").replace("</think>", ""), -3.0),
    ("", -3.0),
]


@pytest.mark.parametrize(("response", "reward"), LOGIC)
def test_logic_rl(response: str, reward: float) -> None:
    assert logic_rl_reward(response, ROLES) == reward
    assert logic_rl_reward(response, "Zoey is a knight, and Oliver is a knave.") == reward
    assert logic_rl_reward(response, "(1) Zoey is a knight\n(2) Oliver is a knave") == reward
    assert logic_rl_reward("<think>" + response, ROLES, prefill="") == reward


def test_roles() -> None:
    assert read_roles("A is a knave, B is a knight", ("A", "B")) == {"A": False, "B": True}
    assert read_roles("A+ is a knave", ("A+",)) is None  # a name has to end at a word boundary
    assert solution_roles("(1) A is a knight\n(2) B is a knave") == {"A": True, "B": False}
    assert solution_roles({"A": "Knight", "B": "knave"}) == {"A": True, "B": False}
    with pytest.raises(InputError, match="a role is True or 'knight', False or 'knave', not 'liar'"):
        solution_roles({"A": "liar"})
    with pytest.raises(InputError, match="names nobody"):
        solution_roles("who knows")
    with pytest.raises(InputError, match="names nobody"):
        solution_roles({})


# R1-Zero --------------------------------------------------------------------------------------------------------

FULL = "<think>\nhm\n</think>\n<answer>\n18\n</answer>"


@pytest.mark.parametrize(
    ("text", "paper", "open_r1", "open_rs", "tags"),
    [
        (FULL, 1, 1, 1, 1.0),
        (f" {FULL}", 1, 0, 1, 1.0),  # open-r1 wants the very start
        (f"{FULL}\n", 1, 1, 1, 1.0),
        (f"{FULL}\nmore", 1, 1, 1, 1.0),  # its pattern ends at a line's end
        (f"{FULL} more", 1, 0, 1, 1.0),
        (f"{FULL} more\n</answer>", 1, 1, 1, 0.75),
        ("<think>\n\n</think>\n<answer>\n\n</answer>", 1, 1, 1, 1.0),
        ("<think>\n</think>\n<answer>\n18\n</answer>", 1, 0, 1, 1.0),  # the thought's line breaks are two
        ("<think>hm</think><answer>18</answer>", 1, 0, 0, 0.0),
        ("<think>\nhm\n</think>\n18", 1, 0, 1, 0.5),
        ("<think>\nhm\n</think>\n", 0, 0, 1, 0.5),
        ("hm\n</think>\n<answer>\n18\n</answer>", 0, 0, 1, 0.75),
        ("<think>\na\n</think>\nb\n</think>\n<answer>\nc\n</answer>", 0, 1, 0, 0.75),
        ("x <think>\nhm\n</think>\n<answer>\n18\n</answer>", 0, 0, 1, 1.0),
        ("</think> <think>", 0, 0, 0, 0.0),
        ("", 0, 0, 0, 0.0),
    ],
)
def test_forms_of_r1(text: str, paper: float, open_r1: float, open_rs: float, tags: float) -> None:
    assert (r1_format(text), r1_format(text, "open_r1"), r1_format(text, "open_rs")) == (paper, open_r1, open_rs)
    assert r1_tag_count(text) == tags


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize(
    ("response", "reward"),
    [
        (FULL, 2),
        ("<think>\nhm\n</think>\n<answer>\n17\n</answer>", 1),
        ("<answer>18.0</answer>", 1),
        ("so \\boxed{18}", 1),
        ("<answer>17</answer> \\boxed{18}", 1),  # a box goes before a block
        ("18", 0),
    ],
)
def test_r1(response: str, reward: float) -> None:
    assert r1_reward(response, "18") == reward
    assert r1_reward(response.removeprefix("<think>"), "18", prefill="<think>") >= reward


# Open-Reasoner-Zero ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("a </think> <answer> \\boxed{18} </answer>", "18"),
        ("<answer> \\boxed{17} or \\boxed{18} </answer>", "18"),
        ("<answer> 18 </answer>", None),
        ("\\boxed{18} <answer> 18 </answer>", None),
        ("<answer> \\boxed{18}", None),
        ("<answer> 1 </answer> <answer> \\boxed{18} </answer>", "18"),  # from the first opening to the last closing
        ("<answer> \\boxed{17} </answer> <answer> \\boxed{18} </answer>", "18"),
        ("<answer> \\boxed{18} } </answer>", "18"),
        ("<answer> \\boxed{18 { } </answer>", "\\boxed{18 { }"),  # a box that does not close is taken whole
        ("", None),
    ],
)
def test_orz(response: str, answer: str | None) -> None:
    assert orz_answer(response) == answer
    if answer in ("17", "18", None):
        assert orz_reward(response, "18") == float(answer == "18")
    assert orz_reward(response, "18", finished=False) == 0


def test_soft_verifier() -> None:
    assert soft_verifier_reward(True, 0.9) == 0.9
    assert soft_verifier_reward(False, 0.7) == pytest.approx(0.3)
    assert soft_verifier_reward(None, 0.7) == 0
    with pytest.raises(InputError, match="from 0 to 1"):
        soft_verifier_reward(True, 1.5)


def test_unknown_forms() -> None:
    with pytest.raises(InputError, match="form must be 'paper', 'open_r1' or 'open_rs'"):
        r1_format("", "blog")  # type: ignore[arg-type]
