"""Recordings: what is kept, what comes back, and what a file may have gone through."""

import json
import os
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolgym.tools import (
    InputError,
    SearchTool,
    StatelessSession,
    Tool,
    ToolCall,
    ToolResult,
    ToolRuntime,
    ToolStatus,
    tool,
)
from toolgym.tools.base import FunctionSchema
from toolgym.tools.cassettes import Cassette, MissingRecording
from toolgym.tools.errors import ToolUnavailable
from toolgym.tools.identity import identity_of
from toolgym.tools.recordings import RecordingFile, request_key
from toolgym.tools.retrievers import (
    BM25Retriever,
    Corpus,
    DenseRetriever,
    HttpRetriever,
    HybridRetriever,
    Passage,
    RerankingRetriever,
    Retriever,
    ScoredPassage,
)
from toolgym.tools.retrievers.encoders import FunctionEncoder

CORPUS = Corpus([Passage("a", "Bern", "Bern is a city."), Passage("b", "Paris \ud800", "A city.")])
LOCAL = BM25Retriever(CORPUS)


class Counting:
    """A retriever that counts what it is asked; each time its scores are others."""

    def __init__(self):
        self.asked = []

    def search(self, query, k):
        return self.search_batch([query], k)[0]

    def search_batch(self, queries, k):
        self.asked.append(list(queries))
        return [[ScoredPassage(Passage(query, "T", "text"), 0.1 * len(self.asked))] for query in queries]


class Varied(Tool):
    """Does with a call what the word says."""

    timeout = 0.1
    max_output_characters = 100

    def __init__(self, draws=False):
        self.calls, self.draws = 0, draws

    @property
    def functions(self):
        schema = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
        return [FunctionSchema("do", "Does.", schema)]

    def open(self, seed=0):
        return VariedSession(self, seed)


class VariedSession(StatelessSession):
    def __init__(self, tool, seed):
        self.tool, self.seed = tool, seed

    def call(self, call):
        self.tool.calls += 1
        match call.arguments["word"]:
            case "raise":
                raise KeyError("no such thing")
            case "gone":
                raise ToolUnavailable("gone")
            case "hang":
                time.sleep(0.4)
            case "flood":
                return ToolResult(ToolStatus.OK, "x" * 1000)
            case "odd":
                return ToolResult(ToolStatus.OK, "odd", metadata={"object": object()})
        metadata = {"number": 0.1 + 0.2, "nan": float("inf"), "nested": [1, {"a": None}], "calls": self.tool.calls}
        return ToolResult(ToolStatus.OK, f"\ud800 {self.seed}", metadata=metadata)


def essence(result):
    return result.status, result.output, result.omitted_characters, result.metadata


def ask(tool, word, seed=0):
    with ToolRuntime([tool], seed) as runtime:
        return essence(runtime.call(ToolCall("do", {"word": word})))


def test_a_retriever_is_asked_once_and_replayed_to_the_last_bit(tmp_path):
    path = tmp_path / "new" / "tape.jsonl"
    queries = ["bern city", "zebra", "paris", "bern city", "\ud800"]
    recording = Cassette(path).wrap(LOCAL)
    assert isinstance(recording, Retriever)
    expected = LOCAL.search_batch(queries, 2)
    assert recording.search_batch(queries, 2) == expected
    cassette = Cassette(path, "replay")
    replayed = cassette.wrap(LOCAL)
    assert replayed.search_batch(queries, 2) == expected and replayed.search("paris", 2) == expected[2]
    assert (len(cassette), cassette.hits, cassette.misses) == (4, 6, 0)
    with pytest.raises(MissingRecording, match=r"tape.jsonl has no recording of .*'query': 'paris', 'k': 3"):
        replayed.search("paris", 3)


def test_equal_requests_get_equal_responses_in_every_mode(tmp_path):
    for mode in ("auto", "record"):
        inner = Counting()
        outer = Cassette(tmp_path / f"{mode}.jsonl", mode).wrap(inner)
        rows = outer.search_batch(["a", "b", "a"], 1)
        assert rows[0] == rows[2] == outer.search("a", 1) and inner.asked == [["a", "b"]]
        rows[0].clear()
        assert outer.search("a", 1)


def test_modes(tmp_path):
    path = tmp_path / "tape.jsonl"
    assert Cassette(path, "off").wrap(LOCAL) is LOCAL and not path.exists()
    first = Cassette(path, "auto").wrap(Counting(), "index").search("a", 1)
    inner = Counting()
    inner.asked.append("something")
    assert Cassette(path, "auto").wrap(inner, "index").search("a", 1) == first
    again = Cassette(path, "record").wrap(inner, "index").search("a", 1)
    assert again != first  # asked anew,
    assert Cassette(path, "replay").wrap(Counting(), "index").search("a", 1) == again  # and over what was there
    with pytest.raises(InputError, match="unknown cassette mode 'rewind'; choose from record, replay, auto, off"):
        Cassette(path, "rewind")
    with pytest.raises(InputError, match="does not exist; record it first"):
        Cassette(tmp_path / "none.jsonl", "replay")


def test_a_recording_of_nothing_is_replayed(tmp_path):
    for mode in ("record", "auto"):
        Cassette(tmp_path / "new" / f"{mode}.jsonl", mode)
        assert len(Cassette(tmp_path / "new" / f"{mode}.jsonl", "replay")) == 0


def test_tools_are_replayed_with_status_text_cuts_and_metadata(tmp_path):
    path, words = tmp_path / "tape.jsonl", ["raise", "hang", "flood", "fine"]
    direct = [ask(Varied(), word) for word in words]
    assert [status for status, *_ in direct] == [ToolStatus.ERROR, ToolStatus.TIMEOUT, ToolStatus.OK, ToolStatus.OK]
    recorded = [ask(Cassette(path).wrap(Varied()), word) for word in words]
    inner = Varied()
    outer = Cassette(path, "replay").wrap(inner)
    replayed = [ask(outer, word) for word in words]
    assert replayed == recorded == direct and inner.calls == 0
    assert outer.functions == inner.functions and outer.timeout is None


def test_what_is_no_result_is_not_recorded(tmp_path):
    cassette = Cassette(tmp_path / "tape.jsonl")
    outer = cassette.wrap(Varied())
    with pytest.raises(ToolUnavailable, match=r"^gone$"):
        ask(outer, "gone")
    with pytest.raises(ToolUnavailable, match=r"cannot be recorded: .*not JSON serializable"):
        ask(outer, "odd")
    with pytest.raises(MissingRecording, match="'word': 'new'"):
        open(tmp_path / "empty.jsonl", "w").close()
        ask(Cassette(tmp_path / "empty.jsonl", "replay").wrap(Varied()), "new")
    assert len(cassette) == 0


def test_a_tool_that_draws_is_recorded_for_each_seed(tmp_path):
    inner = Varied(draws=True)
    outer = Cassette(tmp_path / "tape.jsonl").wrap(inner)
    first, second = ask(outer, "fine", seed=1), ask(outer, "fine", seed=2)
    assert first != second and ask(outer, "fine", seed=1) == first and inner.calls == 2


def test_what_is_no_tool_is_refused(tmp_path):
    with pytest.raises(InputError, match="not int"):
        Cassette(tmp_path / "tape.jsonl").wrap(3)


def test_identities_keep_recordings_apart(tmp_path):
    other = BM25Retriever(Corpus([Passage("a", "Bern", "Another text.")]))
    cassette = Cassette(tmp_path / "tape.jsonl")
    tools = [SearchTool(LOCAL), SearchTool(LOCAL, k=1), SearchTool(other), SearchTool(LOCAL, description="Other.")]
    for tool_ in tools:
        ToolRuntime([cassette.wrap(tool_)]).call(ToolCall("search", {"query": "bern"}))
    assert len(cassette) == len(tools)
    here, there = HttpRetriever("http://here"), HttpRetriever("http://there")
    assert cassette.wrap(here).identity != cassette.wrap(there).identity
    assert cassette.wrap(here, "wiki").identity == cassette.wrap(there, "wiki").identity
    assert cassette.wrap(here).bounds_its_time and not cassette.wrap(LOCAL).bounds_its_time


def test_composed_retrievers_are_known_by_all_their_parts():
    class Scorer:
        def __init__(self, weights):
            self.description = {"weights": weights}

        def scores(self, query, texts):
            return [0.0 for _ in texts]

    def encoder(name):
        return FunctionEncoder(lambda texts: [[len(text), 1.0] for text in texts], name)

    remote = HttpRetriever("http://there")
    makers = [
        *(DenseRetriever(CORPUS, encoder(name)) for name in ("one", "two")),
        DenseRetriever(CORPUS, encoder("one"), "hnsw"),
        *(HybridRetriever([LOCAL, remote], k=k) for k in (60, 61)),
        HybridRetriever([LOCAL, LOCAL]),
        *(RerankingRetriever(LOCAL, Scorer(weights)) for weights in ("a", "b")),
        RerankingRetriever(remote, Scorer("a")),
    ]
    keys = {request_key(identity_of(retriever)) for retriever in makers}
    assert len(keys) == len(makers)
    assert [SearchTool(retriever).timeout is None for retriever in makers] == [
        *(False, False, False),
        *(True, True, False),
        *(False, False, True),
    ]


def test_a_function_tool_on_a_cassette(tmp_path):
    @tool
    def double(number: int) -> str:
        """Doubles.

        Args:
            number: A number.
        """
        return str(number * 2)

    wrapped = Cassette(tmp_path / "tape.jsonl").wrap(double)
    assert ToolRuntime([wrapped]).call(ToolCall("double", {"number": 4})).output == "8"
    assert ToolRuntime([wrapped]).call(ToolCall("double", {"number": "x"})).status is ToolStatus.BAD_ARGUMENTS


def test_a_cut_off_last_line_is_left_out_with_a_notice_and_written_over(tmp_path):
    path = tmp_path / "tape.jsonl"
    Cassette(path).wrap(Counting(), "index").search_batch(["a", "b"], 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.warns(UserWarning, match=r"tape.jsonl: the last line is cut off"):
        cassette = Cassette(path)
    assert len(cassette) == 1
    with pytest.warns(UserWarning, match="cut off"):
        cassette.wrap(Counting(), "index").search("b", 1)
    assert len(Cassette(path, "replay")) == 2 and path.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"format": 1}', '{"format": 2, "key": "k", "response": 1}', "null", '{"format": 1, "key": "k"}'],
)
def test_damage_elsewhere_is_an_error(tmp_path, line):
    path = tmp_path / "tape.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=r"tape.jsonl: (what stands at byte 0 is no recording|format 2, expected 1)"):
        Cassette(path, "replay")


def test_threads_ask_once(tmp_path):
    inner, barrier = Counting(), threading.Barrier(8)
    cassette = Cassette(tmp_path / "tape.jsonl")
    outer, found = cassette.wrap(inner), []

    def work(number):
        barrier.wait()
        for i in range(20):
            batch = [str((i + j * number) % 20) for j in range(3)]
            found.extend(row[0] for row in outer.search_batch(batch, 1))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked = [query for queries in inner.asked for query in queries]
    assert sorted(asked) == sorted(set(asked)) and len(asked) == 20 == len(cassette)
    scores = {}
    assert all(scores.setdefault(hit.passage.id, hit.score) == hit.score for hit in found)
    assert len(Cassette(cassette.path, "replay")) == 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_write_one_file_and_the_first_counts(tmp_path):
    path = tmp_path / "tape.jsonl"
    children = []
    for number in range(4):
        child = os.fork()
        if not child:
            inner = Counting()
            inner.asked = [None] * number  # so that each process would give other scores
            outer = Cassette(path).wrap(inner, "index")
            for i in range(50):
                outer.search(str((i * (2 * number + 1)) % 50), 1)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 50


def test_secrets_stay_out_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("SEARCH_KEY", 'se"cret-value')
    monkeypatch.setenv("SHORT", "abc")
    monkeypatch.delenv("UNSET", raising=False)
    path = tmp_path / "tape.jsonl"
    cassette = Cassette(path, secrets=["SEARCH_KEY", "UNSET"])
    (hit,) = cassette.wrap(Counting()).search('my se"cret-value', 1)
    assert "cret-value" not in path.read_text() and "{env:SEARCH_KEY}" in path.read_text()
    assert hit.passage.id == "my {env:SEARCH_KEY}"
    with pytest.raises(InputError, match="SHORT has less than 6 characters"):
        Cassette(path, secrets=["SHORT"])


def test_a_file_that_cannot_be_read_or_written(tmp_path):
    with pytest.raises(InputError, match=r"give a file that can be read and written"):
        Cassette(tmp_path)
    cassette = Cassette(tmp_path / "tape.jsonl")
    with pytest.raises(InputError, match=r"give a file that can be read and written"):
        Cassette(tmp_path / "tape.jsonl" / "in a file", "record")
    (tmp_path / "tape.jsonl").unlink()
    (tmp_path / "tape.jsonl").mkdir()
    with pytest.raises(ToolUnavailable, match="cannot be recorded"):
        cassette.wrap(Counting()).search("a", 1)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=())),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=5), JSON, max_size=3), JSON)
def test_any_json_comes_back_and_the_key_is_of_the_content(tmp_path, request_, response):
    path = tmp_path / "tape.jsonl"
    path.unlink(missing_ok=True)
    key = request_key(request_)
    assert key == request_key(dict(reversed(request_.items())))
    RecordingFile(path).append(key, request_, response)
    file = RecordingFile(path)
    file.read()
    assert file[key] == response and json.dumps(file[key]) == json.dumps(response)
