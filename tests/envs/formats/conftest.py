from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from toolgym.envs.episode import Action, ParsedAction
from toolgym.envs.formats import action_format

BAD = "(bad)"
"""Stands for the name of a call that cannot be read."""

Reading = tuple[str, str, list[tuple[str, dict[str, Any]]], str | None, set[str]]


def parse(name: str, text: str, finish_reason: Any = "stop", before: str = "") -> ParsedAction:
    """Reads an action without an environment."""
    parsed = action_format(name).parse_in_place(Action(text, finish_reason), (), before)
    assert parsed.text + parsed.surplus == text
    return parsed


def read(name: str, text: str, finish_reason: Any = "stop", before: str = "") -> Reading:
    """The counted part, the surplus, calls (name and arguments), answer and faults of an action."""
    parsed = parse(name, text, finish_reason, before)
    calls = [(call.name if call.error is None else BAD, dict(call.arguments)) for call in parsed.calls]
    return parsed.text, parsed.surplus, calls, parsed.answer, {fault.value for fault in parsed.faults}


@pytest.fixture(name="parse")
def parse_fixture() -> Callable[..., ParsedAction]:
    return parse


@pytest.fixture(name="read")
def read_fixture() -> Callable[..., Reading]:
    return read
