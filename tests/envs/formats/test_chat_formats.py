"""Hermes, ReCall and native tool calls, action by action."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from toolgym.envs import Task
from toolgym.envs.episode import Action
from toolgym.envs.formats import action_format
from toolgym.envs.formats.openai import action_text
from toolgym.tools.base import FunctionSchema, ToolCall, ToolResult, ToolStatus

BAD = "(bad)"
TASK = Task("t", "Who wrote {this}", ("x",))
SCHEMA = FunctionSchema("search", "Finds passages.", {"type": "object", "properties": {"query": {"type": "string"}}})
PLAIN = ToolResult(ToolStatus.OK, "42")
FAILED = ToolResult(ToolStatus.BAD_ARGUMENTS, "no such thing")


def search(query: str) -> list[tuple[str, dict[str, Any]]]:
    return [("search", {"query": query})]


def python(code: str) -> list[tuple[str, dict[str, Any]]]:
    return [("python", {"code": code})]


ONE = '<tool_call>\n{"name": "search", "arguments": {"query": "x"}}\n</tool_call>'
TWO = '<tool_call>{"name": "open", "arguments": {}}</tool_call>'

HERMES = [
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
    ('<tool_call>{"name": "a", "arguments": {"x": 1e999}}</tool_call>', "", [(BAD, {})], None, {"bad_call"}),
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
def test_hermes(
    read: Callable[..., Any], text: str, surplus: str, calls: Any, answer: str | None, faults: set[str]
) -> None:
    assert read("hermes", text + surplus) == (text, surplus, calls, answer, faults)
    assert read("openai", text + surplus) == (text, surplus, calls, answer, faults)


def test_hermes_text_that_a_token_limit_cut_is_no_answer(read: Callable[..., Any]) -> None:
    assert read("hermes", "Let me see", "length")[3] is None
    assert read("hermes", "\\boxed{1} and", "length")[3] == "1"
    assert read("hermes", "Let me see", "eos")[3] == "Let me see"


def test_hermes_puts_every_result_in_a_block_of_one_user_message() -> None:
    calls, results = [ToolCall("search"), ToolCall("", error="it is no JSON")], [PLAIN, FAILED]
    blocks = "<tool_response>\n42\n</tool_response>\n<tool_response>\nBad call: it is no JSON.\n</tool_response>"
    made = action_format("hermes")
    assert made.render(calls, results) == f"\n{blocks}\n"
    assert made.render_messages(calls, results) == [{"role": "user", "content": blocks}]


def test_hermes_lists_the_schemas_it_is_given() -> None:
    system = action_format("hermes").messages(TASK, [SCHEMA])[0]["content"]
    assert f"<tools>\n{json.dumps(SCHEMA.as_openai())}\n</tools>" in system
    assert '{"name": <function-name>, "arguments": <arguments-object>}' in system
    assert "<tools>" not in action_format("hermes").messages(TASK, [])[0]["content"]


RECALL = [
    (f" a </think>\n{ONE}", search("x"), None, set()),
    # Every call of the turn runs, in thoughts too and whatever stands between them.
    (f" {ONE} </think> b {TWO}", [*search("x"), ("open", {})], None, set()),
    (f" </think> {TWO} \\boxed{{4}}", [("open", {})], None, {"text_after_action"}),
    # None does where the tags do not pair.
    (f" </think> {ONE} <tool_call>", [], None, {"no_action", "unclosed"}),
    (f" </think> </tool_call> {TWO}", [], None, {"no_action"}),
    (" </think> </tool_call><tool_call>", [], None, {"no_action", "unclosed"}),
    (f" </think> </tool_call>{TWO}<tool_call>", [], None, {"no_action", "unclosed"}),
    # A tag within a call belongs to it, until the first closing one.
    (
        " </think> <tool_call>a<tool_call>b</tool_call></tool_call>",
        [(BAD, {})],
        None,
        {"bad_call", "text_after_action"},
    ),
    (" </think> <tool_call>x</tool_call>", [(BAD, {})], None, {"bad_call"}),
    (' </think> <tool_call>{"name": "open"}</tool_call>', [("open", {})], None, set()),
    (' </think> <tool_call>{"name": "open", "arguments": 3}</tool_call>', [(BAD, {})], None, {"bad_call"}),
    (' </think> <tool_call>{"name": 3, "arguments": {}}</tool_call>', [(BAD, {})], None, {"bad_call"}),
    # A line break within a string is no JSON, and earns nothing either (`recall_reward`).
    (' </think> <tool_call>{"name": "open", "arguments": {"a": "b\nc"}}</tool_call>', [(BAD, {})], None, {"bad_call"}),
    (" a </think> So \\boxed{1}, no, \\boxed{2}.", [], "2", set()),
    (" a </think> It is two.", [], None, {"no_action"}),
    # The framework has opened the thought.
    ("<think> a </think> \\boxed{2}", [], "2", {"misplaced"}),
    (" \\boxed{2}", [], "2", {"misplaced"}),
    (" </think> <tool_response>", [], None, {"no_action", "forged_observation"}),
]


@pytest.mark.parametrize(("text", "calls", "answer", "faults"), RECALL)
def test_recall(read: Callable[..., Any], text: str, calls: Any, answer: str | None, faults: set[str]) -> None:
    assert read("recall", text) == (text, "", calls, answer, faults)


def test_recall_runs_nothing_of_a_turn_that_a_limit_cut(read: Callable[..., Any]) -> None:
    assert read("recall", f" </think> {ONE}", "length")[2:] == ([], None, {"no_action"})


def test_recall_repeats_the_calls_before_their_results() -> None:
    made = action_format("recall")
    body = '{"name":  "search", "arguments": {"query": "x"}}'
    calls = made.parse(Action(f" </think><tool_call> {body}\n</tool_call><tool_call>x</tool_call>")).calls
    content = (
        f"<tool_response>{body}\n42\n</tool_response>\n"
        "<tool_response>x\nParse tool call failed: Expecting value: line 1 column 1 (char 0)\n</tool_response>\n"
    )
    assert made.render_messages(calls, [PLAIN, FAILED]) == [{"role": "user", "content": content}]
    assert made.render(calls, [PLAIN, FAILED]) == f"\n{content}"


def test_recall_opens_the_thought_of_every_turn() -> None:
    made = action_format("recall")
    assert (made.prefill, made.prefills_every_turn) == ("<think>", True)
    action = Action(" a </think> \\boxed{2}")
    assert made.assistant_message(action, made.parse(action)) == {"role": "assistant", "content": f"<think>{action}"}
    system = made.messages(TASK, [SCHEMA])[0]["content"]
    assert json.dumps([SCHEMA.as_openai()["function"]]) in system and "\\boxed{}" in system


def native(*calls: Any, **message: Any) -> str:
    return json.dumps({"content": "", "tool_calls": list(calls), **message})


def entry(arguments: Any = '{"query": "x"}', **function: Any) -> dict[str, Any]:
    return {"id": "a1", "type": "function", "function": {"name": "search", "arguments": arguments, **function}}


OPENAI = [
    (native(entry()), search("x"), None, set()),
    (native(entry(), entry("{}", name="open"), content="I search."), [*search("x"), ("open", {})], None, set()),
    (native(entry(), role="assistant"), search("x"), None, set()),
    (f" {native(entry())}\n", search("x"), None, set()),
    # Arguments are JSON in a string; some servers send none, or the object itself.
    (native(entry("")), [("search", {})], None, set()),
    (native(entry(None)), [("search", {})], None, set()),
    (native(entry({"query": "x"})), search("x"), None, set()),
    (native(entry("{")), [(BAD, {})], None, {"bad_call"}),
    (native(entry("[1]")), [(BAD, {})], None, {"bad_call"}),
    (native(entry('{"x": NaN}')), [(BAD, {})], None, {"bad_call"}),
    (native(entry(name="")), [(BAD, {})], None, {"bad_call"}),
    (native("search"), [(BAD, {})], None, {"bad_call"}),
    (native({"id": 3}, entry()), [(BAD, {}), *search("x")], None, {"bad_call"}),
    # Other texts are answers, JSON included.
    (native(), [], '{"content": "", "tool_calls": []}', set()),
    ('{"tool_calls": 3}', [], '{"tool_calls": 3}', set()),
    # Somebody else's message is no call.
    (native(entry(), role="user"), [], native(entry(), role="user"), set()),
    ('{"answer": 3}', [], '{"answer": 3}', set()),
    ("It is \\boxed{4}.", [], "4", set()),
    ("Ulm", [], "Ulm", set()),
    ("", [], None, {"no_action"}),
    # A tool's message, anywhere but in the arguments of a call.
    ('{"role": "tool", "content": "x"}', [], '{"role": "tool", "content": "x"}', {"forged_observation"}),
    (native(entry(), content='{"role":"tool"}'), search("x"), None, {"forged_observation"}),
    (native(entry(), content="<tool_response>x"), search("x"), None, {"forged_observation"}),
    (native(entry('{"query": "<tool_response> {\\"role\\": \\"tool\\"}"}')),
     search('<tool_response> {"role": "tool"}'), None, set()),
]  # fmt: skip


@pytest.mark.parametrize(("text", "calls", "answer", "faults"), OPENAI)
def test_openai(read: Callable[..., Any], text: str, calls: Any, answer: str | None, faults: set[str]) -> None:
    assert read("openai", text) == (text, "", calls, answer, faults)


def test_openai_messages_are_those_of_the_interface() -> None:
    made = action_format("openai")
    action = Action(native(entry(), entry("{", name="open"), "x", content="I search."))
    parsed = made.parse(action)
    assert [call.id for call in parsed.calls] == ["a1", "a1", "call_2"]
    function = {"name": "search", "arguments": '{"query": "x"}'}
    assert made.assistant_message(action, parsed) == {
        "role": "assistant",
        "content": "I search.",
        "tool_calls": [
            {"id": "a1", "type": "function", "function": function},
            # A history that holds broken JSON is refused by servers and templates.
            {"id": "a1", "type": "function", "function": {"name": "open", "arguments": "{}"}},
            {"id": "call_2", "type": "function", "function": {"name": "unknown", "arguments": "{}"}},
        ],
    }
    messages = made.render_messages(parsed.calls, [PLAIN, FAILED, FAILED])
    assert messages[0] == {"role": "tool", "tool_call_id": "a1", "content": "42"}
    assert messages[1]["content"] == "no such thing" and messages[2]["content"].startswith("Bad call: the call has no")
    lines = made.render(parsed.calls, [PLAIN, FAILED, FAILED]).strip().split("\n")
    assert [json.loads(line) for line in lines] == messages
    plain = Action("Ulm")
    assert made.assistant_message(plain, made.parse(plain)) == {"role": "assistant", "content": "Ulm"}


def test_openai_makes_messages_of_calls_in_hermes_form() -> None:
    made = action_format("openai")
    action = Action(f"<think>{TWO}</think>I search.\n{ONE}\n{TWO} and so on")
    message = made.assistant_message(action, made.parse(action))
    assert message["content"] == f"<think>{TWO}</think>I search."
    assert [(call["id"], call["function"]["name"]) for call in message["tool_calls"]] == [
        ("call_0", "search"),
        ("call_1", "open"),
    ]


def test_openai_text_of_a_response() -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [entry()]}
    assert action_format("openai").parse(Action(action_text(message))).calls == (
        ToolCall("search", {"query": "x"}, id="a1"),
    )
    assert action_text({"content": "Ulm", "tool_calls": None}) == "Ulm" and action_text({"content": None}) == ""


def test_openai_prompts_leave_the_functions_to_the_interface() -> None:
    made = action_format("openai")
    assert made.native_tools and "search" not in str(made.messages(TASK, [SCHEMA]))
    text = made.text(TASK, [SCHEMA])
    assert json.dumps(SCHEMA.as_openai()) in text and '"tool_calls"' in text
    assert '"tool_calls"' not in made.text(TASK, [])
