import os
import pickle
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolgym.tools import InputError, PageStore, ToolCall, ToolRuntime, WikiTool
from toolgym.tools.retrievers import Corpus, Passage
from toolgym.tools.wiki_pages import read_page, split_sentences
from toolgym.tools.wiki_titles import LONGEST_QUERY, TitleIndex

ALPHA = "Alpha is a town. It has 3 parks. Beta lives there.\nGamma was built in 1900. It is tall. It is old.\n"
STORE = PageStore(
    {
        "Alpha": ALPHA,
        "Beta Street": "A short street. It is long.",
        "ALPHA": "It is loud.",
        "Einstein": "He was a physicist.",
        "Beach": "Beach may refer to:\nBeach (film), a film",
        "Beach (film)": "Beach is a film.",
    }
)
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)


def make(store: PageStore = STORE) -> ToolRuntime:
    return ToolRuntime([WikiTool(store)])


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
    runtime = make(PageStore({"Alpha": ALPHA, "Beta Street": "A short street."}))
    say(runtime, "search", "Alpha")
    say(runtime, "lookup", "it")
    assert say(runtime, "search", "Beta") == "Could not find Beta. Similar: ['Beta Street', 'Alpha']."
    assert say(runtime, "lookup", "it") == "(Result 2 / 3) It is tall."
    say(runtime, "search", "Alpha")
    assert say(runtime, "lookup", "it") == "(Result 1 / 3) It has 3 parks."


def test_a_disambiguation_page_is_not_opened_and_its_name_is_searched_in_brackets() -> None:
    runtime = make()
    say(runtime, "search", "Alpha")
    say(runtime, "lookup", "it")
    # Nearest to "[beach]" are the titles with the trigrams of " beach ", the shorter first, then those with fewer.
    found = say(runtime, "search", "beach")
    assert found.startswith("Could not find [beach]. Similar: ['Beach', 'Beach (film)', ") and found.endswith("].")
    assert say(runtime, "lookup", "it") == "(Result 2 / 3) It is tall.", "page and place stay"
    assert say(runtime, "search", "Beach (film)") == "Beach is a film.."


def test_a_page_can_be_named_as_one_of_disambiguation() -> None:
    pages = {"Mercury": "A planet, an element or a god", "[Mercury]": "A page with brackets.", "Venus": "A planet too."}
    assert say(make(PageStore(pages)), "search", "Mercury") == "A planet, an element or a god."
    store = PageStore(pages, disambiguations=["Mercury"])
    assert say(make(store), "search", "Mercury") == "A page with brackets.."
    store = PageStore(pages, disambiguations=["Mercury", "[Mercury]"])
    assert say(make(store), "search", "Mercury").startswith("Could not find [[Mercury]]. Similar: ['Mercury', ")
    corpus = [Passage("1", "Mercury", "A planet, or another thing.")]
    assert PageStore.from_corpus(corpus, ["Mercury"]).is_disambiguation("Mercury")
    with pytest.raises(InputError, match="has the title 'Mars'"):
        PageStore(pages, disambiguations=["Mars"])


def test_paragraphs_of_two_words_are_left_out() -> None:
    # Words are what single spaces part: "two  words" counts three, and outer spaces count none.
    page = "Heading\n  Two words  \nNow three words. Yes.\ntwo  words\n"
    assert read_page(page) == ["Now three words.", "Yes..", "two  words."]
    runtime = make(PageStore({"A": page, "B": "Too short"}))
    assert say(runtime, "search", "A") == "Now three words. Yes.. two  words."
    assert say(runtime, "lookup", "heading") == "No more results.\n"
    assert say(runtime, "search", "B") == ""
    assert say(runtime, "lookup", "words") == "No more results.\n", "the empty page is open"


def test_every_sentence_contains_the_empty_keyword() -> None:
    runtime = make()
    say(runtime, "search", "Alpha")
    assert say(runtime, "lookup", "") == "(Result 1 / 6) Alpha is a town."


def test_titles_match_exactly_first_then_without_case_and_form() -> None:
    runtime = make()
    assert say(runtime, "search", "ALPHA") == "It is loud.."
    assert say(runtime, "search", " alpha ").startswith("Alpha is a town.")
    assert STORE.find("beta_STREET") == STORE.find(" Beta   street") == "Beta Street"
    assert STORE.find("Alph") is None and STORE.find("[Alpha]") is None
    assert PageStore({"Éire": "x"}).find("e\u0301ire") == "Éire"


def test_misspelt_titles_are_found_and_the_list_is_short_and_stable() -> None:
    assert STORE.similar("Einstien")[0] == "Einstein"
    # Every title has the trigrams of "Town" and two of its own, so that all are equally near and stand in order.
    many = PageStore({f"Town {letter}": "x" for letter in "ABCDEFGHIJ"})
    assert many.similar("Town") == ["Town A", "Town B", "Town C", "Town D", "Town E"]
    assert many.similar("town h")[:2] == ["Town H", "Town A"]
    assert many.similar("qq") == many.similar("") == many.similar("Town"), "some titles are always named"
    assert len(many.similar("Town", 10)) == len(many.similar("Town", 11)) == 10
    assert PageStore({"!?": "x", "A": "y"}).similar("!?", 1) == ["!?"]
    assert PageStore({"_": "x"}).similar("Town") == ["_"]
    with pytest.raises(InputError, match="at least one"):
        many.similar("Town", 0)


def test_nearness_by_hand() -> None:
    # Trigrams: " ab" "ab " | " ab" "abc" "bc " | " xy" "xy ". Query " ab" "abd" "bd ": only " ab" is known, and it
    # has the same weight in both; cosine puts the title first that has less beside it.
    assert TitleIndex(["xy", "abc", "ab"]).nearest("ABD!", 3) == [2, 1, 0]
    assert TitleIndex(["Paul Erlich", "Pál Erdős"]).nearest("Erdos", 1) == [1]


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
        make(PageStore({"X": "y"})).restore(state)


def test_a_store_needs_pages_with_titles() -> None:
    with pytest.raises(InputError, match="at least one page"):
        PageStore({})
    with pytest.raises(InputError, match="empty title"):
        PageStore({" ": "x"})


@given(st.dictionaries(ANY_TEXT.filter(str.strip), ANY_TEXT, min_size=1, max_size=8), ANY_TEXT)
def test_any_titles_and_any_entity(pages: dict[str, str], entity: str) -> None:
    store = PageStore(pages)
    similar = store.similar(entity)
    assert len(similar) == len(set(similar)) == min(5, len(pages)) and set(similar) <= set(pages)
    runtime = make(store)
    say(runtime, "search", entity).encode()
    say(runtime, "lookup", entity).encode()
    found = store.find(entity)
    assert (found == entity) if entity in pages else (found is None or found in pages)


def test_large_stores_and_huge_entities_are_quick() -> None:
    store = PageStore({f"Title {n:x} of a {n % 977}th kind": "x" for n in range(100_000)})
    start = time.process_time()
    assert store.similar("Title ff of")[0].startswith("Title ff of")
    first, start = time.process_time() - start, time.process_time()
    for entity in ("ab " * 350_000, "x" * 2**20, "\x00" * 2**20, "\ud800" * 2**20):
        assert store.find(entity) is None and len(store.similar(entity)) == 5
    assert LONGEST_QUERY == 300 and STORE.similar("ab " * 100 + "Einstein")[0] == "Alpha", "the name is not read"
    assert STORE.similar("ab " * 90 + "Einstein")[0] == "Einstein"
    assert first < 4 and time.process_time() - start < 2, "about 0.7 s and 0.2 s on a quiet core"


def test_a_store_is_pickled_without_its_index_and_shared_between_threads() -> None:
    store = PageStore({f"Town {n}": "x" for n in range(2000)})
    bare = len(pickle.dumps(store))
    answers: list[list[str]] = []
    threads = [threading.Thread(target=lambda: answers.append(store.similar("Twon 77"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4 and all(answer == answers[0] for answer in answers)
    data = pickle.dumps(store)
    assert len(data) == bare
    assert pickle.loads(data).similar("Twon 77") == answers[0]


def test_similar_titles_are_the_same_in_another_process() -> None:
    code = "from toolgym.tools import PageStore\nprint(PageStore({f'T {n} x': 'x' for n in range(99)}).similar('T 1'))"
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "9"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == str(PageStore({f"T {n} x": "x" for n in range(99)}).similar("T 1"))
