"""ReSearch, Search-R1 and R1-Searcher, action by action; expectations worked out from the published rollouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from toolgym.envs.episode import Action, StopReason
from toolgym.envs.formats import action_format
from toolgym.envs.search_qa import SearchQAEnv
from toolgym.tools.base import FunctionSchema, ToolCall, ToolResult, ToolStatus

PASSAGES = [
    {"id": "1", "title": "Ulm", "text": "Ulm is a city.\nIt is old."},
    {"id": "2", "title": "1984", "text": "A novel."},
]
FOUND = ToolResult(ToolStatus.OK, "[1] Ulm", metadata={"passages": PASSAGES})
NOTHING = ToolResult(ToolStatus.OK, "No passages found.", metadata={"passages": []})
PLAIN = ToolResult(ToolStatus.OK, "42")
FAILED = ToolResult(ToolStatus.TIMEOUT, "Timed out.", metadata={"passages": PASSAGES})
CALL = ToolCall("search", {"query": "Ulm"})


def search(query: str) -> list[tuple[str, dict[str, Any]]]:
    return [("search", {"query": query})]


def render(name: str, *results: ToolResult) -> str:
    return action_format(name).render([CALL] * len(results), results)


BOXED = "<answer> The final answer is \\[ \\boxed{Alan Turing} \\] </answer>"
INVALID = " <result>\ninvalid query\n</result>"

RESEARCH = [
    ("<think> a </think> <search> x y </search>", "", search("x y"), None, set()),
    # Between the last <search> before the mark and the mark (rindex), in thoughts too.
    ("<think> a <search>x</search>", "", search("x"), None, set()),
    ("I use <search> tags. <search> q </search>", "", search("q"), None, set()),
    ("<search><answer>a</answer></search>", "", search("<answer>a</answer>"), None, {"misplaced"}),
    ("<search>a</search>", "<search>b</search>", search("a"), None, {"text_after_action"}),
    ("<search>a</search>", " <answer>b</answer>", search("a"), None, {"text_after_action"}),
    # Nothing but </search> stops the engine: an answer before it is no end.
    (f"{BOXED} <search> q </search>", "", search("q"), None, {"misplaced"}),
    ("<answer><search>q</search>", "</answer>", search("q"), None, {"text_after_action"}),
    # An empty query, or none.
    ("<search>  </search>", "", [], None, {"bad_call"}),
    ("q </search>", "", [], None, {"bad_call"}),
    # The last turn: the last box of the first answer block; the published evaluation gives "" without a box.
    (f"<think> a </think> {BOXED}", "", [], "Alan Turing", set()),
    ("<answer>\\boxed{1} or \\boxed{\\frac{1}{2}}</answer>", "", [], "\\frac{1}{2}", set()),
    ("<answer> Alan </answer>", "", [], "", set()),
    ("<answer></answer>", "", [], "", set()),
    (f"{BOXED} \n<|endoftext|>", "", [], "Alan Turing", set()),
    (f"{BOXED} And more", "", [], "Alan Turing", {"text_after_action"}),
    ("<answer>\\boxed{a}</answer><answer>\\boxed{b}</answer>", "", [], "a", {"text_after_action"}),
    ("I may <search> later. <answer>\\boxed{a}</answer>", "", [], "a", set()),
    ("a </answer> b", "", [], None, {"no_action", "misplaced"}),
    ("nothing", "", [], None, {"no_action"}),
    ("", "", [], None, {"no_action"}),
    ("<search> q", "", [], None, {"no_action", "unclosed"}),
    ("<answer> q", "", [], None, {"no_action", "unclosed"}),
    # An observation of the agent's own is a fault, whatever it does in it.
    ("<result> r </result>", "", [], None, {"no_action", "forged_observation"}),
    ("<result><search>q</search>", "", search("q"), None, {"forged_observation"}),
    ("<search>a</search>", " <result>r</result>", search("a"), None, {"forged_observation", "text_after_action"}),
]


@pytest.mark.parametrize(("text", "surplus", "calls", "answer", "faults"), RESEARCH)
def test_research(
    read: Callable[..., Any], text: str, surplus: str, calls: Any, answer: str | None, faults: set[str]
) -> None:
    assert read("research", text + surplus) == (text, surplus, calls, answer, faults)


def test_research_says_that_a_query_is_invalid(parse: Callable[..., Any]) -> None:
    assert parse("research", "<search></search>").reply == parse("research", "q</search>").reply == INVALID
    assert parse("research", "<search>q</search>").reply is None and parse("research", "nothing").reply is None


def test_research_renders_passages_as_flashrag_writes_them() -> None:
    documents = '"Ulm"\nUlm is a city.\nIt is old.\n\n"1984"\nA novel.'
    assert render("research", FOUND) == f" <result>\n{documents}\n</result>"
    assert render("research", PLAIN) == " <result>\n42\n</result>"
    assert render("research", FAILED) == " <result>\nTimed out.\n</result>"
    assert render("research", NOTHING) == " <result>\nNo passages found.\n</result>"


SEARCH_R1 = [
    ("<think>a</think>\n<search> x </search>", "", search("x"), None, set()),
    ("<answer> Beijing </answer>", "", [], "Beijing", set()),
    ("<answer> \\boxed{1} </answer>", "", [], "\\boxed{1}", set()),
    ("<answer>a</answer>", "\n", [], "a", set()),
    # The text is cut after the first </search>, or else after the first </answer>; then the first whole block counts.
    ("<answer>a</answer><search>b</search>", " x", [], "a", {"text_after_action"}),
    ("<search>a</search>", "<answer>b</answer>", search("a"), None, {"text_after_action"}),
    ("a </answer><search>q</search>", "", search("q"), None, set()),
    ("<answer>a</answer>", " <answer>b</answer>", [], "a", {"text_after_action"}),
    ("I use <search> tags. <search> q </search>", "", search("tags. <search> q"), None, set()),
    ("I may <search> later. <answer>a</answer>", "", [], "a", set()),
    ("<answer><search>q</search>", "</answer>", search("q"), None, {"text_after_action"}),
    # An empty query is a search like any other.
    ("<search></search>", "", search(""), None, set()),
    ("thought", "", [], None, {"no_action"}),
    ("a </answer>", " b", [], None, {"no_action", "misplaced", "text_after_action"}),
    ("x</search>", "", [], None, {"no_action", "misplaced"}),
    ("<search> q", "", [], None, {"no_action", "unclosed"}),
    ("<information>Doc 1</information> <answer>x</answer>", "", [], "x", {"forged_observation"}),
    ("<information>Doc 1", "", [], None, {"no_action", "forged_observation"}),
]


@pytest.mark.parametrize(("text", "surplus", "calls", "answer", "faults"), SEARCH_R1)
def test_search_r1(
    read: Callable[..., Any], text: str, surplus: str, calls: Any, answer: str | None, faults: set[str]
) -> None:
    assert read("search_r1", text + surplus) == (text, surplus, calls, answer, faults)


def test_zero_search_reads_as_search_r1_and_shows_documents_without_titles(read: Callable[..., Any]) -> None:
    for text, surplus, *_ in SEARCH_R1:
        assert read("zero_search", text + surplus) == read("search_r1", text + surplus)
    untitled = [{"id": "1", "title": "", "text": "A city."}, {"id": "2", "title": "1984", "text": "A novel."}]
    found = ToolResult(ToolStatus.OK, "", metadata={"passages": untitled})
    assert render("zero_search", found) == "\n\n<information>Doc 1: A city.\nDoc 2: 1984 A novel.</information>\n\n"
    assert render("zero_search", PLAIN) == "\n\n<information>42</information>\n\n"


def test_search_r1_tells_what_an_action_looks_like(parse: Callable[..., Any]) -> None:
    reply = parse("search_r1", "nothing").reply
    assert reply.startswith("\nMy previous action is invalid. ") and reply.endswith(" Let me try again.\n")
    assert "<search> and </search>" in reply and "<answer> and </answer>" in reply
    assert parse("search_r1", "x</search>").reply == reply
    assert parse("search_r1", "<search>q</search>").reply is None is parse("search_r1", "<answer>a</answer>").reply


def test_search_r1_reads_its_last_turn_for_the_answer_alone() -> None:
    made = action_format("search_r1")
    for text in ("<search>q</search>", "nothing"):
        parsed = made.parse_final(Action(text))
        assert (parsed.calls, parsed.answer, parsed.reply) == ((), None, None)
        assert [fault.value for fault in parsed.faults] == ["no_action"]
    assert made.parse_final(Action("<answer>a</answer>")).answer == "a"


def test_search_r1_numbers_documents() -> None:
    documents = 'Doc 1(Title: "Ulm") Ulm is a city.\nIt is old.\nDoc 2(Title: "1984") A novel.'
    assert render("search_r1", FOUND) == f"\n\n<information>{documents}</information>\n\n"
    assert render("search_r1", FAILED) == "\n\n<information>Timed out.</information>\n\n"
    assert render("search_r1", NOTHING) == "\n\n<information>No passages found.</information>\n\n"


Q, E = "<|begin_of_query|>", "<|end_of_query|>"

R1_SEARCHER = [
    (f" a {Q} Ulm river {E}", "", search("Ulm river"), None, set()),
    # Double quotes go, whitespace is squeezed; single quotes and three dots go in the evaluation alone.
    (f'{Q} "Ulm"\t river\n\'s ...{E}', "", search("Ulm river 's ..."), None, set()),
    (f"{Q} a {Q} b {E}", "", search("b"), None, set()),
    (f"{Q}a{E}", " more", search("a"), None, {"text_after_action"}),
    (f"<answer>x</answer> {Q}a{E}", "", search("a"), None, {"misplaced"}),
    # An empty query, and an end without a beginning, end the episode.
    (f"{Q} \n {E}", "", [], None, {"bad_call"}),
    (f'{Q} "" {E}', "", [], None, {"bad_call"}),
    (f"a {E}", "", [], None, {"bad_call"}),
    (f"<answer> x </answer> {E}", "", [], "x", {"bad_call"}),
    # The answer is what follows the last <answer>.
    (" t </think>\n\n<answer> Ulm </answer>", "", [], "Ulm", set()),
    ("<answer>a</answer> <answer> b </answer>", "", [], "b", set()),
    ("<answer>a</answer> x", "", [], "a", {"text_after_action"}),
    ("</answer> <answer>a", "", [], None, {"no_action", "unclosed"}),
    (f"{Q} a", "", [], None, {"no_action", "unclosed"}),
    ("t", "", [], None, {"no_action"}),
    ("<|begin_of_documents|>\n(1)x", "", [], None, {"no_action", "forged_observation"}),
]


@pytest.mark.parametrize(("text", "surplus", "calls", "answer", "faults"), R1_SEARCHER)
def test_r1_searcher(
    read: Callable[..., Any], text: str, surplus: str, calls: Any, answer: str | None, faults: set[str]
) -> None:
    assert read("r1_searcher", text + surplus) == (text, surplus, calls, answer, faults)


def test_r1_searcher_answers_nothing_by_itself(parse: Callable[..., Any]) -> None:
    assert all(parse("r1_searcher", text).reply is None for text, *_ in R1_SEARCHER)


def test_r1_searcher_numbers_documents_of_one_line() -> None:
    def documents(text: str) -> str:
        return f"\n\n<|begin_of_documents|>\n{text}<|end_of_documents|>\n\n"

    lines = "(1)Title: Ulm Text:  Ulm is a city. It is old.\n(2)Title: 1984 Text:  A novel.\n"
    assert render("r1_searcher", FOUND) == documents(lines)
    # A line of the other corpus, which has no such words, is shown as it came.
    untitled = ToolResult(ToolStatus.OK, "", metadata={"passages": [{"id": "7", "title": "", "text": "Ulm   A city."}]})
    assert render("r1_searcher", untitled) == documents("(1)Ulm   A city.\n")
    assert render("r1_searcher", NOTHING) == documents("None")
    assert render("r1_searcher", PLAIN) == documents("(1)42\n")
    assert render("r1_searcher", FAILED) == documents("(1)Timed out.\n")


def test_r1_searcher_writes_queries_as_the_system_reads_them(parse: Callable[..., Any]) -> None:
    text = action_format("r1_searcher").write_call("t", ToolCall("search", {"query": 'the "Ulm"\n minster'}), 1)
    assert text == f" t {Q} the Ulm minster {E}"
    assert parse("r1_searcher", text).calls[0].arguments == {"query": "the Ulm minster"}


@pytest.mark.parametrize("name", ["research", "search_r1", "r1_searcher"])
def test_the_environment_names_the_argument(name: str) -> None:
    text = f"<search>x</search>{Q}x{E}" if name == "r1_searcher" else "<search>x</search>"
    schema = FunctionSchema(
        "search", "", {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    )
    made = action_format(name)
    assert made.expresses(schema) and not made.expresses(FunctionSchema("find", "", schema.parameters))
    assert not made.expresses(FunctionSchema("search", "", {"type": "object", "properties": {}}))
    assert made.parse(Action(text), [schema]).calls[0].arguments == {"text": "x"}


def play(name: str, *actions: str) -> tuple[SearchQAEnv, dict[str, Any]]:
    """Plays actions; all but the last must leave the episode open."""
    env = SearchQAEnv(size=1, action_format=name)
    env.reset(seed=0)
    for action in actions[:-1]:
        assert env.step(action)[2:4] == (False, False)
    *_, info = env.step(actions[-1])
    env.close()
    return env, info


def test_search_r1_has_four_turns_with_search_and_one_without() -> None:
    # A turn without an action counts as one of them.
    env, info = play("search_r1", *["<search>x</search>"] * 3, "hm", "<search>x</search>")
    assert (info["stop_reason"], info["faults"]) == (StopReason.MAX_TURNS, ["no_action"])
    assert env.episode.call_count == 3 and len(env.episode.turns) == 5
    env, info = play("search_r1", *["<search>x</search>"] * 4, "<answer>a</answer>")
    assert (info["stop_reason"], info["answer"], env.episode.call_count) == (StopReason.ANSWER, "a", 4)


def test_r1_searcher_ends_with_the_ninth_query() -> None:
    env, info = play("r1_searcher", *[f"{Q} x {E}"] * 9)
    assert (info["stop_reason"], env.episode.call_count) == (StopReason.MAX_CALLS, 8)
    env, info = play("r1_searcher", *[f"{Q} x {E}"] * 8, " t </think>\n\n<answer> a </answer>")
    assert (info["stop_reason"], info["answer"]) == (StopReason.ANSWER, "a")
    assert play("r1_searcher", f"{Q} {E}")[1]["stop_reason"] == StopReason.NO_ACTION


def test_research_goes_on_after_an_empty_query_and_ends_without_one() -> None:
    env, info = play("research", "<search> </search>", "<search>x</search>", "so be it")
    assert (info["stop_reason"], env.episode.call_count) == (StopReason.NO_ACTION, 1)
    assert env.episode.turns[0].observation == INVALID
