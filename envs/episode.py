"""What happened: actions, turns, stop reasons and the record of one episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct

from ..tools.base import ToolCall, ToolResult, ToolStatus
from .task import Task

Message = dict[str, Any]
"""One OpenAI chat message: `role`, `content`, and further keys that a format needs."""

Step = tuple[str, float, bool, bool, dict[str, Any]]
"""What a step returns: observation, reward, terminated, truncated, info."""

FinishReason = Literal["stop", "eos", "length"]


class Action(str):
    """What the agent wrote in one turn: a string that also knows why generation ended.

    Attributes:
        finish_reason: `stop` (a stop string, or a plain `str`), `eos` (the model ended its turn) or `length` (cut by
            a token limit).
        token_count: Tokens that were sampled for it; None where nobody counted (scripted play).
    """

    finish_reason: FinishReason = "stop"
    token_count: int | None = None

    def __new__(cls, text: str, finish_reason: FinishReason = "stop", token_count: int | None = None) -> Action:
        """An action with its text, the reason why generation ended, and the tokens that it took."""
        action = str.__new__(cls, text)
        if finish_reason != "stop":
            action.finish_reason = finish_reason
        if token_count is not None:
            action.token_count = token_count
        return action

    def __reduce__(self) -> tuple[type[Action], tuple[str, FinishReason, int | None]]:
        return (Action, (str(self), self.finish_reason, self.token_count))


class StopReason(StrEnum):
    """Why an episode ended. Every episode ends with exactly one."""

    ANSWER = "answer"
    """The agent gave a final answer (terminated)."""
    NO_ACTION = "no_action"
    """The agent ended its turn with neither call nor answer, and the format gives no second chance (terminated)."""
    MAX_TURNS = "max_turns"
    """The turns were used up (truncated)."""
    MAX_CALLS = "max_calls"
    """A tool call was asked for beyond the budget of calls (truncated)."""
    MAX_TOKENS = "max_tokens"
    """The episode's token budget was used up; only the agent sees it (truncated)."""
    MAX_CONTEXT = "max_context"
    """The model's context window was full; only the agent sees it (truncated)."""
    WALL_TIME = "wall_time"
    """The episode took too long; only the agent sees it (truncated)."""
    FAILED = "failed"
    """The infrastructure failed (engine, worker, environment): no reward, the episode may be retried (truncated)."""

    @property
    def terminated(self) -> bool:
        """Whether the environment itself came to its end, as opposed to being cut off."""
        return self in (StopReason.ANSWER, StopReason.NO_ACTION)


class FormatFault(StrEnum):
    """What can be wrong with an action's form. The list is closed."""

    NO_ACTION = "no_action"
    """Neither a call nor an answer was found."""
    UNCLOSED = "unclosed"
    """A tag or code fence was opened and not closed."""
    BAD_CALL = "bad_call"
    """A call was found but could not be read (broken JSON, missing name, empty query)."""
    FORGED_OBSERVATION = "forged_observation"
    """The agent wrote a mark that only the environment may write."""
    TEXT_AFTER_ACTION = "text_after_action"
    """Text followed the answer or the block of calls; it was cut."""
    MISPLACED = "misplaced"
    """Tags stand in an order that the format does not allow."""


class ParsedAction(Struct, frozen=True):
    """An action as its format reads it.

    Attributes:
        text: The part that counts: up to the first answer or the end of the first contiguous block of calls.
        surplus: What followed and was cut.
        calls: Tool calls to run, in order.
        answer: Final answer, or None.
        faults: What is wrong with the action's form.
        reply: The observation with which the format itself answers an action without call and answer ("Invalid action:
            ..."); the episode then goes on. None ends it.
        unfinished: Whether `reply` asks for the rest of the action, which is the next one; the two are one turn.
    """

    text: str
    surplus: str = ""
    calls: tuple[ToolCall, ...] = ()
    answer: str | None = None
    faults: tuple[FormatFault, ...] = ()
    reply: str | None = None
    unfinished: bool = False


class Turn(Struct, frozen=True):
    """One action and what came of it.

    Attributes:
        action: What the agent wrote, whole.
        parsed: How the format read it.
        results: Results of `parsed.calls`, in order (fewer when the budget ended).
        observation: Text that the environment returned ("" at the end; where a program printed the final answer, what
            it printed).
    """

    action: Action
    parsed: ParsedAction
    results: tuple[ToolResult, ...] = ()
    observation: str = ""

    @property
    def told(self) -> str:
        """What is new to the agent in the observation.

        What it has already written of the opening (a stop string such as ReAct's) stands in its row, and is not
        repeated; nor are line breaks with which both the surplus ends and the observation begins.
        """
        observation, said = self.observation, self.parsed.surplus.lstrip()
        blank = observation[: len(observation) - len(observation.lstrip())]
        for length in range(len(blank), -1, -1):
            opening = blank[:length] + said
            if self.parsed.surplus.endswith(opening) and observation.startswith(opening):
                return observation[len(opening) :]
        return observation


@dataclass
class Episode:
    """The record of one episode, from which rewards are computed.

    Attributes:
        task: What was asked.
        prompt: The first observation (plain text).
        messages: The conversation as chat messages, prompt included.
        turns: The turns so far.
        stop_reason: Why it ended; None while it runs.
    """

    task: Task
    prompt: str
    messages: list[Message] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    stop_reason: StopReason | None = None

    def copy(self) -> Episode:
        """A record that goes its own way from here. Turns and task are values, and shared."""
        messages = [dict(message) for message in self.messages]
        return Episode(self.task, self.prompt, messages, list(self.turns), self.stop_reason)

    @property
    def answer(self) -> str | None:
        """The final answer, or None if none was given."""
        return self.turns[-1].parsed.answer if self.turns else None

    @property
    def response(self) -> str:
        """All that followed the prompt, as one text: the counted parts of the actions and the observations."""
        return "".join(turn.parsed.text + turn.observation for turn in self.turns)

    @property
    def action_tokens(self) -> int | None:
        """Tokens that were sampled in all turns; None where nobody counted."""
        counts = [turn.action.token_count for turn in self.turns]
        return sum(count for count in counts if count is not None) if None not in counts else None

    @property
    def finished_by_agent(self) -> bool:
        """Whether the last action ended by the agent's own doing (not cut by a token limit) and nothing cut it off."""
        ended = self.stop_reason is not None and self.stop_reason.terminated
        return ended and bool(self.turns) and self.turns[-1].action.finish_reason != "length"

    @property
    def faults(self) -> tuple[FormatFault, ...]:
        """All format faults, in order."""
        return tuple(fault for turn in self.turns for fault in turn.parsed.faults)

    @property
    def forged(self) -> bool:
        """Whether the agent wrote an observation itself; such an episode can earn nothing."""
        return FormatFault.FORGED_OBSERVATION in self.faults

    @property
    def turn_count(self) -> int:
        """Turns as `Limits.max_turns` counts them: an unfinished action and its rest are one."""
        return sum(not turn.parsed.unfinished for turn in self.turns)

    @property
    def call_count(self) -> int:
        """Tool calls that ran, those answered with `BUDGET` left out."""
        count = 0  # plain loops: the limits ask for this at every step
        for turn in self.turns:
            for result in turn.results:
                if result.status is not ToolStatus.BUDGET:
                    count += 1
        return count


@dataclass(frozen=True)
class RewardResult:
    """What a reward function says of an episode.

    Attributes:
        reward: What a trainer optimises, in the range its paper gives.
        terms: Named parts of it and metrics beside it.
    """

    reward: float
    terms: Mapping[str, float] = field(default_factory=dict)
