"""Makes one valid result of whatever a tool's session does."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from time import perf_counter
from typing import Any

from .arguments import describe
from .base import ToolCall, ToolResult, ToolSession, ToolStatus
from .errors import ToolUnavailable
from .output import clean_text, keep_ends


def guarded_call(session: ToolSession, call: ToolCall, cap: int) -> ToolResult:
    """Runs a call; what the tool does wrong becomes a result.

    Args:
        session: Where to run it.
        call: A call whose arguments fit the schema.
        cap: Most characters of the text.

    Returns:
        The result, with a clean and capped text and the wall time in seconds.

    Raises:
        ToolUnavailable: If the session says so.
        KeyboardInterrupt: If a person stops the program.
    """
    start = perf_counter()
    try:
        return _checked(session.call(call), cap, start)
    except (ToolUnavailable, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit, GeneratorExit and cancellations end the call, not the episode
        metadata = {"exception": type(error).__name__}
        return _checked(ToolResult(ToolStatus.ERROR, describe_error(error), metadata=metadata), cap, start)


def answer(status: ToolStatus, text: str, cap: int, start: float) -> ToolResult:
    """A result that no tool gave.

    Args:
        status: What went wrong.
        text: What the model reads of it.
        cap: Most characters of the text.
        start: When the call began, on `time.perf_counter`.
    """
    return _checked(ToolResult(status, text), cap, start)


def describe_error(error: BaseException) -> str:
    """An exception in one text: its kind and its message."""
    try:
        message = str(error)
    except Exception:  # an exception whose own text cannot be made
        message = ""
    kind = type(error).__name__
    return f"{kind}: {message}" if message else kind


def close_sessions(sessions: Iterable[ToolSession]) -> None:
    """Closes all sessions. One that cannot be closed is a warning: the results of its calls are none the worse."""
    failures = []
    for session in sessions:
        try:
            session.close()
        except Exception as error:
            failures.append(f"{type(session).__name__}.close() failed with {describe_error(error)}")
    for failure in failures:
        warnings.warn(failure, RuntimeWarning, stacklevel=2)


def _checked(result: Any, cap: int, start: float) -> ToolResult:
    """The result with everything in it as it should be.

    Raises:
        Exception: If that cannot be done.
    """
    if not isinstance(result, ToolResult):
        raise TypeError(f"the tool returned {describe(result)} instead of a ToolResult")
    text, status, omitted = result.output, result.status, int(result.omitted_characters)
    if type(text) is not str:
        text = str(text)
    if len(text) > cap:  # cut before it is cleaned: a text of any length costs no more than one of the cap's
        text, cut = keep_ends(text, cap)
        omitted += cut
    if not text.isascii() or "\x00" in text:
        text = clean_text(text)
    if type(status) is not ToolStatus:
        status = ToolStatus(status)
    return ToolResult(status, text, perf_counter() - start, omitted, dict(result.metadata))
