"""The reward of SWE-RL, derived by hand."""

from __future__ import annotations

import difflib
import time

import pytest

from toolgym.envs.rewards import swe_rl_reward

CODE = {"a.py": "x = 1\ny = 2\nz = 3", "b.py": "b"}
NEW = {"a.py": "x = 1\ny = 5\nz = 3"}


def output(*edits: tuple[str, str, str], thought: str = "hm") -> str:
    blocks = (
        f"```python\n### {path}\n<<<<<<< SEARCH\n{search}\n=======\n{replacement}\n>>>>>>> REPLACE\n```\n"
        for path, search, replacement in edits
    )
    return f"<think>{thought}</think>\n<solution>\n{''.join(blocks)}</solution>"


RIGHT = output(("a.py", "y = 2", "y = 5"))


def test_the_right_change() -> None:
    assert swe_rl_reward(RIGHT, CODE, NEW) == 1
    assert swe_rl_reward(output(("a.py", "x = 1\ny = 2", "x = 1\ny = 5")), CODE, NEW) == 1
    assert swe_rl_reward(output(("a.py", "y = 2", "y = 4"), ("a.py", "y = 4", "y = 5")), CODE, NEW) == 1


def test_another_change_is_as_good_as_it_is_similar() -> None:
    # The two diffs differ in one character of many.
    true = "@@ -1,3 +1,3 @@\n x = 1\n-y = 2\n+y = 5\n z = 3"
    given = true.replace("+y = 5", "+y = 6")
    ratio = difflib.SequenceMatcher(None, given, true, autojunk=False).ratio()
    assert swe_rl_reward(output(("a.py", "y = 2", "y = 6")), CODE, NEW) == pytest.approx(ratio)
    assert 0.9 < ratio < 1


def test_files_of_one_side_alone_count_nothing() -> None:
    assert swe_rl_reward(output(("a.py", "y = 2", "y = 5"), ("b.py", "b", "c")), CODE, NEW) == 0.5
    assert swe_rl_reward(output(("b.py", "b", "c")), CODE, NEW) == 0
    assert swe_rl_reward(RIGHT, CODE, {"a.py": CODE["a.py"]}) == 0
    # A change and its undoing leave nothing on either side.
    undone = output(("a.py", "y = 2", "y = 5"), ("a.py", "y = 5", "y = 2"))
    assert swe_rl_reward(undone, CODE, {"a.py": CODE["a.py"]}) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        RIGHT.replace("<think>", ""),
        RIGHT + "</solution>",
        output(("a.py", "y = 2", "y = 5"), thought=" \n"),
        "<think>hm</think><solution>y = 5</solution>",
        output(("a.py", "y = 2", "y = 2")),
        output(("a.py", "y = 7", "y = 5")),
        output(("a.py", " = 2", " = 5")),  # not at the start of a line
        output(("c.py", "y = 2", "y = 5")),
        RIGHT.replace("```python\n", ""),
        RIGHT.replace("### a.py", "# a.py"),
        RIGHT.replace("\n=======", "\n======"),
        RIGHT.replace("\n```\n<", "\n<"),
    ],
)
def test_the_wrong_form(wrong: str) -> None:
    assert swe_rl_reward(wrong, CODE, NEW) == -1


def test_a_new_file_is_a_change_of_an_empty_one() -> None:
    # An empty search matches the line break that stands before every file.
    assert swe_rl_reward(output(("c.py", "", "new")), CODE, {"c.py": "new"}) == 1


def test_edits_cannot_explode() -> None:
    doubling = output(*[("a.py", "", f"x{i}\n") for i in range(40)])
    started = time.thread_time()
    assert swe_rl_reward(doubling, CODE, NEW) == -1
    assert 0 < swe_rl_reward(output(("a.py", "y = 2", "y = " + "5\n" * 20_000)), CODE, NEW) < 0.01
    long = {"a.py": "\n".join(map(str, range(3000)))}
    assert swe_rl_reward(output(("a.py", "y = 2", "y = " + "5\n" * 20_000)), CODE, long) == 0  # not compared
    assert swe_rl_reward("<think>hm</think><solution>" + "```" * 100_000 + "</solution>", CODE, NEW) == -1
    assert time.thread_time() - started < 3.0
