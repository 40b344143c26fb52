"""ReAct's numbered scratchpad, action by action; expectations worked out from the notebooks and `wikienv.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from toolgym.envs import Limits, StopReason, Task, ToolEnv
from toolgym.envs.formats import action_format, react_prompts
from toolgym.envs.react_qa import ReActQAEnv
from toolgym.envs.task import TaskSet
from toolgym.tools import tool
from toolgym.tools.base import FunctionSchema, ToolCall, ToolResult, ToolStatus
from toolgym.tools.errors import InputError

STOP = "\nObservation"


def call(name: str, key: str, value: str) -> list[tuple[str, dict[str, Any]]]:
    return [(name, {key: value})]


def takes(name: str, argument: str = "text", **more: Any) -> FunctionSchema:
    properties = {argument: {"type": "string", **more}}
    return FunctionSchema(name, f"Does {name}.", {"type": "object", "properties": properties, "required": [argument]})


WIKI = [takes("search", "entity"), takes("lookup", "keyword")]

READINGS = [
    (" t\nAction 1: Search[Ulm]", "", call("search", "entity", "Ulm"), None, set()),
    (" t\nAction 2: lookup[the river]", "\n", call("lookup", "keyword", "the river"), None, set()),
    (" t\nAction 3: Finish[ yes ]", "", [], "yes", set()),
    (" t\nAction 3: finish[]", "", [], "", set()),
    # The argument is kept as it is, brackets and spaces included.
    (" t\nAction 1: Search[ Ulm [city]]", "", call("search", "entity", " Ulm [city]"), None, set()),
    (" t\nAction 1: Search[]", "", call("search", "entity", ""), None, set()),
    # The stop string may stand at the end, with its number.
    (" t\nAction 1: Search[Ulm]", STOP, call("search", "entity", "Ulm"), None, set()),
    (" t\nAction 1: Search[Ulm]", f"{STOP} 1:", call("search", "entity", "Ulm"), None, set()),
    (" t\nAction 1: Search[Ulm]", f" \n{STOP} 1:  \n", call("search", "entity", "Ulm"), None, set()),
    (
        " t\nAction 1: Search[Ulm]",
        f"{STOP} 1: a\nThought 2: b\nAction 2: Finish[c]",
        call("search", "entity", "Ulm"),
        None,
        {"forged_observation", "text_after_action"},
    ),
    # All that follows `Action 1: ` is the action: it must end with the bracket.
    (" t\nAction 1: Search[Ulm] or so", "", [], None, {"bad_call"}),
    (" t\nAction 1: Search[Ulm]\nThought 2: more", "", [], None, {"bad_call"}),
    (
        " t\nAction 1: Search[Ulm]\nThought 2: [x]",
        "",
        call("search", "entity", "Ulm]\nThought 2: [x"),
        None,
        set(),
    ),
    (" t\nAction 1: Search[Ulm", "", [], None, {"bad_call"}),
    (" t\nAction 1: Search Ulm", "", [], None, {"bad_call"}),
    # Only the first letter is lower-cased, and only if it is the first character.
    (" t\nAction 1: SEARCH[Ulm]", "", [], None, {"bad_call"}),
    (" t\nAction 1:  Search[Ulm]", "", [], None, {"bad_call"}),
    (" t\nAction 1:  search[Ulm]", "", call("search", "entity", "Ulm"), None, set()),
    (" t\nAction 1: Jump[x]", "", [], None, {"bad_call"}),
    (" t\nAction 1: Think[hm]", "", [], None, set()),
    # No action line, or two of them.
    (" t", "", [], None, {"no_action"}),
    ("", "", [], None, {"no_action"}),
    ("Action 1: Search[Ulm]", "", [], None, {"no_action"}),
    (" t\nAction 1:Search[Ulm]", "", [], None, {"no_action"}),
    (" t\nAction: Search[Ulm]", "", call("search", "entity", "Ulm"), None, set()),  # where no number is known
    (" t\nAction 1: Search[a]\nAction 1: Search[b]", "", [], None, {"no_action"}),
    (" t", f"{STOP} 1: a\nAction 1: Finish[c]", [], None, {"no_action", "forged_observation", "text_after_action"}),
]


@pytest.mark.parametrize(("text", "surplus", "calls", "answer", "faults"), READINGS)
def test_react(
    read: Callable[..., Any], text: str, surplus: str, calls: Any, answer: str | None, faults: set[str]
) -> None:
    assert read("react", text + surplus) == (text, surplus, calls, answer, faults)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        (" t\nAction 2: Think[hm]", f"{STOP} 2: Nice thought.\nThought 3:"),
        (" t\nAction 2: Jump[x]", f"{STOP} 2: Invalid action: jump[x]\nThought 3:"),
        (" t\nAction 2:  Search[x]", f"{STOP} 2: Invalid action: Search[x]\nThought 3:"),
        (" t\nAction 2: Search[a] b", f"{STOP} 2: Invalid action: search[a] b\nThought 3:"),
        (" t\nAction 2: X\\nY", f"{STOP} 2: Invalid action: xY\nThought 3:"),
        (" t\nAction 2: Search[x]", None),
        (" t\nAction 2: Finish[x]", None),
    ],
)
def test_what_the_format_itself_answers(parse: Callable[..., Any], text: str, reply: str | None) -> None:
    assert parse("react", text).reply == reply


def test_the_number_of_the_thought_decides(read: Callable[..., Any], parse: Callable[..., Any]) -> None:
    before = "Question: Q\nThought 1: t\nAction 1: Search[a]\nObservation 1: b\nThought 2:"
    assert read("react", " t\nAction 2: Search[x]", "stop", before)[2] == call("search", "entity", "x")
    wrong = parse("react", " t\nAction 3: Search[x]", "stop", before)
    assert not wrong.calls and wrong.reply == "\nThought 2: t\nAction 2:"
    # An action of another number is part of the argument.
    both = " t\nAction 2: Search[x\nAction 3: Search[y]"
    assert read("react", both, "stop", before)[2] == call("search", "entity", "x\nAction 3: Search[y")


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        (" I think", "\nAction 4:"),
        (" I think\n", "\nAction 4:"),
        (" I think\nand more", "\nThought 4: I think\nAction 4:"),
        (f" I think{STOP}", "\nThought 4: I think\nAction 4:"),
        ("", "\nAction 4:"),
    ],
)
def test_a_turn_without_an_action_is_asked_for_one(parse: Callable[..., Any], text: str, reply: str) -> None:
    assert parse("react", text, "stop", "\nThought 4:").reply == reply


@pytest.mark.parametrize(
    ("text", "calls", "answer"),
    [
        (" Search[Ulm]", call("search", "entity", "Ulm"), None),
        ("Search[Ulm]\nObservation", call("search", "entity", "Ulm"), None),
        (" Finish[yes] \n", [], "yes"),
        (" Jump", [], None),
        ("", [], None),
        ("\nAction 4: Search[Ulm]", [], None),
    ],
)
def test_the_turn_after_that_is_the_action(
    read: Callable[..., Any], parse: Callable[..., Any], text: str, calls: Any, answer: str | None
) -> None:
    before = "\nThought 4: t\nAction 4:"
    assert read("react", text, "stop", before)[2:4] == (calls, answer)
    invalid = parse("react", text, "stop", before).reply
    assert (invalid is None) == bool(calls or answer)
    assert invalid is None or (invalid.startswith(f"{STOP} 4: Invalid action: ") and invalid.endswith("\nThought 5:"))


def test_observations_go_on_from_the_number_of_the_action() -> None:
    made, wiki = action_format("react"), ToolCall("search", {"entity": "Ulm"}, id="2")

    def render(call: ToolCall, text: str) -> str:
        return made.render([call], [ToolResult(ToolStatus.OK, text)])

    assert render(wiki, "42") == f"{STOP} 2: 42\nThought 3:"
    assert render(wiki, "No more results.\n") == f"{STOP} 2: No more results.\n\nThought 3:"
    # The notebooks delete a backslash that an n follows, and the n.
    assert render(wiki, "a\\n\\nb\nc") == f"{STOP} 2: ab\nc\nThought 3:"
    assert render(ToolCall("search"), "42") == f"{STOP}: 42\nThought:"
    assert made.closing_text(1.0) == "Episode finished, reward = 1\n"


def test_functions_that_fit_on_a_line_have_actions() -> None:
    made = action_format("react")
    assert all(map(made.expresses, [*WIKI, takes("read_file", "path"), takes("Open")]))
    assert not any(map(made.expresses, [takes("finish"), takes("Think"), takes("python", contentMediaType="text/x")]))
    assert not made.expresses(FunctionSchema("add", "", {"type": "object", "properties": {"a": {"type": "number"}}}))
    text = made.write_call("t", ToolCall("read_file", {"path": "a b"}), 3)
    assert text == " t\nAction 3: Read_file[a b]"
    parsed = made.parse_in_place(made.parse(text).text, [takes("read_file", "path")], "Thought 3:")  # type: ignore[arg-type]
    assert parsed.calls == (ToolCall("read_file", {"path": "a b"}, id="3"),)
    with pytest.raises(InputError, match="cannot express"):
        made.write_call("t", ToolCall("search", {"entity": f"a{STOP} 1: b"}), 1)


def test_the_prompt_shows_the_examples_of_its_kind_of_task() -> None:
    made = action_format("react")
    question = made.text(Task("t", "Who?", ("x",)), WIKI)
    assert question.startswith(react_prompts.QUESTION_INSTRUCTION) and question.endswith("\nQuestion: Who?\nThought 1:")
    assert all(example in question for example in react_prompts.QUESTION_EXAMPLES)
    assert question.count("\n\nQuestion: ") == 1  # one blank line, before the first example
    claim = made.text(Task("t", "It is.", ("SUPPORTS",), {"kind": "claim"}), WIKI)
    assert claim.startswith(react_prompts.CLAIM_INSTRUCTION) and claim.endswith("\n\nClaim: It is.\nThought 1:")
    assert all(example in claim for example in react_prompts.CLAIM_EXAMPLES)
    assert made.messages(Task("t", "Who?", ("x",)), WIKI) == [{"role": "user", "content": question}]


def test_the_prompt_lists_the_functions_that_there_are() -> None:
    text = action_format("react").text(Task("t", "Who?", ("x",)), [takes("search", "query"), takes("read", "path")])
    assert "(1) Search[query]: Does search.\n(2) Read[path]: Does read.\n(3) Finish[answer]" in text
    assert "Lookup" not in text and "encyclopaedia" not in text
    assert "(1) Finish[answer]" in action_format("react").text(Task("t", "Who?", ("x",)), [])


@tool
def search(entity: str) -> str:
    """Finds.

    Args:
        entity: What.
    """
    return f"{entity} is a city."


class Tiny(ToolEnv):
    def __init__(self) -> None:
        super().__init__(TaskSet([Task("t", "Q", ("yes",))]), [search], action_format="react", reward="react")


def test_an_episode_with_a_second_call_of_the_model() -> None:
    env = Tiny()
    prompt, _ = env.reset(seed=0)
    assert env.limits == Limits(max_turns=7) and prompt.endswith("Question: Q\nThought 1:")
    row = prompt.rpartition("Question: ")[2]
    for action in (" I think.", " Search[Ulm]", f" Then?\nAction 2: Jump[x]{STOP}", " Done.\nAction 3: Finish[yes]"):
        observation, reward, terminated, _, info = env.step(action)
        row += action + observation
    assert terminated and (reward, info["score"]) == (1.0, 1.0)
    assert row == (
        "Q\nThought 1: I think.\nAction 1: Search[Ulm]\nObservation 1: Ulm is a city.\n"
        "Thought 2: Then?\nAction 2: Jump[x]\nObservation 2: Invalid action: jump[x]\n"
        "Thought 3: Done.\nAction 3: Finish[yes]Episode finished, reward = 1\n"
    )


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("", "\nObservation 1: "),
        ("  ", "\nObservation 1: "),
        (STOP, " 1: "),
        (f"  {STOP}", " 1: "),
        (f"\n{STOP}", " 1: "),
        (f"{STOP} 1:", " "),
        ("\n", "Observation 1: "),
        (" \n", "Observation 1: "),
        ("\n\n", "Observation 1: "),
        (f"{STOP} 1: x", "\nObservation 1: "),  # forged: nothing of it is taken for the environment's
    ],
)
def test_what_the_agent_wrote_of_an_observation_is_not_told_again(end: str, told: str) -> None:
    env = Tiny()
    env.reset(seed=0)
    assert env.step(f" I think.\nAction 1: Search[Ulm]{end}")[0] == f"{told}Ulm is a city.\nThought 2:"
    assert env.episode.turns[0].observation == "\nObservation 1: Ulm is a city.\nThought 2:"


def test_seven_turns_and_no_more() -> None:
    env = ReActQAEnv(size=1)
    env.reset(seed=0)
    for number in range(1, 8):
        *_, truncated, info = env.step(f" t\nAction {number}: Think[hm]")
        assert truncated == (number == 7) and info["faults"] == []
    assert info["stop_reason"] == StopReason.MAX_TURNS
    env.close()


def test_an_action_in_two_turns_is_one_of_the_seven_steps() -> None:
    env = Tiny()
    env.reset(seed=0)
    for number in range(1, 8):
        observation, _, _, truncated, info = env.step(" t")
        assert observation == f"\nAction {number}:" and not truncated and info["faults"] == ["no_action"]
        *_, terminated, truncated, info = env.step(" Finish[yes]" if number == 7 else " Search[Ulm]")
    assert terminated and info["score"] == 1 and env.episode.turn_count == 7 and len(env.episode.turns) == 14
    env.reset(seed=0)
    for number in range(1, 8):
        assert not env.step(" t")[3]
        assert env.step(" Search[Ulm]")[3] == (number == 7)
    assert env.episode.stop_reason == StopReason.MAX_TURNS
