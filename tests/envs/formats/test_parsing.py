"""What each format reads in an action: text, surplus, calls, answer and faults, written out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from toolgym.envs.episode import Action, FormatFault
from toolgym.envs.formats import action_format

Expected = tuple[str, str, list[tuple[str, dict[str, Any]]], str | None, set[str]]
BAD = "(bad)"


def read(name: str, text: str, finish_reason: Any = "stop") -> Expected:
    parsed = action_format(name).parse(Action(text, finish_reason))
    assert parsed.text + parsed.surplus == text
    calls = [(call.name if call.error is None else BAD, dict(call.arguments)) for call in parsed.calls]
    return parsed.text, parsed.surplus, calls, parsed.answer, {fault.value for fault in parsed.faults}


def search(query: str) -> list[tuple[str, dict[str, Any]]]:
    return [("search", {"query": query})]


BOXED = "<answer> The final answer is \\[ \\boxed{Alan Turing} \\] </answer>"

RESEARCH: list[Expected] = [
    ("<think> a </think> <search> x y </search>", "", search("x y"), None, set()),
    ("<think> a <search>x</search>", "", search("x"), None, set()),
    (f"<think> a </think> {BOXED}", "", [], "Alan Turing", set()),
    ("<answer> Alan </answer>", "", [], "Alan", set()),
    ("<answer>\\boxed{1} or \\boxed{\\frac{1}{2}}</answer>", "", [], "\\frac{1}{2}", set()),
    ("<answer></answer>", "", [], "", set()),
    (BOXED, " \n<|endoftext|>", [], "Alan Turing", set()),
    (BOXED, " And more", [], "Alan Turing", {"text_after_action"}),
    (BOXED, "<answer>b</answer>", [], "Alan Turing", {"text_after_action"}),
    ("<search>a</search>", "<search>b</search>", search("a"), None, {"text_after_action"}),
    ("<search>a</search>", " <answer>b</answer>", search("a"), None, {"text_after_action"}),
    # The engine stops at </search>, wherever it stands.
    ("<answer><search>q</search>", "</answer>", search("q"), None, {"text_after_action"}),
    ("<search><answer>a</answer></search>", "", search("<answer>a</answer>"), None, set()),
    # A tag that a thought mentions is not the block.
    ("I use <search> tags. <search> q </search>", "", search("q"), None, set()),
    ("I may <search> later. <answer>a</answer>", "", [], "a", set()),
    ("nothing", "", [], None, {"no_action"}),
    ("", "", [], None, {"no_action"}),
    ("<search> q", "", [], None, {"no_action", "unclosed"}),
    ("<answer> q", "", [], None, {"no_action", "unclosed"}),
    ("<search>  </search>", "", [(BAD, {})], None, {"bad_call"}),
    ("q </search>", "", [(BAD, {})], None, {"bad_call"}),
    # What stands in a forged observation is no answer and no call.
    ("<result> <answer>x</answer> </result>", "", [], None, {"no_action", "forged_observation"}),
    ("<result> <answer>x</answer>", "", [], None, {"no_action", "unclosed", "forged_observation"}),
    ("<result> </search>", "", [], None, {"no_action", "unclosed", "forged_observation"}),
    ("<result>r</result><answer>x</answer>", "", [], "x", {"forged_observation"}),
    ("<search>a</search>", " <result>r</result>", search("a"), None, {"forged_observation", "text_after_action"}),
]


@pytest.mark.parametrize(("text", "surplus", "calls", "answer", "faults"), RESEARCH)
def test_research(text: str, surplus: str, calls: Any, answer: str | None, faults: set[str]) -> None:
    assert read("research", text + surplus) == (text, surplus, calls, answer, faults)


SEARCH_R1: list[Expected] = [
    ("a </answer>", "<search>q</search>", [], None, {"no_action", "misplaced", "text_after_action"}),
    ("<think>a</think>\n<search> x </search>", "", search("x"), None, set()),
    ("<answer> Beijing </answer>", "", [], "Beijing", set()),
    ("<answer> \\boxed{1} </answer>", "", [], "\\boxed{1}", set()),
    ("<answer>a</answer>", "<search>b</search>", [], "a", {"text_after_action"}),
    ("<answer>a</answer>", "\n", [], "a", set()),
    ("thought", "", [], None, {"no_action"}),
    ("a </answer>", " b", [], None, {"no_action", "misplaced", "text_after_action"}),
    (
        "<information>Doc 1 <answer>x</answer>",
        "</information>",
        [],
        None,
        {"no_action", "unclosed", "forged_observation", "text_after_action"},
    ),
    ("<information>Doc 1</information> <answer>x</answer>", "", [], "x", {"forged_observation"}),
]


@pytest.mark.parametrize(("text", "surplus", "calls", "answer", "faults"), SEARCH_R1)
def test_search_r1(text: str, surplus: str, calls: Any, answer: str | None, faults: set[str]) -> None:
    assert read("search_r1", text + surplus) == (text, surplus, calls, answer, faults)


def python(code: str) -> list[tuple[str, dict[str, Any]]]:
    return [("python", {"code": code})]


CODE: list[Expected] = [
    ("t\n<code>\n```python\nprint(1)\n```\n</code>", "", python("print(1)"), None, set()),
    ("<code>```py\na\n\nb```</code>", "", python("a\n\nb"), None, set()),
    ("<code>```python print(1)```</code>", "", python("print(1)"), None, set()),
    ("<code>```\n  indented\n```</code>", "", python("  indented"), None, set()),
    ("<code>print(1)</code>", "", python("print(1)"), None, set()),
    ("<code>```python\nprint(1)\n</code>", "", python("print(1)"), None, {"unclosed"}),
    ("<code>```</code>", "", [(BAD, {})], None, {"bad_call"}),
    ("<code>```python\n```</code>", "", [(BAD, {})], None, {"bad_call"}),
    ("<code> </code>", "", [(BAD, {})], None, {"bad_call"}),
    ("<answer>\n\\boxed{4}\n</answer>", "", [], "4", set()),
    ("<answer>4</answer>", "", [], "4", set()),
    ("\\boxed{4}", "", [], None, {"no_action"}),
    ("```python\nprint(1)\n```", "", [], None, {"no_action"}),
    (
        "<code>a</code>",
        "\n<interpreter>4</interpreter>",
        python("a"),
        None,
        {"forged_observation", "text_after_action"},
    ),
]


@pytest.mark.parametrize(("text", "surplus", "calls", "answer", "faults"), CODE)
def test_code(text: str, surplus: str, calls: Any, answer: str | None, faults: set[str]) -> None:
    assert read("code", text + surplus) == (text, surplus, calls, answer, faults)


ONE = '<tool_call>\n{"name": "search", "arguments": {"query": "x"}}\n</tool_call>'
TWO = '<tool_call>{"name": "open", "arguments": {}}</tool_call>'

HERMES: list[Expected] = [
    (f"<think>a</think>{ONE}", "", search("x"), None, set()),
    (f"I search. {ONE}\n{TWO}", "\n", [*search("x"), ("open", {})], None, set()),
    (ONE, f" then {TWO}", search("x"), None, {"text_after_action"}),
    (ONE, f"<think>b</think>{TWO}", search("x"), None, {"text_after_action"}),
    (ONE, " \\boxed{4}", search("x"), None, {"text_after_action"}),
    (ONE, "<tool_call>{", search("x"), None, {"unclosed", "text_after_action"}),
    ('<tool_call>{"name": "open"}</tool_call>', "", [("open", {})], None, set()),
    ('<tool_call>{"name": "python", "arguments": {"code": "a\nb"}}</tool_call>', "", python("a\nb"), None, set()),
    (
        '<tool_call>{"name": "search", "arguments": {"query": "what is <think>"}}</tool_call>',
        "",
        search("what is <think>"),
        None,
        set(),
    ),
    # Calls that cannot be read.
    ("<tool_call>search(x)</tool_call>", "", [(BAD, {})], None, {"bad_call"}),
    ("<tool_call>[]</tool_call>", "", [(BAD, {})], None, {"bad_call"}),
    ('<tool_call>{"arguments": {}}</tool_call>', "", [(BAD, {})], None, {"bad_call"}),
    ('<tool_call>{"name": 3}</tool_call>', "", [(BAD, {})], None, {"bad_call"}),
    ('<tool_call>{"name": "a", "arguments": "x"}</tool_call>', "", [(BAD, {})], None, {"bad_call"}),
    ('<tool_call>{"name": "a", "arguments": {"x": NaN}}</tool_call>', "", [(BAD, {})], None, {"bad_call"}),
    (f"<tool_call>{'[' * 100_000}</tool_call>", "", [(BAD, {})], None, {"bad_call"}),
    # Nothing inside a thought or a forged response counts.
    (f"<think>{ONE}</think> done", "", [], "done", set()),
    (f"{ONE}</think> done", "", [], "done", set()),
    (f"<think>{ONE}", "", [], None, {"no_action", "unclosed"}),
    ("<think>\\boxed{1}</think>", "", [], None, {"no_action"}),
    ("<think>\\boxed{1}</think> It is two.", "", [], "It is two.", set()),
    (f"<tool_response>{ONE}</tool_response>", "", [], None, {"no_action", "forged_observation"}),
    ("<tool_response>\\boxed{1}</tool_response>", "", [], None, {"no_action", "forged_observation"}),
    # Answers: the last box, else the last block, else the text.
    ("<think>a</think> So \\boxed{1}, no, \\boxed{2}.", "", [], "2", set()),
    ("It is <answer>\\boxed{7}</answer>", "", [], "7", set()),
    ("It is <answer> Ulm </answer>.", "", [], "Ulm", set()),
    (" Ulm <|im_end|>", "", [], "Ulm", set()),
    ("a <think>x</think> b", "", [], "a  b", set()),
    ("", "", [], None, {"no_action"}),
    ("<answer> Ulm", "", [], None, {"no_action", "unclosed"}),
    ('<tool_call>{"name": "open"}', "", [], None, {"no_action", "unclosed"}),
]


@pytest.mark.parametrize(("text", "surplus", "calls", "answer", "faults"), HERMES)
def test_hermes(text: str, surplus: str, calls: Any, answer: str | None, faults: set[str]) -> None:
    assert read("hermes", text + surplus) == (text, surplus, calls, answer, faults)


def test_hermes_text_that_a_token_limit_cut_is_no_answer() -> None:
    assert read("hermes", "Let me see", "length")[3] is None
    assert read("hermes", "\\boxed{1} and", "length")[3] == "1"
    assert read("hermes", "Let me see", "eos")[3] == "Let me see"


def react(name: str, key: str, value: str) -> list[tuple[str, dict[str, Any]]]:
    return [(name, {key: value})]


REACT: list[Expected] = [
    (" t\nAction 1: Search[Ulm]", "", react("search", "entity", "Ulm"), None, set()),
    (" t\nAction 2: lookup[the river]", "\n", react("lookup", "keyword", "the river"), None, set()),
    (" t\nAction 3: Finish[ yes ]", "", [], "yes", set()),
    (" t\nAction 3: Finish[]", "", [], "", set()),
    (" t\nAction 1: Search[Ulm]", "\nObservation", react("search", "entity", "Ulm"), None, set()),
    (" t\nAction 1: Search[Ulm]", "\nObservation 1:", react("search", "entity", "Ulm"), None, set()),
    (" t\nAction 1: Search[Ulm]", "\nObservation 1:  \n", react("search", "entity", "Ulm"), None, set()),
    (
        " t\nAction 1: Search[Ulm]",
        "\nObservation 1: Ulm is",
        react("search", "entity", "Ulm"),
        None,
        {"forged_observation", "text_after_action"},
    ),
    (
        " t\nAction 1: Search[Ulm]",
        "\nObservation 1: a\nThought 2: b\nAction 2: Finish[c]",
        react("search", "entity", "Ulm"),
        None,
        {"forged_observation", "text_after_action"},
    ),
    (
        " t",
        "\nObservation 1: a\nAction 1: Finish[c]",
        [],
        None,
        {"no_action", "forged_observation", "text_after_action"},
    ),
    ("Observation 1: a\nAction 1: Finish[c]", "", [], "c", {"forged_observation"}),
    (" t\nAction 1: Search[Ulm]", "\nThought 2: more", react("search", "entity", "Ulm"), None, {"text_after_action"}),
    (" t\nAction 1: Search[Ulm]", " or so", react("search", "entity", "Ulm"), None, {"text_after_action"}),
    (" t\nAction 1: Search[Ulm [city]]", "", react("search", "entity", "Ulm [city]"), None, set()),
    (" t\nAction 1: Search[Ulm", "", [(BAD, {})], None, {"bad_call"}),
    (" t\nAction 1: Search Ulm", "", [(BAD, {})], None, {"bad_call"}),
    (" t\nAction 1: Search[ ]", "", [(BAD, {})], None, {"bad_call"}),
    (" t\nAction 1: Think[hm]", "", [(BAD, {})], None, {"bad_call"}),
    ("Action: Search[Ulm]", "", react("search", "entity", "Ulm"), None, set()),
    (" I could write Action 1: Search[Ulm]", "", [], None, {"no_action"}),
    (" t", "", [], None, {"no_action"}),
]


@pytest.mark.parametrize(("text", "surplus", "calls", "answer", "faults"), REACT)
def test_react(text: str, surplus: str, calls: Any, answer: str | None, faults: set[str]) -> None:
    assert read("react", text + surplus) == (text, surplus, calls, answer, faults)


THINK: list[tuple[str, str, str | None, set[str]]] = [
    (" t </think>\n<answer> (1) Zoey is a knight </answer>", "", "(1) Zoey is a knight", set()),
    (" t </think><answer>a</answer>", " \n", "a", set()),
    (" t </think><answer>a</answer>", "<answer>b</answer>", "a", {"text_after_action"}),
    (" <answer>b</answer> </think> <answer>a</answer>", "", "a", set()),
    (" <answer>b</answer> </think> no", "", None, {"no_action"}),
    (" t <answer>a</answer>", "", "a", {"misplaced"}),
    (" t </think> a", "", None, {"no_action"}),
    (" t </think> <answer> a", "", None, {"no_action", "unclosed"}),
    (" t", "", None, {"no_action", "unclosed"}),
]


@pytest.mark.parametrize(("text", "surplus", "answer", "faults"), THINK)
def test_think_answer(text: str, surplus: str, answer: str | None, faults: set[str]) -> None:
    assert read("think_answer", text + surplus) == (text, surplus, [], answer, faults)


def test_a_bad_call_says_why() -> None:
    def error(name: str, text: str) -> str | None:
        return action_format(name).parse(Action(text)).calls[0].error

    assert error("research", "<search></search>") == "invalid query: it is empty"
    assert error("search_r1", "x</search>") == "invalid query: <search> is missing"
    assert error("code", "<code></code>") == "invalid code: it is empty"
    assert "not valid JSON" in str(error("hermes", "<tool_call>x</tool_call>"))
    assert str(error("react", "Action 1: Jump[x]")).startswith("Invalid action: Jump[x]. Use Search[entity]")


def test_faults_are_members_of_the_closed_list() -> None:
    parsed = action_format("research").parse(Action("<search>"))
    assert parsed.faults == (FormatFault.NO_ACTION, FormatFault.UNCLOSED)
