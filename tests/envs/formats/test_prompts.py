"""Prompts, names, limits and what else a format says of itself; `think_answer`, which is little more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from toolgym.envs import Limits, Task
from toolgym.envs.formats import FORMATS, ActionFormat, action_format
from toolgym.tools.base import FunctionSchema, ToolCall, ToolResult, ToolStatus
from toolgym.tools.errors import InputError

TASK = Task("t", "Who wrote {this}", ("x",))
SCHEMA = FunctionSchema("search", "Finds passages.", {"type": "object", "properties": {"query": {"type": "string"}}})
CALL = ToolCall("search", {"query": "Ulm"}, id="2")

NAMES = [
    "research", "search_r1", "zero_search", "r1_searcher", "react", "hermes", "recall", "openai", "code", "torl",
    "simpletir", "think_answer",
]  # fmt: skip


def test_names() -> None:
    assert list(FORMATS) == NAMES
    for name, cls in FORMATS.items():
        assert isinstance(action_format(name), cls) and issubclass(cls, ActionFormat) and cls.name == name
    with pytest.raises(InputError, match="unknown action format 'search-r1'; did you mean 'search_r1'"):
        action_format("search-r1")
    with pytest.raises(InputError, match=r"unknown action format 'zzz' \(known: code"):
        action_format("zzz")
    with pytest.raises(InputError, match="prompt must be"):
        action_format("code", "none")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
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
        ("r1_searcher", f"\n\nUser:{TASK.question}\nAssistant: "),
        ("react", f"\nQuestion: {TASK.question}\nThought 1:"),
        ("torl", f"\\boxed{{}}.\n{TASK.question}\nAssistant:\n"),
        ("simpletir", f"\n\nUser Question:\n{TASK.question}"),
        ("think_answer", f"\n\nUser:{TASK.question}\nAssistant: "),
    ],
)
def test_published_endings_of_prompts(name: str, ending: str) -> None:
    assert action_format(name).text(TASK, []).endswith(ending)


def test_search_r1_keeps_a_question_mark() -> None:
    assert action_format("search_r1").text(Task("t", " Who? ", ("x",)), []).endswith(" Question: Who?\n")


LITERALS = {
    "research": ["<think> ", "</think> <search> ", "</search> <result> ", "\\[ \\boxed{answer here} \\] </answer>"],
    "search_r1": ["<search> query </search>", "<information> and </information>", "<answer> Beijing </answer>"],
    "r1_searcher": [
        "</think>\n\n<answer>", "<|begin_of_query|> ", "<|end_of_query|>", "<|begin_of_documents|> ",
        "<|end_of_documents|>",
    ],
    "code": ["<code>\n```python\n", "\n```\n</code>", "<interpreter>", "<answer>\n\\boxed{", "}\n</answer>"],
    "torl": ["programs", "\\boxed{}"],
    "simpletir": ['"Code execution result: "', "```py\n", "final_answer(answer)\n```", "\\boxed{", "`print()`"],
    "think_answer": ["<think> ", "</think><answer> "],
    "hermes": ["<tools>\n", "<tool_call>\n{", "<tool_response>", "\\boxed{}"],
    "recall": ["```json\n", "<tool_call>\n{", "</think>", "\\boxed{}"],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(LITERALS))
def test_prompts_hold_the_literals_that_parsing_depends_on(name: str) -> None:
    made = action_format(name)
    said = "".join(message["content"] for message in made.messages(TASK, [SCHEMA]))
    for prompt in (made.text(TASK, [SCHEMA]), said):
        assert all(literal in prompt for literal in LITERALS[name])


def test_prefills_are_no_part_of_the_prompt() -> None:
    prefilled = {name: made.prefill for name, made in FORMATS.items() if made.prefill}
    assert prefilled == dict.fromkeys(["r1_searcher", "recall", "think_answer"], "<think>")
    for name in prefilled:
        assert not action_format(name).text(TASK, []).rstrip().endswith("<think>")
    assert [name for name, made in FORMATS.items() if made.prefills_every_turn] == ["recall"]


def test_published_stops() -> None:
    assert {name: made.stop for name, made in FORMATS.items()} == {
        "research": ("</search>",),
        "search_r1": ("</search>", "</answer>"),
        "zero_search": ("</search>", "</answer>"),
        "r1_searcher": ("<|end_of_query|>",),
        "react": ("\nObservation",),
        "hermes": (),
        "recall": (),
        "openai": (),
        "code": ("</code>",),
        "torl": ("```output",),
        "simpletir": ("\n```\n",),
        "think_answer": (),
    }
    assert [name for name in FORMATS if action_format(name).final_stop != FORMATS[name].stop] == ["torl"]


def test_published_limits() -> None:
    recall = Limits(max_turns=5, max_turn_tokens=512, max_tokens=6656)
    assert {name: made.limits for name, made in FORMATS.items()} == {
        "research": Limits(max_turns=None, max_tokens=8192),
        # Four turns with search and one without.
        "search_r1": Limits(
            max_turns=5,
            last_turn_calls=False,
            max_turn_tokens=500,
            max_observation_tokens=500,
            observation_cut="head",
            max_context=4096,
        ),
        "zero_search": Limits(
            max_turns=6,
            last_turn_calls=False,
            max_turn_tokens=500,
            max_observation_tokens=2048,
            observation_cut="head",
            max_context=4096,
        ),
        "r1_searcher": Limits(max_turns=9, max_calls=8, max_turn_tokens=512),
        "react": Limits(max_turns=7, max_turn_tokens=100),
        "hermes": Limits(),
        "recall": recall,
        "openai": Limits(),
        "code": Limits(max_turns=None, max_context=16_384),
        # One call, and a last turn.
        "torl": Limits(max_turns=2, last_turn_calls=False, max_calls=1, surplus_calls="ignore", max_tokens=3072),
        "simpletir": Limits(
            max_turns=5, max_turn_tokens=8000, max_observation_tokens=4096, observation_cut="head", max_context=16_000
        ),
        "think_answer": Limits(max_turns=1, max_tokens=4096),
    }


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"think_answer"}))
def test_the_cap_leaves_the_marks_whole(name: str) -> None:
    made = action_format(name)
    long = ToolResult(ToolStatus.OK, "\u00e6" * 1000)
    full, text = made.render([CALL], [long]), made.render([CALL], [long], lambda payload: payload[:8])
    # What stands around the payload stands around a shorter one, too (the line break after a document is payload).
    before, after = full.partition("\u00e6")[0], full.rpartition("\u00e6")[2]
    assert text.startswith(before) and text.endswith(after.lstrip("\n") if name == "r1_searcher" else after)
    assert 0 < text.count("\u00e6") <= 8
    assert all(mark in text for mark in made.observation_marks)
    assert made.render_messages([CALL], [long], lambda payload: payload[:8])[0]["content"].count("\u00e6") <= 8


THINK = [
    (" t </think>\n<answer> (1) Zoey is a knight </answer>", "(1) Zoey is a knight", set()),
    (" t </think><answer>a</answer> \n<|im_end|>", "a", set()),
    (" t </think><answer>a</answer> b", "a", {"text_after_action"}),
    # The last block counts; the form is wrong with any second tag.
    (" t </think><answer>a</answer><answer>b</answer>", "b", {"misplaced"}),
    (" <answer>b</answer> </think> <answer>a</answer>", "a", {"misplaced"}),
    ("<think> t </think> <answer>a</answer>", "a", {"misplaced"}),
    (" t </think> <answer>a<answer>b</answer>", "a<answer>b", {"misplaced"}),
    (" t <answer>a</answer>", "a", {"misplaced"}),
    (" <answer>b</answer> </think> no", "b", {"misplaced", "text_after_action"}),
    (" t </think> a", None, {"no_action"}),
    (" t </think> <answer> a", None, {"no_action", "unclosed"}),
    (" t", None, {"no_action", "unclosed"}),
]


@pytest.mark.parametrize(("text", "answer", "faults"), THINK)
def test_think_answer(read: Callable[..., Any], text: str, answer: str | None, faults: set[str]) -> None:
    # Nothing stops the model: the whole turn counts.
    assert read("think_answer", text) == (text, "", [], answer, faults)


def test_think_answer_asks_for_identities_where_there_are_some() -> None:
    made = action_format("think_answer")
    islanders = Task("t", "Who?", ("x",), {"names": ["Zoey"], "solution": {"Zoey": True}})
    line = "<answer> (1) Zoey is a knight\n(2) Oliver is a knight\n(3)... </answer>"
    assert line in made.text(islanders, []) and line in made.messages(islanders, [])[0]["content"]
    assert "knight" not in made.text(TASK, [])
