"""Tools that agents call: search, Python, wiki pages, a calculator, and the runtime that keeps them in bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import FunctionSchema, StatelessSession, Tool, ToolCall, ToolResult, ToolSession, ToolStatus
from .errors import InputError
from .lazy import lazy_names

if TYPE_CHECKING:
    from .arithmetic import calculator
    from .decorator import FunctionTool, tool
    from .python import PythonTool
    from .runtime import ToolRuntime
    from .search import SearchTool
    from .wiki import PageStore, WikiTool

_HOMES = {
    "FunctionTool": "decorator",
    "PageStore": "wiki",
    "PythonTool": "python",
    "SearchTool": "search",
    "ToolRuntime": "runtime",
    "WikiTool": "wiki",
    "calculator": "arithmetic",
    "tool": "decorator",
}

__all__ = [
    "FunctionSchema",
    "FunctionTool",
    "InputError",
    "PageStore",
    "PythonTool",
    "SearchTool",
    "StatelessSession",
    "Tool",
    "ToolCall",
    "ToolResult",
    "ToolRuntime",
    "ToolSession",
    "ToolStatus",
    "WikiTool",
    "calculator",
    "tool",
]


__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
