"""The commonest step in one go: an action that is one call of a function of one text, and nothing else.

At every turn `ToolEnv.step` asks the format, the limits and the tool's policy what they have to say. Of most steps they
have nothing to say. Here they are asked once, for as many steps as their answer surely holds, and the rest is done in
one function. `ToolEnv.step` could do these steps as well: either way they come out the same.
"""

from __future__ import annotations

import math
from typing import Any

from ..tools.base import Tool, ToolCall, ToolSession
from ..tools.errors import ToolUnavailable
from ..tools.guard import guarded_call
from ..tools.runtime import ToolRuntime
from .episode import Action, Episode, ParsedAction, Step, Turn
from .formats.base import ActionFormat, Cut
from .formats.single import SingleFunctionFormat
from .limits import Limits


class PlainSteps:
    """The plain steps that an environment may take from where its episode stands, until it takes another.

    Args:
        episode: Record of the episode, which has not ended.
        limits: Bounds of the episode.
        wire: The format, which has a `lone_call`.
        argument: Name of the argument of the format's function; any text fits.
        tool: The tool that has the function; it has no limits of its own.
        session: Its session.
        cut: Cuts the payload of an observation to the limits.
        steps: How many steps they are: no limit has anything to say of so many turns, each of one call.
    """

    def __init__(
        self,
        episode: Episode,
        limits: Limits,
        wire: SingleFunctionFormat,
        argument: str,
        tool: Tool,
        session: ToolSession,
        cut: Cut,
        steps: float,
    ) -> None:
        assert wire.lone_call is not None
        self._episode, self._limits, self._cut, self._left = episode, limits, cut, steps
        self._wire, self._match, self._name, self._argument = wire, wire.lone_call.fullmatch, wire.function, argument
        self._tool, self._session, self._policy = tool, session, tool.policy
        self._before, self._after = wire.around
        most = limits.max_observation_characters
        self._most_characters = math.inf if most is None else most

    def take(self, action: Action, episode: Episode, limits: Limits) -> Step | None:
        """Takes an action, if it is plain; None, with nothing done, if it is not.

        Args:
            action: The action.
            episode: The environment's episode; of another than this one's, no action is taken.
            limits: The environment's limits; under others, no action is taken.

        Raises:
            ToolUnavailable: If what the tool stands on is gone.
        """
        lone, tool, name = self._match(action), self._tool, self._name
        if lone is None or self._left < 1 or self._episode is not episode or self._limits is not limits:
            return None
        if tool.timeout is not None or tool.policy is not self._policy or not (value := lone[1].strip()):
            return None
        self._left -= 1
        said: str = lone[0]
        episode.messages.append({"role": "assistant", "content": said})
        call = ToolCall(name, {self._argument: value})
        try:
            result = guarded_call(self._session, call, tool.max_output_characters)
        except ToolUnavailable as error:
            error.function = error.function or name
            raise
        payload = result.output.strip()
        if result.metadata or len(payload) > self._most_characters:
            observation = self._wire.render((call,), (result,), self._cut)
        else:
            observation = self._before + payload + self._after
        messages = [{"role": "user", "content": observation}]
        episode.messages += messages
        episode.turns.append(Turn(action, ParsedAction(said, "", (call,)), (result,), observation))
        made = {"name": name, "status": str(result.status), "seconds": result.seconds}
        info: dict[str, Any] = {"task_id": episode.task.id, "messages": messages, "faults": [], "calls": [made]}
        return observation, 0.0, False, False, info


def plain_steps(
    episode: Episode, limits: Limits, wire: ActionFormat, runtime: ToolRuntime, cut: Cut
) -> PlainSteps | None:
    """The plain steps that an environment may take; None where it may take none.

    Args:
        episode: Record of the episode, which has not ended.
        limits: Bounds of the episode.
        wire: The format.
        runtime: The sessions of the tools.
        cut: Cuts the payload of an observation to the limits.
    """
    if not isinstance(wire, SingleFunctionFormat) or wire.lone_call is None:
        return None
    function = next((one for one in runtime.functions if one.name == wire.function), None)
    argument = None if function is None else function.string_argument
    if function is None or argument is None or not function.argument_check.takes_text(argument):
        return None
    unlimited = runtime.unlimited(wire.function)
    if unlimited is None or limits.max_observation_tokens is not None:
        return None
    turns = math.inf if limits.max_turns is None else limits.max_turns - 1 - len(episode.turns)
    calls = math.inf if limits.max_calls is None else limits.max_calls - episode.call_count
    steps = min(turns, calls)
    return PlainSteps(episode, limits, wire, argument, *unlimited, cut, steps) if steps >= 1 else None
