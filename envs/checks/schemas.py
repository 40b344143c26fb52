"""Checks of tools: schemas in OpenAI's form, and schemas against what is executed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from ...tools.base import FunctionSchema, ToolCall, ToolResult, ToolStatus
from ..env import ToolEnv
from ..formats import action_format
from ..limits import Limits
from .base import CheckFailed, CheckSkipped, Subject, check, expect, shown
from .play import Moment, answer_text, call_text, has_oracle, is_program, moments, oracle_or_silence, text_arguments

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SAMPLES: Mapping[str, Any] = {
    "string": "north",
    "integer": 3,
    "number": 2.5,
    "boolean": True,
    "array": [],
    "object": {},
    "null": None,
}
_OTHER_TYPE: Mapping[str, Any] = {"string": {"an": "object"}, "array": "no list", "object": 7}
_MISTAKES = ("KeyError", "TypeError", "AttributeError", "NameError", "UnboundLocalError", "NotImplementedError")
"""Exceptions that tell of a mistake in a tool's program, not of what the model asked for."""
_DENIAL = re.compile(
    r"\b(?:unknown|unsupported|undefined|no such) (?:tool|function|command|argument|parameter|option)\b"
    r"|\bnot (?:supported|implemented)\b",
    re.IGNORECASE,
)
_ROLES = ("system", "developer", "user")
_HUGE = 200_000
_MOST_OBSERVED = 100_000  # characters, where the environment's limits do not name fewer
_FRAME = 2_000  # what a format may write around a result


def sample_value(schema: Mapping[str, Any]) -> Any:
    """A value that fits a schema of an argument, as far as simple schemas go."""
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return sample_value(schema[key][0])
    kind = schema.get("type", "string")
    kind = kind if isinstance(kind, str) else kind[0]
    if kind == "object":
        properties: Mapping[str, Any] = schema.get("properties", {})
        return {name: sample_value(properties.get(name, {})) for name in schema.get("required", ())}
    if kind == "array":
        return [sample_value(schema.get("items", {}))] * int(schema.get("minItems", 0))
    if kind in ("integer", "number"):
        low = schema.get("minimum", schema.get("exclusiveMinimum", _SAMPLES[kind] - 1) + 1)
        return min(max(_SAMPLES[kind], low), schema.get("maximum", low if low > 100 else 100))
    return _SAMPLES.get(kind)


def sample_call(function: FunctionSchema) -> ToolCall:
    """A call with the required arguments alone."""
    properties: Mapping[str, Any] = function.parameters.get("properties", {})
    required = function.parameters.get("required", ())
    return ToolCall(function.name, {name: sample_value(properties.get(name, {})) for name in required})


def fitting_calls(function: FunctionSchema) -> Iterator[ToolCall]:
    """Calls that fit a schema: with the required arguments, with each optional one, with each value of a choice."""
    least = sample_call(function)
    yield least
    for name, schema in function.parameters.get("properties", {}).items():
        if name not in least.arguments:
            yield _with(least, name, sample_value(schema))
        for value in schema.get("enum", ()):
            yield _with(least, name, value)
        for kind in schema.get("anyOf", ()):
            yield _with(least, name, sample_value(kind))


def misfits(function: FunctionSchema) -> Iterator[tuple[ToolCall, str]]:
    """Calls that do not fit a schema, and why: an argument too few, one too many, one of another type."""
    least = sample_call(function)
    for name in least.arguments:
        fewer = {key: value for key, value in least.arguments.items() if key != name}
        yield replace(least, arguments=fewer), f"without the required argument {name!r}"
    if function.parameters.get("additionalProperties", True) is False:
        yield _with(least, "undeclared", 1), "with an undeclared argument"
    for name, schema in function.parameters.get("properties", {}).items():
        kind = schema.get("type")
        if isinstance(kind, str) and kind != "null":
            yield _with(least, name, _OTHER_TYPE.get(kind, "no number")), f"with {name!r} of another type than {kind}"


def _with(call: ToolCall, name: str, value: Any) -> ToolCall:
    return replace(call, arguments={**call.arguments, name: value})


@check(
    "Messages and schemas that a server or a chat template refuses, or reads as another conversation.",
    "verifiers #2027, broken tool calls in messages; NeMo Gym #214, a whole generation dies on one bad message",
)
def messages_and_tools_are_openai(subject: Subject) -> None:
    """`info["messages"]`, the record's messages and `info["tools"]` have the form of OpenAI's chat interface."""
    with subject.fresh() as env:
        for policy in (oracle_or_silence(env), lambda episode: "Well, well."):
            for position, moment in enumerate(moments(env, policy, seed=subject.seed)):
                if position == 0:
                    _expect_tools(env, moment.info.get("tools"))
                    _expect_prompt(moment.info.get("messages"))
            _expect_conversation(env.episode.messages)


def _expect_tools(env: ToolEnv, tools: Any) -> None:
    expect(isinstance(tools, list), f"info['tools'] is {shown(tools)}, not a list")
    names = []
    for tool in tools:
        function = tool.get("function", {}) if isinstance(tool, dict) else {}
        name, parameters = function.get("name"), function.get("parameters")
        formed = isinstance(name, str) and _NAME.fullmatch(name) and isinstance(function.get("description"), str)
        expect(formed and tool.get("type") == "function", f"{shown(tool)} is no tool in OpenAI's form")
        if not isinstance(parameters, dict) or parameters.get("type") != "object":
            raise CheckFailed(f"the parameters of {name!r} are {shown(parameters)}, no schema of an object")
        strange = set(parameters.get("required", ())) - set(parameters.get("properties", {}))
        expect(not strange, f"{name!r} requires {sorted(strange)}, which its schema does not describe")
        names.append(name)
    declared = [function.name for function in env.functions]
    expect(names == declared, f"info['tools'] has the functions {names}, the environment {declared}")


def _expect_prompt(messages: Any) -> None:
    expect(isinstance(messages, list) and messages, f"the prompt's messages are {shown(messages)}")
    for message in messages:
        formed = isinstance(message, dict) and isinstance(message.get("content"), str)
        expect(formed and message.get("role"), f"{shown(message)} is no message")
    roles = [message["role"] for message in messages if message["role"] not in ("user", "assistant")]
    expect(all(role in _ROLES for role in roles), f"the prompt has messages of the roles {roles}")
    expect(messages[-1]["role"] == "user", f"the prompt ends with a message of {messages[-1]['role']!r}")


def _expect_conversation(messages: list[dict[str, Any]]) -> None:
    """Assistant messages have text or calls, and each call is answered by its id before anybody else speaks."""
    open_calls: list[str] = []
    for message in messages:
        role, content, calls = message.get("role"), message.get("content"), message.get("tool_calls") or []
        if role == "tool":
            call_id = message.get("tool_call_id")
            expect(call_id in open_calls, f"a tool message answers the call {call_id!r}, which nobody has open")
            open_calls.remove(str(call_id))
            expect(isinstance(content, str), f"a tool message has the content {shown(content)}")
            continue
        expect(not open_calls, f"the calls {open_calls} were not answered before the next message")
        expect(role in (*_ROLES, "assistant"), f"a message has the role {role!r}")
        expect(isinstance(content, str) or (calls and content is None), f"a message has the content {shown(content)}")
        for call in calls:
            function = call.get("function", {})
            formed = call.get("type") == "function" and isinstance(function.get("name"), str) and call.get("id")
            expect(formed and isinstance(function.get("arguments"), str), f"{shown(call)} is no call in OpenAI's form")
            open_calls.append(call["id"])
        expect(len(set(open_calls)) == len(open_calls), f"several calls of a message have the same id: {open_calls}")


@contextmanager
def _calling_freely(subject: Subject) -> Iterator[ToolEnv]:
    """A copy that is called in JSON, so that any call can be written, and without a budget."""
    with subject.fresh() as env:
        env.action_format = action_format("hermes")
        env.limits = Limits(max_turns=None)
        env.reset(seed=subject.seed)
        yield env


def _result(env: ToolEnv, call: ToolCall) -> ToolResult:
    """The result of a call that is written as JSON."""
    body = json.dumps({"name": call.name, "arguments": dict(call.arguments)})
    moment = Moment(*env.step(f"<tool_call>\n{body}\n</tool_call>"))
    results = env.episode.turns[-1].results
    written = f"{call.name}({shown(dict(call.arguments), 60)})"
    expect(not moment.over, f"{written} ends the episode ({moment.info.get('stop_reason')})")
    expect(len(results) == 1, f"{written} has {len(results)} results")
    return results[0]


@check(
    "Schemas that lie about what is executed, and calls that are answered with nothing.",
    "GEM: of two tools, a call that fails is thrown away; unknown tools and missing arguments as exceptions",
)
def schemas_against_execution(subject: Subject) -> None:
    """What fits a schema runs, what does not is refused with the status for it, and unknown names are answered."""
    if not subject.env.functions:
        raise CheckSkipped("there are no tools")
    with _calling_freely(subject) as env:
        unknown = _result(env, ToolCall("no_such_function", {}))
        expect(unknown.status is ToolStatus.UNKNOWN_TOOL, f"an unknown function gives the status {unknown.status}")
        expect(unknown.output.strip(), "an unknown function is answered with nothing")
        for function in env.functions:
            for call, why in misfits(function):
                status = _result(env, call).status
                expect(status is ToolStatus.BAD_ARGUMENTS, f"{function.name} {why} gives the status {status.value!r}")
            for call in fitting_calls(function):
                _expect_it_runs(env, call)
    _expect_needed(subject)


def _expect_it_runs(env: ToolEnv, call: ToolCall) -> None:
    result = _result(env, call)
    written = f"{call.name}({shown(dict(call.arguments), 60)}) fits the schema and"
    refused = result.status in (ToolStatus.UNKNOWN_TOOL, ToolStatus.BAD_ARGUMENTS)
    expect(not refused, f"{written} is refused: {shown(result.output)}")
    denied = None if result.ok else _DENIAL.search(result.output)
    expect(not denied, f"{written} is refused: {shown(result.output)}")
    mistake = result.metadata.get("exception")
    expect(mistake not in _MISTAKES, f"{written} raises inside the tool: {shown(result.output)}")


def _expect_needed(subject: Subject) -> None:
    """A required argument without which the oracle's first call gives the very same is not required in truth."""
    with subject.fresh() as env:
        if not has_oracle(env):
            return
        list(moments(env, env.oracle(), most=1, seed=subject.seed))
        turn = env.episode.turns[0]
        for call, result in zip(turn.parsed.calls, turn.results, strict=False):
            for name in call.arguments if result.ok else ():
                bare = replace(call, arguments={key: value for key, value in call.arguments.items() if key != name})
                needed = _outcome(env, bare) != result.output
                expect(needed, f"{call.name} requires {name!r}, and gives the same without it")


def _outcome(env: ToolEnv, call: ToolCall) -> str | None:
    """What a fresh session of a tool says to a call that no schema has looked at; None where it fails."""
    session = env.tool(call.name).open(0)
    try:
        result = session.call(call)
    except Exception:  # that it fails is the good case
        return None
    finally:
        session.close()
    return result.output if result.ok else None


@check(
    "Observations as long as the model likes: a loop that prints fills the context, and the memory.",
    "GEM: printing 5 MB gave an observation of 5,000,025 characters",
)
def observations_are_bounded(subject: Subject) -> None:
    """Neither a huge argument, nor a program that prints much, nor huge text without an action comes back whole."""
    most = subject.env.limits.max_observation_characters or _MOST_OBSERVED
    with subject.fresh() as env:
        for function in env.functions:
            for name in text_arguments(function):
                value = f"print('x' * {_HUGE})" if is_program(function, name) else "x" * _HUGE
                env.reset(seed=subject.seed)
                text = call_text(env, _with(sample_call(function), name, value))
                if text is not None:
                    _expect_bounded(env, text, most, f"{function.name} with a huge {name}")
        for text in ("no action " * (_HUGE // 10), answer_text(env, "x" * _HUGE).rpartition("x")[0]):
            env.reset(seed=subject.seed)
            _expect_bounded(env, text, most, "a huge text without an action")


def _expect_bounded(env: ToolEnv, text: str, most: int, what: str) -> None:
    observation = env.step(text)[0]
    turn = env.episode.turns[-1]
    # A format may repeat the call, which is as long as the agent made it.
    nothing = [ToolResult(ToolStatus.OK, "")] * len(turn.results)
    frame = len(env.action_format.render(turn.parsed.calls[: len(nothing)], nothing)) if nothing else 0
    if len(observation) > most + frame + _FRAME:
        raise CheckFailed(f"{what} gives an observation of {len(observation)} characters; the bound is {most}")
