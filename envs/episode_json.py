"""Episodes as JSON and back, to the last character."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import structs

from ..tools.base import ToolCall, ToolResult, ToolStatus
from ..tools.errors import InputError
from ..tools.identity import type_name
from .episode import Action, Episode, FormatFault, ParsedAction, StopReason, Turn
from .task import Task

_DEEPEST = 100
_LONGEST_INTEGER = 10_000  # bits; Python refuses to write much longer ones as decimals
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
"""Two lone surrogates side by side: JSON would read them back as one character."""


def episode_to_json(episode: Episode) -> dict[str, Any]:
    """An episode as a JSON value.

    Its shape is that of the records: `task`, `prompt`, `messages`, `turns` (each with `action`, `finish_reason`,
    `token_count`, `parsed`, `results`, `observation`) and `stop_reason`. What JSON has no word for, in arguments and
    metadata, stands as an object with one key: `$tuple`, `$set`, `$frozenset`, `$dict` (keys that are no texts),
    `$bytes`, `$integer` (hexadecimal), `$float` (infinite or none), `$text` (base64 of UTF-8 with surrogates),
    `$array`. Objects of other types, and what is nested more than a hundred levels deep, are not stored: `$unstorable`
    names them.

    Args:
        episode: The episode, ended or not.
    """
    turns = [
        {
            "action": str(turn.action),
            "finish_reason": turn.action.finish_reason,
            "token_count": turn.action.token_count,
            "parsed": {
                **structs.asdict(turn.parsed),
                "calls": [structs.asdict(call) for call in turn.parsed.calls],
                "faults": [fault.value for fault in turn.parsed.faults],
            },
            "results": [{**structs.asdict(result), "status": result.status.value} for result in turn.results],
            "observation": turn.observation,
        }
        for turn in episode.turns
    ]
    whole = {
        "task": {**vars(episode.task), "answers": list(episode.task.answers)},
        "prompt": episode.prompt,
        "messages": episode.messages,
        "turns": turns,
        "stop_reason": None if episode.stop_reason is None else episode.stop_reason.value,
    }
    encoded: dict[str, Any] = _encode(whole)
    return encoded


def task_is_whole(data: Mapping[str, Any]) -> bool:
    """Whether the task of a stored episode can be read back."""
    try:
        task_from_json(data)
    except InputError:
        return False
    return True


def task_from_json(data: Mapping[str, Any]) -> Task:
    """The task of an episode that `episode_to_json` wrote.

    Raises:
        InputError: If it is none, or its metadata holds something that was not stored.
    """
    task = _decoded(data, "task")
    return Task(**{**task, "answers": tuple(task["answers"])})


def episode_from_json(data: Mapping[str, Any], task: Task | None = None) -> Episode:
    """The episode that `episode_to_json` wrote.

    Args:
        data: What it returned.
        task: Takes the place of the stored task, where that is not whole.

    Raises:
        InputError: If it is no such value, or something in it was not stored.
    """
    try:
        return Episode(
            task_from_json(data) if task is None else task,
            _decoded(data, "prompt"),
            _decoded(data, "messages"),
            [_turn(turn) for turn in _decoded(data, "turns")],
            None if data["stop_reason"] is None else StopReason(data["stop_reason"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"this is no stored episode ({type(error).__name__}: {error}); store it anew") from error


def _turn(turn: Mapping[str, Any]) -> Turn:
    parsed = turn["parsed"]
    return Turn(
        Action(turn["action"], turn["finish_reason"], turn["token_count"]),
        ParsedAction(
            **{
                **parsed,
                "calls": tuple(ToolCall(**call) for call in parsed["calls"]),
                "faults": tuple(FormatFault(fault) for fault in parsed["faults"]),
            }
        ),
        tuple(ToolResult(**{**result, "status": ToolStatus(result["status"])}) for result in turn["results"]),
        turn["observation"],
    )


def _encode(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | float | str):
        return _encode_scalar(value)
    if depth > _DEEPEST:
        return {"$unstorable": f"what is nested more than {_DEEPEST} levels deep"}
    inner = depth + 1
    if isinstance(value, int):
        small = abs(value).bit_length() <= _LONGEST_INTEGER
        return int(value) if small else {"$integer": hex(value)}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") and not _PAIR.search(key) for key in value):
            return {str(key): _encode(item, inner) for key, item in value.items()}
        return {"$dict": [[_encode(key, inner), _encode(item, inner)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [_encode(item, inner) for item in value]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, set | frozenset):
        items = [_encode(item, inner) for item in value]
        return {"$frozenset" if isinstance(value, frozenset) else "$set": sorted(items, key=repr)}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, np.generic):
        return _encode(value.item(), inner)
    if isinstance(value, np.ndarray):
        return {"$array": [value.dtype.str, _encode(value.tolist(), inner)]}
    return {"$unstorable": f"a {type_name(value)}"}


def _encode_scalar(value: Any) -> Any:
    if isinstance(value, str):
        text = str(value)
        if text.isascii() or not _PAIR.search(text):
            return text
        return {"$text": base64.b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii")}
    if value is None or isinstance(value, bool):
        return value
    return float(value) if math.isfinite(value) else {"$float": str(float(value))}


def _decoded(data: Mapping[str, Any], part: str) -> Any:
    try:
        return _decode(data[part])
    except _NotStored as missing:
        raise InputError(f"the {part} of the stored episode lacks {missing}: only plain values are stored") from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"this is no stored episode: it has no {part!r} that can be read") from error


class _NotStored(Exception):
    """Something that could not be written as JSON."""


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (tag, content) = next(iter(value.items()))
        if tag.startswith("$"):
            return _decode_tagged(tag, content)
    return {key: _decode(item) for key, item in value.items()}


def _decode_tagged(tag: str, content: Any) -> Any:
    if tag == "$unstorable":
        raise _NotStored(content)
    if tag in ("$bytes", "$text"):
        data = base64.b64decode(content)
        return data if tag == "$bytes" else data.decode("utf-8", "surrogatepass")
    if tag == "$integer":
        return int(content, 16)
    if tag == "$float":
        return float(content)
    if tag == "$array":
        return np.array(_decode(content[1]), dtype=np.dtype(content[0]))
    items: Sequence[Any] = [_decode(item) for item in content]
    if tag == "$dict":
        return dict(items)
    return {"$tuple": tuple, "$set": set, "$frozenset": frozenset}[tag](items)
