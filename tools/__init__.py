"""Tools that agents call: search, Python, wiki pages, a calculator, and the runtime that keeps them in bounds."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .base import FunctionSchema, StatelessSession, Tool, ToolCall, ToolResult, ToolSession, ToolStatus
from .errors import InputError

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


def __getattr__(name: str) -> Any:
    """Imports a public name on first use, so that `import toolgym.tools` stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
