"""The machine of text, against observations of the original class (wikienv.py and wrappers.py of ysymyth/ReAct)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolgym.tools import PageStore, WikiText

ALPHA = "Alpha is a town. It has 3 parks. Beta lives there.\nGamma was built in 1900. It is tall. It is old.\n"
STORE = PageStore({"Alpha": ALPHA, "Alpha (letter)": "Alpha may refer to: a letter", "Beta": "Beta is a letter."})
GREETING = "Interact with Wikipedia using search[], lookup[], and finish[].\n"
HEAD = "Alpha is a town. It has 3 parks. Beta lives there.. Gamma was built in 1900. It is tall."


def say(text: WikiText, *actions: str) -> list[str]:
    return [text.step(action) for action in actions]


def test_the_vectors_of_the_original_class() -> None:
    text = WikiText(STORE)
    assert text.observation == GREETING and text.steps == 0 and text.answer is None
    assert say(text, "search[Alpha]", *["lookup[it]"] * 4, "lookup[zzz]", "think[hm]", "Search[x]") == [
        HEAD,
        "(Result 1 / 3) It has 3 parks.",
        "(Result 2 / 3) It is tall.",
        "(Result 3 / 3) It is old..",
        "No more results.\n",
        "No more results.\n",
        "Nice thought.",
        "Invalid action: Search[x]",
    ]
    assert text.steps == 8 and not text.finished


def test_after_the_end_every_action_returns_the_last_observation_and_is_no_step() -> None:
    text = WikiText(STORE)
    assert text.step("finish[Ulm]") == "Episode finished, reward = 0\n"
    assert (text.steps, text.answer, text.finished) == (1, "Ulm", True)
    assert set(say(text, "lookup[it]", "search[Alpha]", "finish[Bern]", "")) == {"Episode finished, reward = 0\n"}
    assert (text.steps, text.answer) == (1, "Ulm")
    assert text.reset() == GREETING
    assert (text.steps, text.answer, text.observation) == (0, None, GREETING)
    assert text.step("lookup[it]") == "No more results.\n", "the page is closed again"


@pytest.mark.parametrize("answer, reward", [("yes", "1"), ("no", "0")])
@pytest.mark.parametrize("one", [1, 1.0])
def test_the_wrappers_rate_the_answer(answer: str, reward: str, one: float) -> None:
    text = WikiText(STORE, lambda given: one * (given == "yes"))
    assert text.step(f"finish[{answer}]") == f"Episode finished, reward = {reward}\n"


@pytest.mark.parametrize(
    "action",
    [
        "",
        "search",
        "search[Alpha",
        "search]",
        "Search[Alpha]",
        "search [Alpha]",
        "search[Alpha].",
        "[Alpha]",
        "look[x]",
    ],
)
def test_what_is_no_action_is_repeated_and_counts_as_a_step(action: str) -> None:
    text = WikiText(STORE)
    assert text.step(action) == f"Invalid action: {action}"
    assert text.steps == 1


def test_outer_whitespace_does_not_count_and_the_last_bracket_closes() -> None:
    text = WikiText(STORE)
    assert text.step(" \n search[Alpha]\t") == HEAD
    assert text.step(" bogus ") == "Invalid action: bogus"
    assert text.step("finish[a [b] c]]") == "Episode finished, reward = 0\n"
    assert text.answer == "a [b] c]"
    text.reset()
    text.step("finish[]")
    assert text.answer == "" and text.finished


def test_failed_searches_and_disambiguation_keep_page_and_lookup() -> None:
    text = WikiText(STORE)
    say(text, "search[Alpha]", "lookup[it]")
    assert text.step("search[Alfa]").startswith("Could not find Alfa. Similar: ['Alpha', 'Alpha (letter)', 'Beta']")
    assert text.step("search[Alpha (letter)]") == (
        "Could not find [Alpha (letter)]. Similar: ['Alpha (letter)', 'Alpha', 'Beta']."
    )
    assert text.step("lookup[it]") == "(Result 2 / 3) It is tall."
    assert text.step("lookup[beta]") == "(Result 1 / 1) Beta lives there.."
    assert text.step("lookup[it]") == "(Result 1 / 3) It has 3 parks.", "another keyword starts again"


@given(
    st.lists(
        st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(["finish[x]", "search[\ud800]"])
    )
)
@settings(deadline=None)
def test_any_text(actions: list[str]) -> None:
    text, steps = WikiText(STORE), 0
    for action in actions:
        steps += not text.finished
        assert text.step(action) == text.observation
        assert text.steps == steps
