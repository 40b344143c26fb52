"""ReSearch, ReCall and AutoTIR against values obtained from the official code, and against hand-derived ones."""

from __future__ import annotations

import pytest

from toolgym.envs.rewards import autotir_reward, chat_turns, recall_reward, research_reward
from toolgym.envs.rewards.recall import recall_format
from toolgym.envs.rewards.scanning import hendrycks_box
from toolgym.tools.errors import InputError

GOLD = ["Alan Turing"]
EOS = "<|endoftext|>"
SEARCHED = " <think> a </think> <search> x </search> <result>\nd\n</result> <think> b </think> "
RIGHT = "<answer> The final answer is \\[ \\boxed{Alan Turing} \\] </answer>"


def box(content: str) -> str:
    return f" <think> a </think> <answer> \\boxed{{{content}}} </answer>"


RESEARCH = [
    # response, finished, code's reward, paper's reward
    (SEARCHED + RIGHT, True, 1.0, 1.0),
    (box("the mathematician Alan Turing"), True, 0.8, 0.8),  # precision 2/3, recall 1
    (box("Bob"), True, 0.1, 0.1),
    (SEARCHED + RIGHT, False, 0.0, 1.0),
    (box("Bob"), False, 0.0, 0.0),
    (" <think> a </think> <answer> Alan Turing </answer>", True, 0.0, 0.0),
    (" <think> a </think> <search> x </search> " + RIGHT, True, 0.0, 1.0),
    (" <think> a </think> <search> x <result> d </result> </search> " + RIGHT, True, 0.0, 1.0),
    (" <think> a </think> <search> x </search> </result> <result> " + RIGHT, True, 0.0, 1.0),
    (SEARCHED + "<search> y </search> " + RIGHT, True, 0.0, 1.0),
    (SEARCHED + "<search> y </search> <result> e </result> " + RIGHT, True, 1.0, 1.0),
    (" <think> a </think> <search> <search> x </search> <result> d </result> " + RIGHT, True, 1.0, 1.0),
    (" <think> a </think> </search> <result> d </result> " + RIGHT, True, 1.0, 1.0),  # no search was opened
    (RIGHT, True, 0.0, 1.0),
    (" <think> a " + RIGHT, True, 0.0, 1.0),
    (" </think> a <think> " + RIGHT, True, 1.0, 1.0),  # paired in number is enough
    (" <think> a </think> " + RIGHT + RIGHT, True, 0.0, 1.0),
    (" <think> a </think> " + RIGHT + "<answer>", True, 0.0, 1.0),
    (" <think> a </think> </answer> \\boxed{Alan Turing} <answer>", True, 0.0, 0.0),
    (" <think> a </think> <answer> \\boxed{Alan Turing </answer> }", True, 0.0, 0.0),
    (" <think> a </think> <answer> \\boxed{Bob} or \\boxed{Alan Turing} </answer>", True, 1.0, 1.0),
    (" <think> a </think> \\boxed{Alan Turing} <answer> \\boxed{Bob} </answer>", True, 0.1, 0.1),
    (" <think> a </think> <answer> \\fbox{Alan Turing} </answer>", True, 0.0, 0.0),
    # Form asks for a braced box, but one with a space after it is the one that is read, whatever follows.
    (" <think> a </think> <answer> \\boxed Alan Turing$ \\boxed{Bob} </answer>", True, 1.0, 1.0),
    (" <think> a </think> <answer> \\boxed Alan Turing </answer>", True, 0.0, 1.0),
    (" <think> a </think> <answer> \\boxed{Bob} \\boxed </answer>", True, 0.1, 0.1),  # what is read is ""
    (box("yes"), True, 0.1, 0.1),
    (box(""), True, 0.1, 0.1),
    ("", True, 0.0, 0.0),
]


@pytest.mark.parametrize(("response", "finished", "code", "paper"), RESEARCH)
def test_research(response: str, finished: bool, code: float, paper: float) -> None:
    assert research_reward(response, GOLD, finished=finished) == pytest.approx(code)
    assert research_reward(response, GOLD, finished=finished, variant="paper") == pytest.approx(paper)
    # The same text with its end-of-turn token, which then decides.
    ended = response + EOS if finished else response
    assert research_reward(ended, GOLD, eos=EOS) == pytest.approx(code)
    assert research_reward(ended, GOLD, eos=EOS, variant="paper") == pytest.approx(paper)


def test_research_takes_the_best_of_the_answers() -> None:
    assert research_reward(box("Bob"), ["Alan", "Bob"]) == 1.0


def test_research_cuts_at_a_repeated_header() -> None:
    response = " <think> Assistant: </think>" + RIGHT
    assert research_reward(response, GOLD) == 0 == research_reward(response + EOS, GOLD, eos=EOS)
    assert research_reward(response, GOLD, variant="paper") == 1
    assert research_reward(response, GOLD, header="<|im_start|>assistant\n") == 1
    # What stands before a repeated header counts where it is complete, end-of-turn token included.
    assert research_reward(f"{box('Alan Turing')}{EOS}Assistant:", GOLD, eos=EOS) == 1


def test_research_looks_for_the_chat_header_first() -> None:
    # The whole text is split at "<|im_start|>assistant\n" where it holds one, else at "Assistant:"; part 1 counts.
    chat = "<|im_start|>assistant\n"
    assert research_reward(f" <think> a </think> {chat}{RIGHT}", GOLD) == 0  # no thought is left
    assert research_reward(f" <think> a {chat} Assistant: {box('Alan Turing')}", GOLD) == 1
    assert research_reward(f"<answer> {chat}{box('Alan Turing')}{EOS}{chat}", GOLD, eos=EOS) == 1
    assert research_reward(f"<answer> {chat}{box('Alan Turing')}{chat}{EOS}", GOLD, eos=EOS) == 0
    assert autotir_reward(f"<code>{chat}{box('Alan Turing')}", GOLD, tool="general") == 1


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("\\boxed{a}", "a"),
        ("\\boxed{a{b}c} d", "a{b}c"),
        ("\\boxed{a} \\boxed{b}", "b"),
        ("\\boxed{a", None),
        ("\\boxedx{a}", None),
        ("\\boxed", None),
        ("\\fbox{a}", None),
        ("\\boxed a$b", "a"),
        ("\\boxed a \\boxed b", "b"),
        ("\\boxed a \\boxed{b}", "a \\boxed{b}"),
        ("\\boxed{b} \\boxed ", ""),
        ("}\\boxed{a}}", "a"),
        ("general", None),
    ],
)
def test_the_box_of_the_math_data_set(text: str, content: str | None) -> None:
    assert hendrycks_box(text) == content


# AutoTIR --------------------------------------------------------------------------------------------------------

CODED = " <think> a </think> <code> x </code> <result> d </result> <think> b </think> "


@pytest.mark.parametrize(
    ("response", "tool", "reward"),
    [
        (SEARCHED + RIGHT, "search", 1.0),
        (CODED + RIGHT, "code", 1.0),
        (box("Alan Turing"), "general", 1.0),
        (box("Bob"), "general", 0.1),
        (CODED + RIGHT, "search", -0.1),
        (SEARCHED + RIGHT, "code", -0.1),
        (SEARCHED + RIGHT, "general", -0.1),
        (box("Alan Turing") + "</result>", "general", -0.1),  # any tag of a tool
        (SEARCHED + "<code>" + RIGHT, "search", -0.1),  # the opening tag is enough
        (SEARCHED + "</code>" + RIGHT, "search", 1.0),  # and the closing one is nothing
        (box("Alan Turing"), "search", 0.0),  # the tool was not used
        (box("Alan Turing"), "code", 0.0),
        (" <think> a </think> <code> x </code> " + RIGHT, "code", 0.0),
        (" <think> a <code> x </code> " + RIGHT, "search", 0.0),  # thoughts come first
        (CODED + RIGHT + RIGHT, "search", 0.0),  # and so do answer tags
        (SEARCHED + "<answer> Alan Turing </answer>", "search", 0.0),
        (SEARCHED + "<answer> \\fbox{Alan Turing} \\boxed{", "search", 0.0),
    ],
)
def test_autotir(response: str, tool: str, reward: float) -> None:
    assert autotir_reward(response, GOLD, tool=tool) == pytest.approx(reward)  # type: ignore[arg-type]
    # Unfinished responses earn nothing, and are punished for the wrong tool all the same.
    unfinished = min(reward, 0.0)
    assert autotir_reward(response, GOLD, tool=tool, finished=False) == unfinished  # type: ignore[arg-type]
    assert autotir_reward(response + EOS, GOLD, tool=tool, eos=EOS) == pytest.approx(reward)  # type: ignore[arg-type]


# ReCall ---------------------------------------------------------------------------------------------------------

CALL = '<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>'
LAST = "<think> b </think> so \\boxed{Alan Turing}"


@pytest.mark.parametrize(
    ("turns", "reward"),
    [
        ([f"<think> a </think> {CALL}", LAST], 1.0),
        ([f"<think> a </think> {CALL}\n{CALL}", LAST], 1.0),
        ([LAST], 1.0),
        (["<think> \\boxed{Alan Turing} </think>"], 1.0),  # the box may stand anywhere in the last turn
        (["<think> b </think> \\boxed{Bob}"], 0.1),
        ([f"<think> a </think> {CALL}", "<think> b </think> Alan Turing"], 0.0),
        ([LAST, "<think> b </think>"], 0.0),
        (["<think> b </think> \\box{Alan Turing}"], 0.0),  # the form is right, but no box is found
        ([f"a {CALL}", LAST], 0.0),
        ([f"<think> a {CALL}", LAST], 0.0),
        (["<think> a </think> <tool_call>", LAST], 0.0),
        (["<think> a </think> </tool_call><tool_call>", LAST], 1.0),  # paired in number, and nothing to read
        (['<think> a </think> <tool_call>{"name": "f"}</tool_call>', LAST], 0.0),
        (['<think> a </think> <tool_call>"name" "arguments"</tool_call>', LAST], 0.0),
        (['<think> a </think> <tool_call> ["name", "arguments"] </tool_call>', LAST], 1.0),  # JSON with the two words
        ([f'<think> a </think> <tool_call>{"[" * 100_000}"name" "arguments"</tool_call>', LAST], 0.0),
        ([f'<think> a </think> <tool_call>["name", "arguments", {"9" * 5000}]</tool_call>', LAST], 0.0),
        ([], 0.0),
    ],
)
def test_recall(turns: list[str], reward: float) -> None:
    assert recall_reward(turns, GOLD) == reward
    assert recall_reward(turns, GOLD, finished=False) == 0


def test_the_form_of_recall_needs_a_box_in_the_last_turn() -> None:
    assert recall_format([f"<think> a </think> {CALL}", LAST]) and recall_format(["<think> </think> \\box"])
    assert not recall_format([LAST, "<think> b </think>"])


def test_the_turns_of_a_chat() -> None:
    text = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n a <|im_end|>\n<|im_start|>assistant\nb"
    assert chat_turns(text) == ["a"]  # the last was never closed
    assert chat_turns(text + "<|im_end|>") == ["a", "b"]
    assert chat_turns("") == []


def test_unknown_variants_and_no_answers() -> None:
    with pytest.raises(InputError, match="variant must be 'code' or 'paper'"):
        research_reward("", ["x"], variant="blog")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="tool must be 'search', 'code' or 'general'"):
        autotir_reward("", ["x"], tool="wiki")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least one accepted answer"):
        research_reward(box("x"), [])
