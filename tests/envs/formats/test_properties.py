"""What holds for every text: reading never fails, loses nothing, takes linear time; writing reads back exactly."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from toolgym.envs.episode import Action, FormatFault, ParsedAction
from toolgym.envs.formats import FORMATS, action_format
from toolgym.envs.formats.tags import last_boxed
from toolgym.tools.base import ToolCall, ToolResult, ToolStatus
from toolgym.tools.errors import InputError

NAMES = sorted(FORMATS)
CALLING = {
    "research": ("search", "query"),
    "search_r1": ("search", "query"),
    "zero_search": ("search", "query"),
    "r1_searcher": ("search", "query"),
    "react": ("lookup", "keyword"),
    "code": ("python", "code"),
    "torl": ("python", "code"),
    "simpletir": ("python", "code"),
    "hermes": ("anything", "text"),
    "recall": ("anything", "text"),
    "openai": ("anything", "text"),
}
EXACT = {"hermes", "recall", "openai", "react"}
"""Formats that keep the whitespace around an argument."""
PIECES = st.sampled_from(
    "<think> </think> <search> </search> <answer> </answer> <information> </information> <result> </result> "
    "<tool_call> </tool_call> <tool_response> </tool_response> <code> </code> <interpreter> </interpreter> ``` "
    "```python ```py ```output <|begin_of_query|> <|end_of_query|> <|begin_of_documents|> Thought 2: Search[x] Finish[ "
    '] [ Think[ \\boxed{ } { {"name":"a"} {"tool_calls":[{"function":{"name":"a"}}]} "role":"tool" \x00 \ud800'.split(
        " "
    )
) | st.sampled_from(["\nAction 1: ", "\nObservation 1:", "\nCode execution result:", "\n```\n"])
TEXTS = st.lists(PIECES | st.sampled_from(["\n", " ", "a", "$"]) | st.text(max_size=5), max_size=25).map("".join)
SAFE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
BEFORE = st.sampled_from(["", "Thought 1:", "\nThought 1: a\nAction 1:", "\nThought:", "\n```\n", "\x00"])


def read(name: str, text: str, finish_reason: Any = "stop") -> ParsedAction:
    return action_format(name).parse(Action(text, finish_reason))


@pytest.mark.parametrize("name", NAMES)
@given(text=TEXTS, finish_reason=st.sampled_from(["stop", "eos", "length"]), before=BEFORE)
@settings(max_examples=150, deadline=None)
def test_reading_any_text(name: str, text: str, finish_reason: Any, before: str) -> None:
    made, action = action_format(name), Action(text, finish_reason)
    parsed = made.parse_in_place(action, (), before)
    faults = set(parsed.faults)
    assert parsed.text + parsed.surplus == text
    assert not (parsed.calls and parsed.answer is not None)
    assert parsed.reply is None or not (parsed.calls or parsed.answer is not None)
    if parsed.calls or parsed.answer is not None:
        assert FormatFault.NO_ACTION not in faults
    elif not (name == "react" and parsed.reply is not None and "Nice thought." in parsed.reply):
        assert faults & {FormatFault.NO_ACTION, FormatFault.BAD_CALL}
    if any(call.error is not None for call in parsed.calls):
        assert FormatFault.BAD_CALL in faults
    assert (FormatFault.FORGED_OBSERVATION in faults) == made.forged(text)
    assert len(faults) == len(parsed.faults)
    assert (FormatFault.TEXT_AFTER_ACTION in faults) <= bool(text.strip())
    # What the environment says is valid text, whatever of the action it repeats.
    (parsed.reply or "").encode("utf-8")
    made.render(parsed.calls, [ToolResult(ToolStatus.OK, "found")] * len(parsed.calls)).encode("utf-8")
    final = made.parse_final(action)
    assert not final.calls and final.reply is None
    assert made.assistant_message(action, parsed)["role"] == "assistant"
    json.dumps(made.assistant_message(action, parsed), allow_nan=False)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"hermes", "openai"}))
@given(text=TEXTS)
@settings(max_examples=80, deadline=None)
def test_what_was_cut_changes_nothing(name: str, text: str) -> None:
    """The part that counts, with the stop string, is read the same: an engine that stops there sees the same action."""
    parsed = read(name, text)
    stop = next((mark for mark in FORMATS[name].stop if parsed.surplus.startswith(mark)), "")
    alone = read(name, parsed.text + stop)
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
        "```python\n",
        "```py\n",
        "x```\n",
        "\n```",
        "```output",
        "<|begin_of_query|>",
        "<|end_of_query|>",
        "<|begin_of_documents|>",
        '{"tool_calls":[',
        '"role"',
        '"role":',
        "\nCode execution result:",
        "\nThought 1:",
        "\\n",
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
    text = piece * (100_000 // len(piece))
    started = time.thread_time()
    read(name, text)
    read(name, f"<answer>{text}")
    read(name, f"\nAction 1: Finish[{text}")
    read(name, f'{{"tool_calls": [{text}]}}')
    made = action_format(name)
    made.parse_in_place(Action(text), (), text)
    made.parse_final(Action(text))
    made.forged(f"\nObservation {text}")
    made.assistant_message(Action(text), made.parse(Action(text)))
    for status in (ToolStatus.OK, ToolStatus.ERROR):
        made.render([ToolCall("f")], [ToolResult(status, text)])
    assert time.thread_time() - started < 1.5


@pytest.mark.parametrize("name", sorted(CALLING))
@given(argument=SAFE, thought=SAFE, turn=st.integers(1, 99))
@example(argument="a < b and </tool_call>", thought="t", turn=1)
@example(argument="print('```')\n\n", thought="t", turn=1)
@example(argument="\\boxed{</search>}", thought="t", turn=1)
@example(argument="a]b[c", thought="t", turn=12)
@settings(max_examples=100, deadline=None)
def test_a_written_call_reads_back(name: str, argument: str, thought: str, turn: int) -> None:
    assume(argument.strip())
    assume(name != "r1_searcher" or argument.replace('"', "").strip())
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
    if name == "r1_searcher":  # whose system drops quotes and line breaks
        assert read_back == " ".join(argument.replace('"', "").split())
    else:
        assert (read_back if name in EXACT else read_back.strip()) == (argument if name in EXACT else argument.strip())


@pytest.mark.parametrize("name", NAMES)
@given(answer=SAFE, thought=SAFE, turn=st.integers(1, 99))
@example(answer="\\frac{1}{2}", thought="t", turn=1)
@example(answer="(1) Zoey is a knight\n(2) Oliver is a knave", thought="t", turn=1)
@settings(max_examples=100, deadline=None)
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
    return any(mark in text for mark in "<{}\\`") or (name == "react" and ("\n" in text or not text.strip()))


@pytest.mark.parametrize("name", ["hermes", "recall", "openai"])
def test_formats_of_json_express_any_arguments(name: str) -> None:
    call = ToolCall("f", {"code": "<think></tool_call><tool_response>", "deep": {"n": [1, None, True, "é\x00\n"]}})
    (back,) = read(name, action_format(name).write_call("t", call, 1)).calls
    assert replace(back, id="") == call


def test_the_number_of_a_react_action_is_its_turn() -> None:
    text = action_format("react").write_call("t", ToolCall("search", {"entity": "Ulm"}), 7)
    assert text == " t\nAction 7: Search[Ulm]"
    assert read("react", text).calls[0].id == "7"


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"hermes", "recall", "openai"}))
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
    marks = made.observation_marks or ("<answer>x</answer>",)
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
