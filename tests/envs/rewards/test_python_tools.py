"""ReTool, ToRL, SimpleTIR, DAPO and GSM8K, against the official code and by hand."""

from __future__ import annotations

import sys

import pytest

from toolgym.envs.rewards import (
    dapo_reward,
    gsm8k_answer,
    gsm8k_reward,
    has_void_turn,
    is_void_turn,
    retool_reward,
    simple_tir_answer,
    simple_tir_reward,
    torl_reward,
)
from toolgym.envs.rewards.dapo import normalize_minerva
from toolgym.envs.rewards.python_tools import torl_box
from toolgym.tools.errors import InputError


@pytest.fixture(autouse=True)
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """All answers here are numbers, which need no math-verify."""
    monkeypatch.setitem(sys.modules, "math_verify", None)


@pytest.mark.parametrize(
    ("response", "reward"),
    [
        ("<answer>\\boxed{18}</answer>", 1),
        ("<answer>\\boxed{17}</answer>", -1),
        ("\\boxed{17}, no, \\boxed{18}", 1),
        ("\\boxed{18.0}", 1),
        ("<answer>18</answer>", -1),
        ("", -1),
    ],
)
def test_retool(response: str, reward: float) -> None:
    assert retool_reward(response, ["18"]) == reward
    assert retool_reward(response, ["3", "18"]) == reward


@pytest.mark.parametrize(
    ("response", "num_turns", "reward"),
    [
        ("\\boxed{18}", 2, 1.0),
        ("\\boxed{18.0}", 2, -1.0),  # letter by letter
        ("\\boxed{ 18}", 2, -1.0),
        ("\\boxed{18}" + "x" * 90, 2, 1.0),
        ("\\boxed{18}" + "x" * 91, 2, -1.0),  # the box has to stand in the last 100 characters
        ("\\boxed 18", 2, -1.0),
        ("", 2, -1.0),
        ("", 4, -0.9),  # -1 + 0.1 for each round of tools
        ("", 8, -0.7),
        ("", 10, -0.6),
        ("", 20, -0.6),
    ],
)
def test_retool_of_verl(response: str, num_turns: int, reward: float) -> None:
    assert retool_reward(response, "18", variant="verl", num_turns=num_turns) == pytest.approx(reward)


@pytest.mark.parametrize(
    ("response", "reward", "wformat"),
    [
        ("\\boxed{18}", 1, 1),
        ("\\boxed{17}", -1, -0.5),
        ("18", -1, -1),
        ("\\boxed{18", -1, -1),
        ("\\boxed{18} \\boxed{17}", -1, -0.5),
    ],
)
def test_torl(response: str, reward: float, wformat: float) -> None:
    assert torl_reward(response, "18") == reward
    assert torl_reward(response, "18", variant="wformat") == wformat
    assert torl_reward(response, "18", failed_execution=True) == reward - 0.5


def test_torl_compares_text_without_regard_to_case() -> None:
    assert torl_reward("\\boxed{ Monday}", "monday") == 1


@pytest.mark.parametrize(
    ("response", "box"),
    [
        ("\\boxed{a} \\boxed{b}", "b"),
        ("\\boxed{a \\boxed{b}}", "a \\boxed{b}"),  # none inside another
        ("\\boxed{a \\boxed{b}", "b"),
        ("\\boxed{1{2{3{}}}}", "1{2{3{}}}"),
        ("\\boxed{1{2{3{4{}}}}}", None),  # four levels are too many
        ("\\boxed{\\{1,2\\}}", "\\{1,2\\}"),
        ("\\boxed{[0,1\\}}", "[0,1\\"),  # an escaped brace closes first of all
        ("\\boxed{\\{1,2}", "\\{1,2"),  # and is a character where the box would not close
        ("\\boxed }", None),
        ("\\boxed}", None),
        ("", None),
    ],
)
def test_the_box_of_torl(response: str, box: str | None) -> None:
    assert torl_box(response) == box


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("so \\boxed{18}", "18"),
        ("\\boxed{17} \\boxed{18}.", "18"),
        ("boxed{18}", "18"),  # the backslash is not looked for
        ("\\boxed 18$ x", "18"),
        ("\\boxed{18", "18"),
        ("\\boxed", ""),
        ("The answer is 18.", "18"),
        ("the final answer is: 18/", "18"),
        ("final answer is $18$. I hope \\boxed{17}", "18"),
        ("答案是 18\n\n9", "18"),
        ("3 and -1,018.5 it is", "-1018.5"),
        ("\\boxed{1\n 8}", "18"),
        ("\\boxed{18}<|im_end|>\\boxed{17}", "18"),
        ("nothing", ""),
    ],
)
def test_the_answer_of_simple_tir(response: str, answer: str) -> None:
    assert simple_tir_answer(response) == answer
    assert simple_tir_reward(response, "18") == float(answer == "18")
    assert simple_tir_answer("\\boxed{a{b}c}") == "a{b}c"


def test_the_paper_of_simple_tir_reads_boxes_alone() -> None:
    assert simple_tir_reward("\\boxed{18}", "18", variant="paper") == 1
    assert simple_tir_reward("The answer is 18.", "18", variant="paper") == 0


@pytest.mark.parametrize(
    ("turn", "void"),
    [
        ("```python\nprint(1)\n```", False),
        ("```py\nprint(1)\n``` more", False),
        ("```\nx\n```", False),
        ("```python\n\n```", False),
        ("```python\n```", True),  # no line between
        ("```python\nprint(1)", True),  # cut off
        ("```python print(1)\n```", True),
        ("```js\nx\n```", True),
        ("```js\nx\n```\ny\n```", False),  # the first closing fence opens a block
        ("so \\boxed{1}", False),
        ("\\boxed 1", True),
        ("hm", True),
        ("", True),
    ],
)
def test_void_turns(turn: str, void: bool) -> None:
    assert is_void_turn(turn) is void
    assert has_void_turn(["\\boxed{1}", turn]) is void
    assert not has_void_turn([])


# DAPO -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "answer", "box", "either"),
    [
        ("so Answer: 18", 1, -1, 1),
        ("ANSWER :\n $18$.", 1, -1, 1),
        ("Answer: 17\nAnswer: 18", 1, -1, 1),  # the last
        ("Answer: 17 \\boxed{18}", -1, 1, -1),
        ("\\boxed{18}", -1, 1, 1),
        ("\\boxed{18.0}", -1, -1, -1),
        ("Answer: x = 18 degrees", 1, -1, 1),
        ("Answer: 18" + " " * 290, 1, -1, 1),
        ("Answer: 18" + " " * 291, -1, -1, -1),  # the last 300 characters no longer hold it
        ("\\boxed{18}" + " " * 91, -1, -1, -1),  # nor the last 100 this
        ("18", -1, -1, -1),
    ],
)
def test_dapo(response: str, answer: float, box: float, either: float) -> None:
    assert dapo_reward(response, ["3", "18"], rules="answer") == answer
    assert dapo_reward(response, "18", rules="box") == box
    assert dapo_reward(response, "18") == dapo_reward(response, ["3", "18"], rules="answer_or_box") == either


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("y = x = 5", "5"),
        ("an apple", "apple"),
        ("1,234", "1234"),
        ("1,234.5", "1,234.5"),
        ("it is $5$ or $6$", "5"),
        ("\\frac12", "\\frac{1}{2}"),
        ("\\frac{1}{2}", "\\frac{1}{2}"),
        ("\\sqrt3x", "\\sqrt{3}x"),
        ("5\\text{ cm}", "5"),
        ("\\text{Monday}", "Monday"),
        ("\\boxed{5}", "5"),
        ("90^\\circ", "90"),
        ("5 square feet", "5"),
        ("\\mbox{a}, \\text{and} b", "a,b"),
        ("", ""),
    ],
)
def test_the_normalisation_of_minerva(answer: str, normal: str) -> None:
    assert normalize_minerva(answer) == normal


# GSM8K ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "original", "verl"),
    [
        ("so\n#### 1,234", 1, 1),
        ("#### 1234.0", 0.1, 0.1),  # letter by letter
        ("####1234", 0, 0),
        ("#### $1234", 0, 0),
        ("#### 1234\n#### 5", 1, 0.1),  # the first, and the last
        ("#### 5\n#### 1234", 0.1, 1),
        ("#### 1234" + "x" * 291, 1, 1),
        ("#### 1234" + "x" * 292, 1, 0),  # within the last 300 characters
        ("1234", 0, 0),
        ("#### -", 0, 0),
    ],
)
def test_gsm8k(response: str, original: float, verl: float) -> None:
    assert gsm8k_reward(response, "1234", format_score=0.1) == original
    assert gsm8k_reward(response, "a\n#### 1,234", variant="verl", format_score=0.1) == verl


@pytest.mark.parametrize(
    ("response", "reward"),
    [("5 and 1234", 1), ("1234 or 5", 0.1), ("1234 .", 1), ("1,234", 0.1), ("none", 0), (".", 0.1), ("1234.", 0.1)],
)
def test_gsm8k_flexibly(response: str, reward: float) -> None:
    assert gsm8k_reward(response, "1234", method="flexible", format_score=0.1) == reward


def test_the_answer_of_a_gsm8k_solution() -> None:
    assert gsm8k_answer("a #### 1,000\n#### 2") == "1000" and gsm8k_answer("a #### 1\n#### 2", last=True) == "2"
    assert gsm8k_answer("none") is None


def test_unknown_variants() -> None:
    with pytest.raises(InputError, match="variant must be 'paper' or 'verl'"):
        retool_reward("", "x", variant="blog")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="variant must be 'default' or 'wformat'"):
        torl_reward("", "x", variant="blog")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="variant must be 'paper' or 'code'"):
        simple_tir_reward("", "x", variant="blog")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="method must be"):
        gsm8k_reward("", "x", method="lazy")  # type: ignore[arg-type]
