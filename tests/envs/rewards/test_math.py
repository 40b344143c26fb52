"""Equality of mathematical answers."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolgym.envs.rewards import math_equal
from toolgym.envs.rewards.verifier import vanishes
from toolgym.tools.errors import InputError


@pytest.mark.parametrize(
    ("prediction", "answer"),
    [
        ("18", "18"),
        ("1,234", "1234"),
        ("$18.00", "18"),
        ("\\$1,000", "1000"),
        ("18.", "18"),
        ("+.5", "0.50"),
        ("007", "7"),
        ("50\\%", "50"),
        ("$72$", "72"),
        ("-3", " -3.0 "),
    ],
)
def test_numbers_need_no_library(prediction: str, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "math_verify", None)
    assert math_equal(prediction, answer)
    assert math_equal(answer, prediction)


@pytest.mark.parametrize(("prediction", "answer"), [("18", "19"), ("", "18"), ("1.8", "18"), ("-3", "3")])
def test_different_numbers(prediction: str, answer: str) -> None:
    assert not math_equal(prediction, answer)


@pytest.mark.parametrize(
    ("prediction", "answer", "equal"),
    [
        ("\\frac{1}{2}", "0.5", True),
        ("1/2", "\\frac12", True),
        ("2\\sqrt{2}", "\\sqrt{8}", True),
        ("(x+1)^2", "x^2+2x+1", True),
        ("(1,2)", "(1, 2)", True),
        ("2,1", "\\{1,2\\}", True),
        ("\\frac{1}{3}", "0.5", False),
        ("(2,1)", "(1,2)", False),
        ("2 or 18", "18", False),
        ("12,34", "1234", False),
        ("6 9", "69", False),
        ("4%41", "441", False),
        ("x^2\\%", "x^2", False),
        ("25, \\!972", "25,\\!972", True),
        ("y^3x^2", "x^2y^3", True),
        ("2^3\\cdot 5^2", "200", True),
        ("e^{x^{2}}", "\\exp(x^2)", True),
        ("2^{10}", "1024", True),
        ("10^{-3}", "0.001", True),
        ("\\binom{5}{2}", "10", True),
        ("10!", "3628800", True),
        ("\\sum_{i=1}^{10} i", "55", True),
        ("x^{2024}+1", "1+x^{2024}", True),
        ("", "x", False),
        ("x", "y", False),
        ("\\text{Monday}", "\\text{Tuesday}", False),
        # math-verify takes a percentage for itself and for hundredths, and rounds decimals to six digits.
        ("50%", "0.5", True),
        ("0.105", "10.5\\%", True),
        ("50%", "5", False),
        ("3.14159265", "3.1415927", True),
        ("0.1234567", "0.1234578", False),
        ("1", "1.0000001", False),
    ],
)
def test_expressions(prediction: str, answer: str, equal: bool) -> None:
    pytest.importorskip("math_verify")
    assert math_equal(prediction, answer) is equal


def test_it_works_in_a_thread() -> None:
    pytest.importorskip("math_verify")
    results = []
    thread = threading.Thread(target=lambda: results.append(math_equal("\\frac{2}{4}", "\\frac{1}{2}")))
    thread.start()
    thread.join()
    assert results == [True]


@pytest.mark.parametrize(
    "bomb",
    [
        "9^{9^{9^{9}}}",
        "(x+y+z+w+v)^{999}",
        "9**9**9**9",
        "(((9^9)^9)^9)^9",
        "{" * 200,
        "\\frac{" * 40,
        "x" * 100_000,
        "1" * 5000,
        "\x00",
        "\ud800",
    ],
)
def test_bombs_cost_their_own_comparison_alone(bomb: str) -> None:
    pytest.importorskip("math_verify")
    assert not math_equal(bomb, "\\frac{1}{2}")
    assert math_equal(bomb, bomb)
    assert math_equal("\\frac{3}{4}", "0.75")


def test_many_threads_share_the_processes() -> None:
    pytest.importorskip("math_verify")
    pairs = [(f"\\frac{{{2 * n}}}{{4}}", f"\\frac{{{n + n % 2}}}{{2}}") for n in range(1, 17)]
    with ThreadPoolExecutor(8) as threads:
        verdicts = list(threads.map(lambda pair: math_equal(*pair), pairs))
    assert verdicts == [n % 2 == 0 for n in range(1, 17)]


@given(st.text(max_size=30), st.sampled_from(["18", "\\frac{1}{2}", "x^2"]))
@settings(max_examples=60, deadline=None)
def test_no_text_raises(prediction: str, answer: str) -> None:
    pytest.importorskip("math_verify")
    math_equal(prediction, answer)


def test_expressions_without_the_library_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(InputError, match=r"pip install 'toolgym\[math\]'"):
        math_equal("1/7", "\\frac{1}{7}")


def test_the_library_is_not_imported_into_this_process() -> None:
    code = "import sys, toolgym.envs.rewards as r; r.math_equal('1/3', '2/3'); print('math_verify' in sys.modules)"
    path = next(entry for entry in sys.path if entry.endswith("src"))
    run = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True)
    assert run.stdout == "False\n", run.stderr


@pytest.mark.parametrize(
    ("expression", "zero"),
    [
        ("(1/2)-(0.5)", True),
        ("(2x)-(x+x)", True),  # implicit products
        ("(x**2-1)-((x-1)(x+1))", True),
        ("(1/3)-(0.3333)", False),
        ("(x)-(y)", False),
        ("(9**9**9**9)-(1)", False),
        ("(999999999!)-(1)", False),
        ("(", False),
        ("", False),
        ("\ud800", False),
    ],
)
def test_differences_that_vanish(expression: str, zero: bool) -> None:
    pytest.importorskip("math_verify")
    assert vanishes(expression) is zero


@pytest.mark.parametrize(
    "text",
    [
        *("len('')", "eval('0')", "[0][0]", "(0).real", "(lambda: 0)()", "int(0)", "0 if 1 else 1"),
        *("ｉｎｔ(0)", "(0).ｒｅａｌ", "(0).__abs__()", "__debug__-1"),  # Python reads wide letters as plain ones
    ],
)
def test_what_is_more_than_a_formula_is_not_executed(text: str) -> None:
    pytest.importorskip("math_verify")
    assert not vanishes(text)  # Python would say 0 to each
