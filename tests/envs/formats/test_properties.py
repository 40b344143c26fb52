"""What holds for every text: reading never fails, loses nothing, takes linear time; writing reads back exactly."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from toolgym.envs.episode import Action, FormatFault, ParsedAction
from toolgym.envs.formats import FORMATS, action_format
from toolgym.envs.formats.tags import last_boxed
from toolgym.tools.base import ToolCall
from toolgym.tools.errors import InputError

NAMES = sorted(FORMATS)
CALLING = {
    "research": ("search", "query"),
    "search_r1": ("search", "query"),
    "react": ("lookup", "keyword"),
    "code": ("python", "code"),
    "hermes": ("anything", "text"),
}
PIECES = st.sampled_from(
    "<think> </think> <search> </search> <answer> </answer> <information> </information> <result> </result> "
    "<tool_call> </tool_call> <tool_response> </tool_response> <code> </code> <interpreter> </interpreter> ``` "
    '```python Action 1: Observation 1: Thought 2: Search[x] Finish[ ] [ \\boxed{ } { {"name":"a"} \x00 \ud800'.split(
        " "
    )
)
TEXTS = st.lists(PIECES | st.sampled_from(["\n", " ", "a", "$"]) | st.text(max_size=5), max_size=25).map("".join)
SAFE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


def read(name: str, text: str, finish_reason: Any = "stop") -> ParsedAction:
    return action_format(name).parse(Action(text, finish_reason))


@pytest.mark.parametrize("name", NAMES)
@given(text=TEXTS, finish_reason=st.sampled_from(["stop", "eos", "length"]))
@settings(max_examples=400, deadline=None)
def test_reading_any_text(name: str, text: str, finish_reason: str) -> None:
    parsed = read(name, text, finish_reason)
    assert parsed.text + parsed.surplus == text
    assert not (parsed.calls and parsed.answer is not None)
    assert (FormatFault.NO_ACTION in parsed.faults) == (not parsed.calls and parsed.answer is None)
    assert (FormatFault.BAD_CALL in parsed.faults) == any(call.error is not None for call in parsed.calls)
    assert (FormatFault.FORGED_OBSERVATION in parsed.faults) == action_format(name).forged(text)
    assert len(set(parsed.faults)) == len(parsed.faults)
    assert (FormatFault.TEXT_AFTER_ACTION in parsed.faults) <= bool(parsed.surplus.strip())


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"hermes"}))
@given(text=TEXTS)
@settings(max_examples=200, deadline=None)
def test_what_was_cut_changes_nothing(name: str, text: str) -> None:
    """The part that counts, read alone, is read the same: an engine that stops there sees the same action."""
    parsed = read(name, text)
    alone = read(name, parsed.text)
    assert (alone.text, alone.calls, alone.answer) == (parsed.text, parsed.calls, parsed.answer)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "piece",
    [
        "<search>",
        "</search>",
        "<answer>",
        "<think>",
        "</think>",
        "<tool_call>",
        "<code>",
        "<code>```python\n",
        "<result>",
        "<information>",
        "\\boxed{",
        "\\boxed ",
        "\\fbox{",
        "{",
        "[",
        "\nAction 1: Search[",
        "\nAction 1:",
        "\nObservation 1:",
        "Action" + " " * 50,
        "\n",
        " ",
        "`",
        "</answer>",
        "<think></think>",
        "<tool_call>{}</tool_call>",
        "Search[",
        "a",
    ],
)
def test_long_texts_take_no_time(name: str, piece: str) -> None:
    text = piece * (400_000 // len(piece))
    started = time.thread_time()
    read(name, text)
    read(name, f"<answer>{text}")
    read(name, f"Action 1: Finish[{text}")
    action_format(name).forged(f"\nObservation {text}")
    assert time.thread_time() - started < 2.0


@pytest.mark.parametrize("name", sorted(CALLING))
@given(argument=SAFE, thought=SAFE, turn=st.integers(1, 99))
@example(argument="a < b and </tool_call>", thought="t", turn=1)
@example(argument="print('```')\n\n", thought="t", turn=1)
@example(argument="\\boxed{</search>}", thought="t", turn=1)
@example(argument="a]b[c", thought="t", turn=12)
@settings(max_examples=300, deadline=None)
def test_a_written_call_reads_back(name: str, argument: str, thought: str, turn: int) -> None:
    assume(argument.strip())
    function, parameter = CALLING[name]
    call = ToolCall(function, {parameter: argument})
    try:
        text = action_format(name).write_call(thought, call, turn)
    except InputError:
        assert _hard(name, argument) or _hard(name, thought)
        return
    parsed = read(name, text)
    assert not parsed.faults and parsed.answer is None
    assert parsed.calls[0].name == function and set(parsed.calls[0].arguments) == {parameter}
    read_back = parsed.calls[0].arguments[parameter]
    assert read_back == argument if name in ("code", "hermes") else read_back == argument.strip()


@pytest.mark.parametrize("name", NAMES)
@given(answer=SAFE, thought=SAFE, turn=st.integers(1, 99))
@example(answer="\\frac{1}{2}", thought="t", turn=1)
@example(answer="(1) Zoey is a knight\n(2) Oliver is a knave", thought="t", turn=1)
@settings(max_examples=300, deadline=None)
def test_a_written_answer_reads_back(name: str, answer: str, thought: str, turn: int) -> None:
    try:
        text = action_format(name).write_answer(thought, answer, turn)
    except InputError:
        assert _hard(name, answer) or _hard(name, thought)
        return
    parsed = read(name, text)
    assert not parsed.faults and not parsed.calls and parsed.answer == answer.strip()


def _hard(name: str, text: str) -> bool:
    """Whether a text may be more than a format can express: tags, braces, boxes, and lines in ReAct."""
    return "<" in text or "{" in text or "}" in text or "\\" in text or (name == "react" and "\n" in text)


def test_hermes_expresses_any_arguments() -> None:
    call = ToolCall("f", {"code": "<think></tool_call><tool_response>", "deep": {"n": [1, None, True, "é\x00\n"]}})
    assert read("hermes", action_format("hermes").write_call("t", call, 1)).calls == (call,)


def test_the_number_of_a_react_action_is_its_turn() -> None:
    text = action_format("react").write_call("t", ToolCall("search", {"entity": "Ulm"}), 7)
    assert text == " t\nAction 7: Search[Ulm]"
    assert read("react", text).calls[0].id == "7"


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"hermes"}))
def test_calls_that_a_format_has_no_words_for(name: str) -> None:
    made = action_format(name)
    if name != "react":  # whose actions may have any name
        with pytest.raises(InputError, match="cannot express"):
            made.write_call("t", ToolCall("fly", {"to": "the moon"}), 1)
    with pytest.raises(InputError, match="cannot express"):
        made.write_call("t", ToolCall("search", {"query": "x", "entity": "x", "k": 3}), 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_thought_cannot_smuggle_in_an_observation(name: str) -> None:
    made = action_format(name)
    marks = made.observation_marks or ("</think>",)
    with pytest.raises(InputError, match="cannot express"):
        made.write_answer(f"{marks[0]} 1: seen {marks[-1]} </think> <answer>z</answer>", "a", 1)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("\\boxed{a}", "a"),
        ("\\boxed{a} \\boxed{ b }", "b"),
        ("\\boxed{\\frac{1}{2}}}", "\\frac{1}{2}"),
        ("\\boxed {a}", "a"),
        ("$\\boxed 4$ x", "4"),
        ("\\fbox{a}", "a"),
        ("\\boxed{a} \\fbox{b}", "a"),
        ("\\boxed{}", ""),
        ("\\boxed{a", None),
        ("\\boxed", None),
        ("\\boxed ", None),
        ("\\boxedx", None),
        ("no box", None),
    ],
)
def test_last_boxed(text: str, content: str | None) -> None:
    assert last_boxed(text) == content
