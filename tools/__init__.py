"""Tools that agents call: search, Python, wiki pages, a calculator, and the runtime that keeps them in bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import InputError, ToolUnavailable, TransientError
from .lazy import lazy_names

if TYPE_CHECKING:
    from .adapters import ToolLike, as_tool
    from .arithmetic import calculator
    from .base import FunctionSchema, StatelessSession, Tool, ToolCall, ToolResult, ToolSession, ToolStatus
    from .cassettes import Cassette
    from .decorator import FunctionTool, tool
    from .mcp_client import McpTools
    from .mcp_config import McpServer, load_mcp_servers
    from .mcp_serving import mcp_server
    from .policy import ToolPolicy
    from .python import PythonTool
    from .runtime import ToolRuntime
    from .search import SearchTool
    from .simulated_search import SimulatedSearch, SimulatedSearchTool
    from .statistics import ToolStatistics
    from .web_search import WebSearchTool
    from .wiki import WikiTool
    from .wiki_pages import PageStore
    from .wiki_text import WikiText

_HOMES = {
    "Cassette": "cassettes",
    "FunctionSchema": "base",
    "FunctionTool": "decorator",
    "McpServer": "mcp_config",
    "McpTools": "mcp_client",
    "PageStore": "wiki_pages",
    "PythonTool": "python",
    "SearchTool": "search",
    "SimulatedSearch": "simulated_search",
    "SimulatedSearchTool": "simulated_search",
    "StatelessSession": "base",
    "Tool": "base",
    "ToolCall": "base",
    "ToolLike": "adapters",
    "ToolPolicy": "policy",
    "ToolResult": "base",
    "ToolRuntime": "runtime",
    "ToolSession": "base",
    "ToolStatistics": "statistics",
    "ToolStatus": "base",
    "WebSearchTool": "web_search",
    "WikiText": "wiki_text",
    "WikiTool": "wiki",
    "as_tool": "adapters",
    "calculator": "arithmetic",
    "load_mcp_servers": "mcp_config",
    "mcp_server": "mcp_serving",
    "tool": "decorator",
}

__all__ = [
    "Cassette",
    "FunctionSchema",
    "FunctionTool",
    "InputError",
    "McpServer",
    "McpTools",
    "PageStore",
    "PythonTool",
    "SearchTool",
    "SimulatedSearch",
    "SimulatedSearchTool",
    "StatelessSession",
    "Tool",
    "ToolCall",
    "ToolLike",
    "ToolPolicy",
    "ToolResult",
    "ToolRuntime",
    "ToolSession",
    "ToolStatistics",
    "ToolStatus",
    "ToolUnavailable",
    "TransientError",
    "WebSearchTool",
    "WikiText",
    "WikiTool",
    "as_tool",
    "calculator",
    "load_mcp_servers",
    "mcp_server",
    "tool",
]


__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
