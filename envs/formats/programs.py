"""What the formats of Python programs share: what a program printed, how it failed, and shortening."""

from __future__ import annotations

import re
from typing import ClassVar

from ...tools.base import ToolResult, ToolStatus
from .single import SingleFunctionFormat
from .tags import last_boxed

FENCE = "```"
_REPORT = re.compile(r'(?:Traceback \(most recent call last\):|^  File "<cell [0-9]+>", line [0-9]+)$', re.MULTILINE)
_EXIT = "SystemExit: "


class ProgramFormat(SingleFunctionFormat):
    """A text format in which a call is a Python program in a fence, and the final answer stands in a box."""

    function: ClassVar[str] = "python"
    argument: ClassVar[str] = "code"


def fenced(code: str) -> str:
    """A program in a Python fence."""
    text = code.strip("\n")
    return f"{FENCE}python\n{text}\n{FENCE}"


def printed_and_report(result: ToolResult) -> tuple[str, str]:
    """What a program printed, and the report of how it failed ("" if it did not): the two streams of a script.

    The Python tool gives both as one text, in which the report comes last: a traceback, or a last line that says what
    ended the program. It begins in the middle of a line where the program did not end its last one. What any tool
    returns for a call that did not run is all report.
    """
    if result.ok:
        return result.output, ""
    if result.status not in (ToolStatus.ERROR, ToolStatus.TIMEOUT):
        return "", result.output
    report = _REPORT.search(result.output)
    if report:
        start = report.start()
    else:
        start = result.output.rstrip("\n").rfind("\n") + 1
        start = max(start, result.output.find(_EXIT, start))
    return result.output[:start], result.output[start:]


def last_line(text: str) -> str:
    """The last line of a text without whitespace around it."""
    return text.strip().rpartition("\n")[2]


def keep_halves(text: str, half: int, mark: str) -> str:
    """The first and last `half` characters of a text, with a mark between them."""
    return text[:half] + mark + text[-half:]


def boxed_in(text: str) -> str | None:
    r"""The content of the last box of a text that holds `\boxed{`; "" where it does not close, None without one."""
    return (last_boxed(text) or "") if "\\boxed{" in text else None
