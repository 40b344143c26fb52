"""Recordings of tools with state: a session is the list of its calls."""

import json
import pickle
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolgym.tools import (
    McpServer,
    McpTools,
    PageStore,
    PythonTool,
    StatelessSession,
    Tool,
    ToolCall,
    ToolPolicy,
    ToolResult,
    ToolRuntime,
    ToolSession,
    ToolStatus,
    WikiTool,
    tool,
)
from toolgym.tools.base import FunctionSchema
from toolgym.tools.cassettes import Cassette, MissingRecording
from toolgym.tools.errors import ToolUnavailable
from toolgym.tools.recorded_tools import ChangedAnswer
from toolgym.tools.recordings import request_key


class Adder(Tool):
    """Adds numbers within a session. `log` has every number that reached it, `opened` every session."""

    timeout = None

    def __init__(self, start=0, draws=False):
        self.start, self.draws, self.log, self.opened = start, draws, [], 0

    @property
    def functions(self):
        schema = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
        return [FunctionSchema("add", "Adds.", schema)]

    def open(self, seed=0):
        self.opened += 1
        return _AdderSession(self, self.start + (1000 * seed if self.draws else 0))


class _AdderSession(ToolSession):
    def __init__(self, tool, total):
        self.tool, self.total = tool, total

    def call(self, call):
        number = call.arguments["number"]
        self.tool.log.append(number)
        if number == 66:
            raise ToolUnavailable("gone")
        if number == 99:
            time.sleep(5)
        if number < 0:
            raise ValueError("negative")
        self.total += number
        return ToolResult(ToolStatus.OK, str(self.total), metadata={"total": self.total})

    def fork(self):
        return _AdderSession(self.tool, self.total)

    def snapshot(self):
        return str(self.total).encode()

    def restore(self, snapshot):
        self.total = int(snapshot)


class Unreachable(Adder):
    """Of the same name and functions, but no session of it can be opened."""

    def open(self, seed=0):
        raise ToolUnavailable("nobody is there")


def recorded(path, inner, mode="auto"):
    return Cassette(path, mode).wrap(inner, "adder")


def add(runtime, *numbers):
    """What the calls give, by text; the status, where it is not OK."""
    results = [runtime.call(ToolCall("add", {"number": number})) for number in numbers]
    return [result.output if result.ok else result.status.value for result in results]


def test_a_session_is_recorded_and_replayed_without_one(tmp_path):
    path = tmp_path / "tape.jsonl"
    with ToolRuntime([recorded(path, Adder())]) as runtime:
        assert add(runtime, 1, 2, -1, 2) == ["1", "3", "error", "5"]
    with ToolRuntime([recorded(path, Unreachable(), "replay")]) as runtime:
        assert add(runtime, 1, 2, -1, 2) == ["1", "3", "error", "5"]
        with pytest.raises(MissingRecording, match="'number': 7"):
            add(runtime, 7)
    with ToolRuntime([recorded(path, Unreachable(), "replay")]) as runtime, pytest.raises(MissingRecording):
        add(runtime, 2)  # recorded after 1, and not as a first call


def test_a_request_names_the_one_before_it(tmp_path):
    path = tmp_path / "tape.jsonl"
    with ToolRuntime([recorded(path, Adder())]) as runtime:
        add(runtime, 1, 1)
    state, first, second = map(json.loads, path.read_text().splitlines())
    assert state["request"] == {"tool": {"name": "adder"}, "sessions": "state"}
    assert first["request"]["after"] == "" and second["request"]["after"] == first["key"]
    assert second["key"] == request_key(second["request"]) != first["key"]
    assert second["response"]["output"] == "2" and second["response"]["metadata"] == {"total": 2}


def test_stateless_recordings_are_as_they_were(tmp_path):
    """A file that was written before sessions could be recorded."""

    @tool
    def double(number: int) -> str:
        """Doubles.

        Args:
            number: A number.
        """
        raise AssertionError("a replay calls nothing")

    path = tmp_path / "tape.jsonl"
    request = '{"arguments":{"number":4},"function":"double","tool":{"name":"doubler"}}'  # sorted, without spaces
    response = {"status": "ok", "output": "8", "seconds": 0.1, "omitted_characters": 0, "metadata": {}}
    more = {"queue_seconds": 0.0, "retries": 0, "cached": None}
    entry = {"format": 1, "key": sha256(request.encode()).hexdigest(), "request": json.loads(request)}
    path.write_text(json.dumps({**entry, "response": {**response, **more}}) + "\n")
    wrapped = Cassette(path, "replay").wrap(double, "doubler")
    assert ToolRuntime([wrapped]).call(ToolCall("double", {"number": 4})).output == "8"


def test_what_is_recorded_needs_no_tool_in_any_mode(tmp_path):
    """A tool that cannot be opened, with and without state, in mode `auto`."""
    path = tmp_path / "tape.jsonl"
    with ToolRuntime([recorded(path, Adder())]) as runtime:
        add(runtime, 1, 2)
    with ToolRuntime([recorded(path, Unreachable())]) as runtime:
        assert add(runtime, 1, 2) == ["1", "3"]
        with pytest.raises(ToolUnavailable):
            add(runtime, 3)

    class Stateless(Adder):
        reachable = True

        def open(self, seed=0):
            if not self.reachable:
                raise ToolUnavailable("gone")
            return _Stateless()

    class _Stateless(StatelessSession):
        def call(self, call):
            return ToolResult(ToolStatus.OK, str(call.arguments["number"]))

    inner = Stateless()
    with ToolRuntime([Cassette(path).wrap(inner, "stateless")]) as runtime:
        add(runtime, 1, 2)
    inner.reachable = False
    for mode in ("auto", "replay"):
        with ToolRuntime([Cassette(path, mode).wrap(inner, "stateless")]) as runtime:
            assert add(runtime, 2, 1) == ["2", "1"]
            snapshot, fork = runtime.snapshot(), runtime.fork()
            fork.restore(snapshot)
            assert add(fork, 2) == ["2"]
            for _ in range(2):
                with pytest.raises(ToolUnavailable):
                    add(fork, 3)
            fork.close()


def test_a_miss_after_hits_makes_the_earlier_calls_first(tmp_path):
    path = tmp_path / "tape.jsonl"
    with ToolRuntime([recorded(path, Adder())]) as runtime:
        add(runtime, 1, 2)
    inner = Adder()
    cassette = Cassette(path)
    with ToolRuntime([cassette.wrap(inner, "adder")]) as runtime:
        assert add(runtime, 1, 2) == ["1", "3"] and inner.log == [] and inner.opened == 0
        assert add(runtime, 4) == ["7"] and inner.log == [1, 2, 4]
        assert add(runtime, 8) == ["15"] and inner.log == [1, 2, 4, 8]  # it goes on where it stands
    assert (cassette.hits, cassette.misses) == (2, 2)
    inner = Adder()
    with ToolRuntime([recorded(path, inner)]) as first, ToolRuntime([recorded(path, Adder())]) as second:
        add(first, 5)
        assert add(second, 5, 6) == ["5", "11"]
    with ToolRuntime([recorded(path, inner)]) as runtime:
        # A miss, a hit and a miss: the hit is made up for in the session that is open.
        assert add(runtime, 5, 6, 7) == ["5", "11", "18"] and inner.log == [5, 5, 6, 7]


def test_an_earlier_call_that_now_gives_something_else_is_an_error(tmp_path):
    path = tmp_path / "tape.jsonl"
    with ToolRuntime([recorded(path, Adder())]) as runtime:
        add(runtime, 1, 2)
    with ToolRuntime([recorded(path, Adder(start=100))]) as runtime:
        assert add(runtime, 1, 2) == ["1", "3"]
        with pytest.raises(ChangedAnswer, match=r"call 1 of 2, add\({'number': 1}\), now gives ok '101' instead"):
            add(runtime, 3)
    with ToolRuntime([recorded(path, Adder(start=100), "record")]) as runtime:
        assert add(runtime, 1, 2) == ["101", "103"]  # asked anew
    with ToolRuntime([recorded(path, Unreachable(), "replay")]) as runtime:
        assert add(runtime, 1, 2) == ["101", "103"]


def test_forks_and_snapshots(tmp_path):
    path, inner = tmp_path / "tape.jsonl", Adder()
    with ToolRuntime([recorded(path, inner)]) as runtime:
        add(runtime, 1)
        fork, snapshot = runtime.fork(), runtime.snapshot()
        assert add(runtime, 2) == ["3"] and add(fork, 4) == ["5"] and inner.log == [1, 2, 4]
        runtime.restore(snapshot)
        assert add(runtime, 8) == ["9"] and inner.log == [1, 2, 4, 1, 8]
        fork.close()
    with ToolRuntime([recorded(path, Unreachable(), "replay")]) as runtime:
        add(runtime, 1)
        fork, other = runtime.fork(), runtime.snapshot()
        assert other == snapshot
        assert add(runtime, 2) == ["3"] and add(fork, 4) == ["5"]
        fork.restore(snapshot)
        assert add(fork, 8) == ["9"]
        fork.close()


def test_a_timeout_leaves_a_fresh_session_and_is_not_waited_for_again(tmp_path):
    path = tmp_path / "tape.jsonl"
    slow = Adder()
    slow.timeout = 0.1
    with ToolRuntime([recorded(path, slow)]) as runtime:
        assert add(runtime, 1, 99, 2) == ["1", "timeout", "2"]
    inner = Adder()
    with ToolRuntime([recorded(path, inner)]) as runtime:
        assert add(runtime, 1, 99, 2, 3) == ["1", "timeout", "2", "5"] and inner.log == [2, 3]
    wrapped = recorded(path, slow)
    with ToolRuntime([wrapped]) as first, ToolRuntime([wrapped]) as second:
        add(first, 5)
        assert add(second, 5, 99) == ["5", "timeout"]
        slow.log.clear()
        # The first one's inner session has seen the 5 alone; a fresh one takes its place.
        assert add(first, 99, 3) == ["timeout", "3"] and slow.log == [3]


def test_an_unavailable_tool_is_not_recorded_and_leaves_the_session_usable(tmp_path):
    cassette, inner = Cassette(tmp_path / "tape.jsonl"), Adder()
    with ToolRuntime([cassette.wrap(inner, "adder")]) as runtime:
        add(runtime, 1)
        with pytest.raises(ToolUnavailable, match=r"^gone$"):
            add(runtime, 66)
        assert add(runtime, 2) == ["3"] and inner.log == [1, 66, 1, 2]
    assert len(cassette) == 3  # that there is state, and the two calls


def test_the_seed_counts_where_the_tool_draws(tmp_path):
    for draws, expected in ((True, "2001"), (False, "1")):
        path, inner = tmp_path / f"{draws}.jsonl", Adder(draws=draws)
        wrapped = recorded(path, inner)
        with ToolRuntime([wrapped], seed=1) as first, ToolRuntime([wrapped], seed=2) as second:
            add(first, 1)
            assert add(second, 1) == [expected]
        assert len(inner.log) == 1 + draws


def test_settings_reach_the_inner_tool(tmp_path):
    inner = Adder()
    wrapped = recorded(tmp_path / "tape.jsonl", inner)
    wrapped.configure({"timeout": 2.0, "max_concurrency": 1})
    assert inner.timeout == 2.0 and inner.policy == ToolPolicy(max_concurrency=1)
    assert wrapped.timeout is None and wrapped.policy == ToolPolicy()


def test_a_tool_is_put_on_a_cassette_once(tmp_path):
    cassette = Cassette(tmp_path / "tape.jsonl")
    wrapped = cassette.wrap(Adder())
    assert cassette.wrap(wrapped) is wrapped
    with ToolRuntime([pickle.loads(pickle.dumps(wrapped))]) as runtime:  # the copy opens the file by itself
        assert add(runtime, 1, 2) == ["1", "3"]
    with ToolRuntime([Cassette(cassette.path, "replay").wrap(Adder())]) as runtime:
        assert add(runtime, 1, 2) == ["1", "3"]


def test_threads_that_begin_alike(tmp_path):
    path, inner, barrier, found = tmp_path / "tape.jsonl", Adder(), threading.Barrier(8), []
    wrapped = recorded(path, inner)

    def work(number):
        barrier.wait()
        for last in (number % 3, number % 2):
            with ToolRuntime([wrapped]) as runtime:
                found.append(((1, 2, last), tuple(add(runtime, 1, 2, last))))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16 and all(totals == ("1", "3", str(3 + numbers[2])) for numbers, totals in found)
    keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 1 + 2 + 3
    replaying = recorded(path, Unreachable(), "replay")
    for numbers, totals in found:
        with ToolRuntime([replaying]) as runtime:
            assert tuple(add(runtime, *numbers)) == totals


def test_when_another_process_was_first_its_answer_counts(tmp_path):
    path, same, other = tmp_path / "tape.jsonl", Adder(), Adder(start=100)
    second, third = recorded(path, same), recorded(path, other)  # each with the file as it was when it was read
    for wrapped in (second, third):
        with ToolRuntime([wrapped]) as runtime:
            add(runtime, 9)
    with ToolRuntime([recorded(path, Adder())]) as runtime:
        add(runtime, 1)
    with ToolRuntime([second]) as runtime:
        assert add(runtime, 1, 2) == ["1", "3"] and same.log == [9, 1, 2]
    with ToolRuntime([third]) as runtime:
        assert add(runtime, 1) == ["1"] and other.log == [1]  # it said 101
        with pytest.raises(ChangedAnswer):
            add(runtime, 5)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["add", "fork", "snapshot", "restore"]), st.integers(-1, 3), st.integers(0, 5)),
    max_size=12,
)


def perform(wrapped, operations):
    """Calls, forks and restores over a growing set of runtimes; everything that was seen."""
    runtimes, snapshots, seen = [ToolRuntime([wrapped])], [], []
    snapshots.append(runtimes[0].snapshot())
    for operation, number, which in operations:
        runtime = runtimes[which % len(runtimes)]
        if operation == "add":
            seen += add(runtime, number)
        elif operation == "fork":
            runtimes.append(runtime.fork())
        elif operation == "snapshot":
            snapshots.append(runtime.snapshot())
        else:
            runtime.restore(snapshots[which % len(snapshots)])
    for runtime in runtimes:
        runtime.close()
    return seen


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS, OPERATIONS)
def test_a_recorded_session_is_the_session(tmp_path, first, second):
    path = tmp_path / "tape.jsonl"
    path.unlink(missing_ok=True)
    direct = perform(Adder(), first), perform(Adder(), second)
    wrapped = recorded(path, Adder())
    assert (perform(wrapped, first), perform(wrapped, second)) == direct
    assert perform(recorded(path, Adder()), first) == direct[0]
    replaying = recorded(path, Unreachable(), "replay")
    assert (perform(replaying, second), perform(replaying, first)) == (direct[1], direct[0])


# The tools that there are -------------------------------------------------------------------------------------------


def outputs(wrapped, *calls, seed=0):
    with ToolRuntime([wrapped], seed) as runtime:
        return [runtime.call(ToolCall(name, arguments)).output for name, arguments in calls]


def test_python_sessions(tmp_path, isolation):
    class NoPython(PythonTool):
        def open(self, seed=0):
            raise AssertionError("a replay opens nothing")

    path, python = tmp_path / "tape.jsonl", PythonTool(isolation=isolation)
    cells = [("python", {"code": code}) for code in ("import random\nx = random.random()", "x", "1/0", "x + 1")]
    expected = outputs(python, *cells, seed=3)
    assert outputs(Cassette(path).wrap(python, "python"), *cells, seed=3) == expected
    replaying = Cassette(path, "replay").wrap(NoPython(isolation=isolation), "python")
    assert outputs(replaying, *cells, seed=3) == expected
    with pytest.raises(MissingRecording):
        outputs(replaying, *cells, seed=4)  # another seed draws other numbers
    other = ("python", {"code": "x - x"})
    assert outputs(Cassette(path).wrap(python, "python"), *cells[:2], other, seed=3)[2] == "0.0\n"


def test_wiki_pages(tmp_path):
    path = tmp_path / "tape.jsonl"
    calls = [("search", {"entity": "Bern"}), ("lookup", {"keyword": "river"}), ("lookup", {"keyword": "river"})]
    here = WikiTool(PageStore({"Bern": "Bern is a city. The river Aare is a river. A second river is none."}))
    there = WikiTool(PageStore({"Bern": "Another page on the same place."}))
    expected = outputs(here, *calls)
    assert expected[1] != expected[2]
    assert outputs(Cassette(path).wrap(here), *calls) == expected
    assert outputs(Cassette(path).wrap(there), *calls[:1]) != expected[:1]  # other pages, other recordings
    assert outputs(Cassette(path).wrap(here, "wiki"), *calls) == expected
    assert outputs(Cassette(path, "replay").wrap(there, "wiki"), *calls) == expected


def test_mcp_servers_and_their_functions(tmp_path):
    pytest.importorskip("mcp")
    path, script = tmp_path / "tape.jsonl", str(Path(__file__).parents[1] / "fakes" / "mcp_server.py")
    calls = [("count", {}), ("where", {}), ("count", {"by": 3}), ("peek", {})]
    server = McpServer("fake", command=sys.executable, args=[script])
    wrapped = Cassette(path).wrap(McpTools(server, names=["count", "where", "peek"]), "counter")
    functions, expected = wrapped.functions, outputs(wrapped, *calls)
    assert expected[0] == "1" and expected[2:] == ["4", "4"]
    gone = McpServer("fake", command="no-such-program", args=[script])
    replaying = Cassette(path, "replay").wrap(McpTools(gone, names=["count", "where", "peek"]), "counter")
    assert replaying.functions == functions and len(functions) == 3
    assert outputs(replaying, *calls) == expected  # the number of the process, too
    assert McpTools(server).identity != McpTools(server, prefix="a_").identity != McpTools(gone).identity
