import pytest

from toolgym.tools import InputError, PageStore, ToolCall, ToolRuntime, WikiTool
from toolgym.tools.retrievers import Corpus, Passage
from toolgym.tools.wiki import split_sentences

ALPHA = "Alpha is a town. It has 3 parks. Beta lives there.\nGamma was built in 1900. It is tall. It is old.\n"
STORE = PageStore(
    {"Alpha": ALPHA, "Beta Street": "A street. It is long.", "ALPHA": "Loud.", "Einstein": "A physicist."}
)


def make() -> ToolRuntime:
    return ToolRuntime([WikiTool(STORE)])


def say(runtime: ToolRuntime, name: str, text: str) -> str:
    return runtime.call(ToolCall(name, {"entity" if name == "search" else "keyword": text})).output


def test_the_vectors_of_the_original_environment() -> None:
    runtime = make()
    assert say(runtime, "lookup", "it") == "No more results.\n"
    first = "Alpha is a town. It has 3 parks. Beta lives there.. Gamma was built in 1900. It is tall."
    assert say(runtime, "search", "Alpha") == first
    assert [say(runtime, "lookup", "it") for _ in range(5)] == [
        "(Result 1 / 3) It has 3 parks.",
        "(Result 2 / 3) It is tall.",
        "(Result 3 / 3) It is old..",
        "No more results.\n",
        "No more results.\n",
    ]
    assert say(runtime, "lookup", "zzz") == "No more results.\n"
    assert say(runtime, "lookup", "IT") == "(Result 1 / 3) It has 3 parks."


def test_a_failed_search_lists_titles_and_keeps_page_and_place() -> None:
    runtime = make()
    say(runtime, "search", "Alpha")
    say(runtime, "lookup", "it")
    assert say(runtime, "search", "Beta") == "Could not find Beta. Similar: ['Beta Street']."
    assert say(runtime, "lookup", "it") == "(Result 2 / 3) It is tall."
    say(runtime, "search", "Alpha")
    assert say(runtime, "lookup", "it") == "(Result 1 / 3) It has 3 parks."


def test_titles_match_exactly_first_then_without_case() -> None:
    runtime = make()
    assert say(runtime, "search", "ALPHA") == "Loud.."
    assert say(runtime, "search", " alpha ").startswith("Alpha is a town.")
    assert STORE.find("Alph") is None


def test_misspelt_titles_are_found_and_the_list_is_short_and_stable() -> None:
    assert STORE.similar("Einstien")[0] == "Einstein"
    assert STORE.similar("!?") == []
    many = PageStore({f"Town {n}": "x" for n in range(40)})
    assert many.similar("Town") == [f"Town {n}" for n in range(5)]
    assert PageStore({"!?": "x"}).similar("Town") == []


def test_passages_of_one_title_become_paragraphs_in_order() -> None:
    corpus = Corpus([Passage("1", "A", "one. two"), Passage("2", "B", "three"), Passage("3", "A", "four")])
    store = PageStore.from_corpus(corpus)
    assert dict(store) == {"A": "one. two\nfour", "B": "three"}
    assert split_sentences(store["A"]) == ["one.", "two.", "four."]


def test_fork_snapshot_and_restore_keep_the_place() -> None:
    runtime = make()
    say(runtime, "search", "Alpha")
    say(runtime, "lookup", "it")
    twin, state = runtime.fork(), runtime.snapshot()
    assert say(runtime, "lookup", "it") == "(Result 2 / 3) It is tall."
    assert say(runtime, "lookup", "it") == "(Result 3 / 3) It is old.."
    assert say(twin, "lookup", "it") == "(Result 2 / 3) It is tall."
    runtime.restore(state)
    assert say(runtime, "lookup", "it") == "(Result 2 / 3) It is tall."
    with pytest.raises(ValueError, match="'Alpha' is not in this store"):
        ToolRuntime([WikiTool(PageStore({"X": "y"}))]).restore(state)


def test_a_store_needs_pages_with_titles() -> None:
    with pytest.raises(InputError, match="at least one page"):
        PageStore({})
    with pytest.raises(InputError, match="empty title"):
        PageStore({" ": "x"})
