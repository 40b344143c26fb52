"""MCP servers as tools, against a real server in processes of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from toolgym.envs.env import ToolEnv
from toolgym.envs.limits import Limits
from toolgym.envs.task import Task, TaskSet
from toolgym.tools import (
    InputError,
    McpServer,
    McpTools,
    ToolCall,
    ToolResult,
    ToolRuntime,
    ToolSession,
    ToolStatus,
    ToolUnavailable,
)

pytest.importorskip("mcp")
SCRIPT = str(Path(__file__).parents[1] / "fakes" / "mcp_server.py")
STDIO = McpServer("fake", command=sys.executable, args=[SCRIPT])
NAMES = ["add", "count", "peek", "fail", "refuse", "hang", "die", "shout", "show", "structured", "environment", "where"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def http_process(port: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, SCRIPT, str(port)]) as process:
        try:
            deadline = time.monotonic() + 60
            while not listens(port):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    with http_process(port):
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.fixture(scope="module", params=["stdio", "http"])
def server(request: pytest.FixtureRequest, url: str) -> McpServer:
    return STDIO if request.param == "stdio" else McpServer("fake", url=url)


@pytest.fixture
def opened() -> Iterator[Callable[..., ToolSession]]:
    """Opens sessions, and closes them and their tools at the end."""
    with ExitStack() as stack:

        def open_(server: McpServer | str = STDIO, **options: Any) -> ToolSession:
            tool = McpTools(server, **{"timeout": 20.0, **options})
            stack.callback(tool.close)
            session = tool.open()
            stack.callback(session.close)
            return session

        yield open_


def ask(session: ToolSession, name: str, **arguments: Any) -> ToolResult:
    return session.call(ToolCall(name, arguments))


def said(session: ToolSession, name: str, **arguments: Any) -> str:
    result = ask(session, name, **arguments)
    assert result.ok, result
    return result.output


def children() -> set[int]:
    """Processes whose parent is this one, dead ones that nobody waited for included."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_functions_come_from_every_page_with_their_schemas_as_they_are(server: McpServer) -> None:
    tool = McpTools(server)
    assert [function.name for function in tool.functions] == NAMES
    assert tool.functions[0].description == "Adds two numbers."
    number = {"type": "integer", "minimum": 0}
    schema = {"type": "object", "properties": {"a": number, "b": number}, "required": ["a", "b"]}
    assert tool.functions[0].parameters == schema
    chosen = McpTools(server, names=["count", "peek"], prefix="fake_")
    assert [function.name for function in chosen.functions] == ["fake_count", "fake_peek"]
    with ToolRuntime([chosen]) as runtime:
        assert runtime.call(ToolCall("fake_count")).output == "1"
        assert runtime.call(ToolCall("fake_count", {"by": "x"})).status is ToolStatus.BAD_ARGUMENTS
        assert runtime.call(ToolCall("count")).status is ToolStatus.UNKNOWN_TOOL
    with pytest.raises(InputError, match="MCP server fake has no tool 'subtract' \\(it has: add, count"):
        McpTools(server, names=["subtract"]).functions  # noqa: B018


def test_answers_become_results(server: McpServer, opened: Callable[..., ToolSession]) -> None:
    session = opened(server)
    assert said(session, "add", a=1, b=2) == "3"
    assert said(session, "show") == (
        "a picture:\n[image: image/png, 8 bytes]\n[resource: file:///notes.txt]\ninside\n[resource: file:///b, 8 bytes]"
    )
    structured = ask(session, "structured")
    assert structured.output == '{"degrees": 21}'
    assert structured.metadata == {"structured_content": {"degrees": 21}}
    failed = ask(session, "fail")
    assert (failed.status, failed.output) == (ToolStatus.ERROR, "this went wrong")
    refused = ask(session, "refuse")
    assert (refused.status, refused.output) == (ToolStatus.BAD_ARGUMENTS, "Bad arguments: nothing of the kind")
    broken = ask(session, "refuse", code=-32603)
    assert (broken.status, broken.output) == (ToolStatus.ERROR, "nothing of the kind")


def test_every_episode_has_its_own_state(server: McpServer, opened: Callable[..., ToolSession]) -> None:
    tool = McpTools(server, timeout=20)
    first, second = tool.open(), tool.open()
    with ExitStack() as stack:
        for session in (first, second):
            stack.callback(session.close)
        assert [said(first, "count") for _ in range(3)] == ["1", "2", "3"]
        assert said(second, "count", by=10) == "10"
        assert said(first, "peek") == "3"


def test_forks_and_snapshots_continue_separately(url: str, opened: Callable[..., ToolSession]) -> None:
    session = opened(url)
    said(session, "count", by=2)
    ask(session, "fail")
    with ExitStack() as stack:
        twin = session.fork()
        stack.callback(twin.close)
        state = session.snapshot()
        assert [said(twin, "count"), said(session, "count", by=5), said(twin, "peek")] == ["3", "7", "3"]
        twin.restore(state)
        assert twin.snapshot() == state
        assert said(twin, "peek") == "2"


def test_read_only_calls_are_not_repeated(url: str) -> None:
    tool = McpTools(url)
    assert tool.functions
    session = tool.open()
    said(session, "peek")
    said(session, "count")
    assert json.loads(session.snapshot()) == [["count", {}]]
    session.close()


def test_the_environment_is_given_and_standard_error_drained(
    opened: Callable[..., ToolSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST_SECRET", "x")
    session = opened(McpServer("fake", command=sys.executable, args=[SCRIPT], env={"GIVEN": "y"}))
    names = json.loads(said(session, "environment"))
    assert "GIVEN" in names and "PATH" in names and "HOST_SECRET" not in names
    said(session, "shout", text="noise " * 100_000)
    assert said(session, "add", a=1, b=1) == "2"


@pytest.mark.parametrize("deaf", [False, True], ids=["waiting", "deaf"])
def test_a_call_that_hangs_costs_itself_alone(deaf: bool, opened: Callable[..., ToolSession]) -> None:
    session = opened()
    assert said(session, "count") == "1"
    session._tool.call_seconds = 0.3  # type: ignore[attr-defined]
    hung = ask(session, "hang", deaf=deaf)
    assert (hung.status, hung.output) == (ToolStatus.TIMEOUT, "Timed out after 0.3 seconds.")
    session._tool.call_seconds = 20.0  # type: ignore[attr-defined]
    assert said(session, "count") == "2", "the state before the call has come back"


def test_a_server_that_dies_is_started_again_with_the_state(opened: Callable[..., ToolSession], tmp_path: Path) -> None:
    session = opened()
    said(session, "count")
    said(session, "count")
    assert said(session, "die", unless=str(tmp_path / "died")) == "alive", "the call was sent again"
    assert said(session, "peek") == "2"


def test_a_call_that_always_ends_the_server_is_its_own_error(opened: Callable[..., ToolSession]) -> None:
    session = opened()
    said(session, "count")
    died = ask(session, "die")
    assert (died.status, died.output) == (ToolStatus.ERROR, "The tool broke down during this call.")
    assert "Connection closed" in died.metadata["connection_lost"]
    assert said(session, "count") == "2"


def test_a_server_that_stays_away_is_no_observation_and_one_that_comes_back_goes_on(
    opened: Callable[..., ToolSession],
) -> None:
    port = free_port()
    session = opened(f"http://127.0.0.1:{port}/mcp", reconnect_seconds=0.2, connect_seconds=5)
    with http_process(port) as process:
        assert said(session, "count") == "1"
        process.kill()
        process.wait()
        with pytest.raises(ToolUnavailable, match=f"MCP server http://127.0.0.1:{port}/mcp: "):
            ask(session, "count")
    with http_process(port):
        assert said(session, "count") == "2", "the new server was told the first call again"
    with http_process(port):
        assert said(session, "count") == "3", "a restart between calls is not even noticed"


def test_a_state_that_cannot_be_made_again_is_no_observation(
    opened: Callable[..., ToolSession], tmp_path: Path
) -> None:
    marker = tmp_path / "died"
    marker.touch()
    session = opened()
    said(session, "die", unless=str(marker))
    twin = session.fork()
    marker.unlink()
    with pytest.raises(ToolUnavailable, match="the episode's state is lost: call 1 of 1 \\(die\\) broke when repeated"):
        ask(twin, "count")
    twin.close()


def test_sharing_takes_one_process(opened: Callable[..., ToolSession]) -> None:
    tool = McpTools(STDIO, session="shared", timeout=20)
    try:
        with ThreadPoolExecutor(4) as pool:
            sessions = [tool.open() for _ in range(4)]
            processes = list(pool.map(lambda session: said(session, "where"), sessions))
            assert len(set(processes)) == 1
            tool.call_seconds = 0.3
            assert ask(sessions[0], "hang").status is ToolStatus.TIMEOUT
            tool.call_seconds = 20.0
            assert said(sessions[1], "where") == processes[0], "a server that still answers is kept"
            os.kill(int(processes[0]), signal.SIGKILL)
            after = set(pool.map(lambda session: said(session, "where"), sessions))
            assert len(after) == 1 and after != set(processes)
        sessions[0].close()
        assert {said(sessions[1], "where")} == after
        assert sessions[0].fork() is sessions[0] and sessions[0].snapshot() == b""
    finally:
        tool.close()
        tool.close()


def test_nothing_is_left_of_closed_sessions() -> None:
    tool = McpTools(STDIO, timeout=20)
    said(session := tool.open(), "count")
    session.close()
    before = children(), threading.active_count(), descriptors()
    for _ in range(2):
        session = tool.open()
        said(session, "count")
        ask(session, "die")
        session.close()
        session.close()
    tool.close()
    assert (children(), threading.active_count(), descriptors()) == before


def test_a_program_that_forgets_to_close_ends_and_leaves_no_server() -> None:
    program = (
        "from toolgym.tools import McpServer, McpTools, ToolCall\n"
        f"session = McpTools(McpServer(command={sys.executable!r}, args=[{SCRIPT!r}])).open()\n"
        "print(session.call(ToolCall('where', {})).output)\n"
        "session.call(ToolCall('shout', {'text': 'noise'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (McpServer("lost", command="no-such-program"), "MCP server lost: .*No such file.*'no-such-program'"),
        (
            McpServer("mute", command=sys.executable, args=["-c", "raise SystemExit('no token')"]),
            "it last wrote: no token",
        ),
        (McpServer("away", url="http://127.0.0.1:9/mcp"), "MCP server away: .*connection"),
    ],
    ids=["missing", "dying", "unreachable"],
)
def test_a_server_that_cannot_be_reached_is_named_in_one_line(server: McpServer, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        McpTools(server, connect_seconds=10).functions  # noqa: B018
    assert "\n" not in str(caught.value)


def test_without_the_package_the_extra_is_named() -> None:
    program = (
        "import sys\nsys.modules['mcp'] = None\nfrom toolgym.tools import *\n"
        "for make in (lambda: McpTools('http://localhost:1/mcp').functions, lambda: mcp_server([])):\n"
        "    try:\n        make()\n    except InputError as error:\n        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and all("pip install 'toolgym[mcp]'" in line for line in lines)


def hermes(name: str, **arguments: Any) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def environment(tool: McpTools, **options: Any) -> ToolEnv:
    tasks = TaskSet([Task("t", "How much is it?", ("3",))])
    return ToolEnv(tasks, [tool], action_format="hermes", **options)


def test_an_episode_calls_an_mcp_tool(server: McpServer, tmp_path: Path) -> None:
    env = environment(McpTools(server, timeout=2.0), limits=Limits(max_turns=20))
    _, info = env.reset(seed=1)
    assert [schema["function"]["name"] for schema in info["tools"]] == NAMES
    calls = [
        ("add", {"a": 1, "b": 2}, "ok", "3"),
        ("add", {"a": "1", "b": 2}, "bad_arguments", "'a' must be an integer, got '1'"),
        ("subtract", {}, "unknown_tool", "Unknown tool 'subtract'"),
        ("fail", {}, "error", "this went wrong"),
        ("hang", {}, "timeout", "Timed out after 2 seconds."),
        ("count", {"by": 3}, "ok", "3"),
    ]
    if server.command:
        calls.append(("die", {"unless": str(tmp_path / "died")}, "ok", "alive"))
    calls.append(("peek", {}, "ok", "3"))
    for name, arguments, status, words in calls:
        observation, _, _, _, info = env.step(hermes(name, **arguments))
        assert [one["status"] for one in info["calls"]] == [status], observation
        assert words in observation
    copy = env.fork()
    assert "4" in copy.step(hermes("count"))[0] and "3" in env.step(hermes("peek"))[0]
    _, reward, terminated, _, info = env.step("It is \\boxed{3}")
    assert terminated and reward == 1.0 and info["score"] == 1.0
    for one in (env, copy):
        one.close()


def test_sixteen_episodes_at_once(url: str) -> None:
    """Each counts in a session of its own; none sees another's number."""
    env = environment(McpTools(url, timeout=20.0), limits=Limits(max_turns=20))

    def play(number: int) -> list[str]:
        own = env.spawn()
        own.reset(seed=number)
        seen = []
        for _ in range(5):
            observation = own.step(hermes("count", by=number))[0]
            seen.append("".join(character for character in observation if character.isdigit()))
        own.close()
        return seen

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(play, range(1, 17))) == [
            [str(number * step) for step in range(1, 6)] for number in range(1, 17)
        ]
