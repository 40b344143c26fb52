"""The tools of an MCP server as a tool of an environment."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from .base import FunctionSchema, StatelessSession, Tool, ToolCall, ToolResult, ToolSession, ToolStatus
from .errors import InputError, ToolUnavailable
from .mcp_config import McpServer

if TYPE_CHECKING:
    from mcp.types import CallToolResult

    from .mcp_connection import McpConnection, McpLink

SessionKind = Literal["per_episode", "shared"]
_PING_SECONDS = 2.0


class McpTools(Tool):
    """The functions of one MCP server, through the official `mcp` package (`pip install 'toolgym[mcp]'`).

    With `session="per_episode"` every episode has a connection of its own, made at its first call: over stdio a process
    of its own, over HTTP a session of its own. Nothing is shared, whatever state the server keeps. Forked and restored
    sessions, and those whose connection broke, repeat the episode's calls on a fresh connection before their next
    call; functions that the server declares read-only (`readOnlyHint`) are left out. That gives the same state where
    the state is the server's own and its functions draw nothing; a server that acts on the world outside (files,
    databases, mail) would act twice: give such a server's episodes no forks, or a world of their own.
    With `session="shared"` all episodes use one connection. That is for servers without state, and costs one process.

    What the model reads: the texts of the answer; images, audio and resources as a note of their kind and size. The
    metadata has the server's `structured_content`. An error that the server reports (`isError`, or a protocol error) is
    the model's to read. A server that goes away is no observation: the connection is made anew and the call sent again,
    once; if the server stays away, `ToolUnavailable` is raised. A call that ends the server both times, while the
    server itself can be started, is an error of the call.

    Args:
        server: The server; a text is the URL of one that listens over HTTP. `load_mcp_servers` reads a file of them.
        names: Only these of the server's functions; all by default.
        prefix: Put before every name, to keep servers apart.
        session: See above.
        timeout: Time limit of one call in seconds. The server is told to cancel; an episode's own connection is closed,
            and the state before the call comes back as after a break.
        connect_seconds: Time limit for starting or reaching the server.
        reconnect_seconds: For how long a server that is gone is tried again before `ToolUnavailable` is raised.
        max_output_characters: Cap on the text of one result.

    Raises:
        InputError: If an option is wrong. On first use: if the package is missing, the server cannot be reached, or it
            does not have one of `names`.
    """

    asks_for_functions = True

    def __init__(
        self,
        server: McpServer | str,
        *,
        names: Collection[str] | None = None,
        prefix: str = "",
        session: SessionKind = "per_episode",
        timeout: float = 30.0,
        connect_seconds: float = 30.0,
        reconnect_seconds: float = 10.0,
        max_output_characters: int = 10_000,
    ) -> None:
        self.server = McpServer(name=server, url=server) if isinstance(server, str) else server
        if session not in ("per_episode", "shared"):
            raise InputError(f"McpTools: session is {session!r}; use 'per_episode' or 'shared'")
        for option, seconds in (("timeout", timeout), ("connect_seconds", connect_seconds)):
            if not seconds > 0:
                raise InputError(f"McpTools: {option} is {seconds}; give seconds above 0")
        self.timeout = None  # it ends its calls itself, and tells the server
        self.call_seconds = timeout
        self.max_output_characters = max_output_characters
        self.session: SessionKind = session
        self._prefix = prefix
        self._names = None if names is None else tuple(names)
        self._connect_seconds, self._reconnect_seconds = connect_seconds, reconnect_seconds
        self._lock = threading.Lock()
        self._functions: tuple[FunctionSchema, ...] | None = None
        self._read_only: frozenset[str] = frozenset()
        self._shared: McpLink | None = None

    @property
    def functions(self) -> Sequence[FunctionSchema]:
        """The server's functions with their JSON schemas as they are. Asked for once."""
        with self._lock:
            if self._functions is None:
                self._functions = self._list()
            return self._functions

    @property
    def identity(self) -> Mapping[str, Any]:
        """What results depend on, for recordings: the server, which is not asked for it, and how it is used."""
        server = self.server
        where = {"command": [server.command, *server.args]} if server.url is None else {"url": server.url}
        names = None if self._names is None else list(self._names)
        return {"mcp": server.name, **where, "names": names, "prefix": self._prefix, "session": self.session}

    def open(self, seed: int = 0) -> ToolSession:
        """A session; its connection is made with the first call. MCP knows no seeds."""
        if self.session == "per_episode":
            return McpSession(self)
        return _SharedSession(self)

    def close(self) -> None:
        """Closes the shared connection, if there is one. Sessions close their own."""
        with self._lock:
            shared, self._shared = self._shared, None
        if shared is not None:
            shared.close()

    def link(self) -> McpLink:
        """A connection of one's own to the server, not made yet."""
        link: McpLink = _connections().McpLink(self.server, self._connect_seconds, self._reconnect_seconds)
        return link

    def shared_link(self) -> McpLink:
        """The connection that all episodes share."""
        with self._lock:
            if self._shared is None:
                self._shared = self.link()
            return self._shared

    def read_only(self, name: str) -> bool:
        """Whether the server says that this function changes nothing."""
        return name in self._read_only

    def ask(self, link: McpLink, call: ToolCall, prepare: Callable[[McpConnection], None]) -> ToolResult:
        """Makes a call over a link, and once more if the connection breaks.

        Args:
            link: Where to call.
            call: The call, with the name that the model uses.
            prepare: Brings a connection into the state of the episode.

        Raises:
            ToolUnavailable: If the server cannot be reached, or the episode's state cannot be made again.
        """
        from mcp import MCPError

        lost = _connections().McpConnectionError
        name = self.server_name(call.name)
        reason = ""
        for _ in range(2):
            connection = self._get(link)
            try:
                prepare(connection)
                answer = connection.call(name, call.arguments, self.call_seconds)
            except lost as error:
                link.drop(connection)
                reason = str(error)
            except TimeoutError:
                if self.session == "per_episode" or not connection.answers(_PING_SECONDS):
                    link.drop(connection)
                return ToolResult(ToolStatus.TIMEOUT, f"Timed out after {self.call_seconds:g} seconds.")
            except (MCPError, ValueError) as error:
                return _protocol_error(error)
            else:
                return _result(answer)
        self._get(link)  # the server itself is alive, so that it must be this call which ends it
        metadata = {"connection_lost": reason}
        return ToolResult(ToolStatus.ERROR, "The tool broke down during this call.", metadata=metadata)

    def repeat(self, connection: McpConnection, name: str, arguments: Mapping[str, Any]) -> None:
        """Makes a call for what it does to the server. An error that it answered with is as good as a result.

        Raises:
            ConnectionError: If the server went away, or does not answer in time.
        """
        from mcp import MCPError

        try:
            connection.call(name, arguments, self.call_seconds)
        except TimeoutError:
            raise _connections().McpConnectionError(f"timed out after {self.call_seconds:g} seconds") from None
        except (MCPError, ValueError):
            return

    def _get(self, link: McpLink) -> McpConnection:
        try:
            return link.get()
        except _connections().McpConnectionError as error:
            raise ToolUnavailable(f"MCP server {error}") from None

    def _list(self) -> tuple[FunctionSchema, ...]:
        module = _connections()
        try:
            connection = module.McpConnection(self.server, self._connect_seconds)
            try:
                listed = connection.list_tools()
            finally:
                connection.close()
        except module.McpConnectionError as error:
            raise InputError(f"MCP server {' '.join(str(error).split())}") from None
        known = [tool.name for tool in listed]
        missing = [name for name in self._names or () if name not in known]
        if missing:
            raise InputError(f"MCP server {self.server.name} has no tool {missing[0]!r} (it has: {', '.join(known)})")
        chosen = [tool for tool in listed if self._names is None or tool.name in self._names]
        self._read_only = frozenset(
            tool.name for tool in chosen if tool.annotations is not None and tool.annotations.read_only_hint
        )
        return tuple(
            FunctionSchema(self._prefix + tool.name, tool.description or tool.title or tool.name, tool.input_schema)
            for tool in chosen
        )

    def server_name(self, name: str) -> str:
        """The name on the server of a function that the model knows as `name`."""
        return name.removeprefix(self._prefix)


class McpSession(ToolSession):
    """One episode's own connection, and the calls that led to its state on the server."""

    def __init__(self, tool: McpTools) -> None:
        self._tool = tool
        self._link = tool.link()
        self._calls: list[tuple[str, dict[str, Any]]] = []
        self._prepared: McpConnection | None = None

    def call(self, call: ToolCall) -> ToolResult:
        """Makes the call, after those of the episode so far if the connection is new.

        Raises:
            ToolUnavailable: If the server cannot be reached, or an earlier call cannot be repeated.
        """
        result = self._tool.ask(self._link, call, self._prepare)
        name = self._tool.server_name(call.name)
        answered = result.status in (ToolStatus.OK, ToolStatus.ERROR) and "connection_lost" not in result.metadata
        if answered and not self._tool.read_only(name):
            self._calls.append((name, dict(call.arguments)))
        return result

    def fork(self) -> McpSession:
        """A session that will repeat this one's calls on its own connection."""
        twin = McpSession(self._tool)
        twin._calls = list(self._calls)
        return twin

    def snapshot(self) -> bytes:
        """The calls as JSON."""
        return json.dumps(self._calls).encode()

    def restore(self, snapshot: bytes) -> None:
        """Closes the connection; the snapshot's calls are repeated on a fresh one before the next call."""
        self.close()
        self._calls = [(name, arguments) for name, arguments in json.loads(snapshot)]

    def close(self) -> None:
        """Closes the connection, and with it the process. A later call would repeat the calls on a new one."""
        self._prepared = None
        self._link.close()

    def _prepare(self, connection: McpConnection) -> None:
        if connection is self._prepared:
            return
        for position, (name, arguments) in enumerate(self._calls, 1):
            try:
                self._tool.repeat(connection, name, arguments)
            except ConnectionError as error:
                self._link.drop(connection)
                place = f"call {position} of {len(self._calls)} ({name})"
                raise ToolUnavailable(f"the episode's state is lost: {place} broke when repeated: {error}") from None
        self._prepared = connection


class _SharedSession(StatelessSession):
    def __init__(self, tool: McpTools) -> None:
        self._tool = tool

    def call(self, call: ToolCall) -> ToolResult:
        return self._tool.ask(self._tool.shared_link(), call, lambda connection: None)


def _connections() -> Any:
    """The module that needs the `mcp` package."""
    try:
        from . import mcp_connection
    except ModuleNotFoundError as error:
        raise InputError(f"MCP servers need {error.name}; install it with: pip install 'toolgym[mcp]'") from None
    return mcp_connection


def _protocol_error(error: Exception) -> ToolResult:
    """What the model reads when the server answered outside its tool's result."""
    from mcp import MCPError
    from mcp.types.jsonrpc import INVALID_PARAMS

    if isinstance(error, MCPError) and error.code == INVALID_PARAMS:
        return ToolResult(ToolStatus.BAD_ARGUMENTS, f"Bad arguments: {error.message}")
    if isinstance(error, MCPError):
        return ToolResult(ToolStatus.ERROR, error.message, metadata={"code": error.code})
    metadata = {"exception": type(error).__name__}
    return ToolResult(ToolStatus.ERROR, f"The tool gave an invalid answer: {error}", metadata=metadata)


def _result(answer: CallToolResult) -> ToolResult:
    text = "\n".join(_describe(block) for block in answer.content)
    metadata = {}
    if answer.structured_content is not None:
        metadata["structured_content"] = answer.structured_content
        text = text or json.dumps(answer.structured_content, ensure_ascii=False)
    return ToolResult(ToolStatus.ERROR if answer.is_error else ToolStatus.OK, text, metadata=metadata)


def _describe(block: Any) -> str:
    """A block of content as text: what is no text becomes a note of its kind and size."""
    if block.type == "text":
        return str(block.text)
    if block.type == "resource_link":
        return f"[resource: {block.uri}]"
    if block.type == "resource":
        resource = block.resource
        if hasattr(resource, "text"):
            return str(resource.text)
        return f"[resource: {resource.uri}, {_size(resource.blob)}]"
    return f"[{block.type}: {block.mime_type}, {_size(block.data)}]"


def _size(base64_text: str) -> str:
    return f"{len(base64_text) * 3 // 4 - base64_text[-2:].count('='):,} bytes"
