"""Prompts and observations, character by character where something depends on it."""

from __future__ import annotations

import json

import pytest

from toolgym.envs.episode import Action
from toolgym.envs.formats import FORMATS, ActionFormat, action_format
from toolgym.envs.task import Task
from toolgym.tools.base import FunctionSchema, ToolCall, ToolResult, ToolStatus
from toolgym.tools.errors import InputError

TASK = Task("t", "Who wrote {this}", ("x",))
SCHEMA = FunctionSchema("search", "Finds passages.", {"type": "object", "properties": {"query": {"type": "string"}}})
PASSAGES = [
    {"id": "1", "title": "Ulm", "text": "Ulm is a city.\nIt is old."},
    {"id": "2", "title": "Danube", "text": "A river."},
]
FOUND = ToolResult(ToolStatus.OK, "[1] Ulm", metadata={"passages": PASSAGES})
PLAIN = ToolResult(ToolStatus.OK, "42")
FAILED = ToolResult(ToolStatus.BAD_ARGUMENTS, "invalid query", metadata={"passages": PASSAGES})
CALL = ToolCall("search", {"query": "Ulm"}, id="2")


def render(name: str, *results: ToolResult) -> str:
    return action_format(name).render([CALL] * len(results), results)


def test_research_renders_passages_as_flashrag_writes_them() -> None:
    documents = '"Ulm"\nUlm is a city.\nIt is old.\n\n"Danube"\nA river.'
    assert render("research", FOUND) == f" <result>\n{documents}\n</result>"
    assert render("research", PLAIN) == " <result>\n42\n</result>"
    assert render("research", FAILED) == " <result>\ninvalid query\n</result>"


def test_search_r1_numbers_documents() -> None:
    documents = 'Doc 1(Title: "Ulm") Ulm is a city.\nIt is old.\nDoc 2(Title: "Danube") A river.'
    assert render("search_r1", FOUND) == f"\n\n<information>{documents}</information>\n\n"
    assert render("search_r1", FAILED) == "\n\n<information>invalid query</information>\n\n"


def test_code_shows_what_was_printed() -> None:
    assert render("code", PLAIN) == "\n<interpreter>\n42\n</interpreter>\n"


def test_hermes_puts_every_result_in_a_block_of_one_user_message() -> None:
    blocks = "<tool_response>\n42\n</tool_response>\n<tool_response>\ninvalid query\n</tool_response>"
    assert render("hermes", PLAIN, FAILED) == f"\n{blocks}\n"
    messages = action_format("hermes").render_messages([CALL, CALL], [PLAIN, FAILED])
    assert messages == [{"role": "user", "content": blocks}]


def test_react_goes_on_from_the_number_of_the_action() -> None:
    assert render("react", PLAIN) == "\nObservation 2: 42\nThought 3:"
    two_lines = ToolResult(ToolStatus.OK, "No more results.\nnone\n")
    unnumbered = action_format("react").render([ToolCall("search")], [two_lines])
    assert unnumbered == "\nObservation: No more results. none\nThought:"


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"think_answer"}))
def test_the_cap_leaves_the_marks_whole(name: str) -> None:
    made = action_format(name)
    long = ToolResult(ToolStatus.OK, "x" * 1000)
    text = made.render([CALL], [long], lambda payload: payload[:5])
    assert text == made.render([CALL], [ToolResult(ToolStatus.OK, "xxxxx")])
    assert all(mark in text for mark in made.observation_marks)
    content = made.render_messages([CALL], [long], lambda payload: payload[:5])[0]["content"]
    assert content.count("x") == 5


@pytest.mark.parametrize("name", FORMATS)
def test_prompts_hold_the_question_and_the_bare_style_holds_nothing_else(name: str) -> None:
    full, bare = action_format(name), action_format(name, "question")
    text = full.text(TASK, [SCHEMA])
    assert TASK.question in text and len(text) > 200
    messages = full.messages(TASK, [SCHEMA])
    assert [message["role"] for message in messages] in (["system", "user"], ["user"])
    assert TASK.question in messages[-1]["content"]
    assert bare.messages(TASK, [SCHEMA]) == [{"role": "user", "content": TASK.question}]
    expected = f"Question: {TASK.question}\nThought 1:" if name == "react" else f"{TASK.question}\n"
    assert bare.text(TASK, [SCHEMA]) == expected


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("research", f" User: {TASK.question}. Assistant:"),
        ("search_r1", f" Question: {TASK.question}?\n"),
        ("react", f"\nQuestion: {TASK.question}\nThought 1:"),
        ("think_answer", f"\n\nUser:{TASK.question}\nAssistant: "),
    ],
)
def test_published_endings_of_prompts(name: str, ending: str) -> None:
    assert action_format(name).text(TASK, []).endswith(ending)


def test_search_r1_keeps_a_question_mark() -> None:
    assert action_format("search_r1").text(Task("t", " Who? ", ("x",)), []).endswith(" Question: Who?\n")


def test_hermes_lists_the_schemas_it_is_given() -> None:
    system = action_format("hermes").messages(TASK, [SCHEMA])[0]["content"]
    assert f"<tools>\n{json.dumps(SCHEMA.as_openai())}\n</tools>" in system
    assert '{"name": <function-name>, "arguments": <arguments-object>}' in system
    assert "<tools>" not in action_format("hermes").messages(TASK, [])[0]["content"]


def test_the_prefill_is_no_part_of_the_prompt() -> None:
    made = action_format("think_answer")
    assert made.prefill == "<think>"
    assert not made.text(TASK, []).endswith(("<think>", "<think> "))


def test_only_search_r1_gives_a_second_chance() -> None:
    replies = {name: action_format(name).parse(Action("nothing")).reply for name in FORMATS}
    assert [name for name, reply in replies.items() if reply is not None] == ["search_r1"]
    made = action_format("search_r1")
    text = made.render_reply(made.parse(Action("nothing")))
    assert text.startswith("\nMy previous action is invalid. ")
    assert text.endswith(" Let me try again.\n")
    assert "<search> and </search>" in text and "<answer> and </answer>" in text


def test_names() -> None:
    assert list(FORMATS) == ["research", "search_r1", "hermes", "react", "code", "think_answer"]
    for name, cls in FORMATS.items():
        assert isinstance(action_format(name), cls) and issubclass(cls, ActionFormat) and cls.name == name
    with pytest.raises(InputError, match="unknown action format 'search-r1'; did you mean 'search_r1'"):
        action_format("search-r1")
    with pytest.raises(InputError, match=r"unknown action format 'zzz' \(known: code"):
        action_format("zzz")
    with pytest.raises(InputError, match="prompt must be"):
        action_format("code", "none")  # type: ignore[arg-type]
