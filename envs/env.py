"""The environment: text in, text out, tools in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils.seeding import np_random
from msgspec.structs import replace

from ..tools.adapters import ToolLike, as_tool
from ..tools.arguments import DEEPEST, nests_too_deeply
from ..tools.base import FunctionSchema, Tool, ToolCall, ToolResult, ToolStatus
from ..tools.errors import InputError
from ..tools.output import clean_text, keep_ends
from ..tools.runtime import ToolRuntime
from .choices import check_format, pick_format, pick_reward
from .episode import Action, Episode, Message, ParsedAction, RewardResult, Step, StopReason, Turn
from .episode import FormatFault as Fault
from .formats.base import ActionFormat
from .limits import LimitsChoice, Truncator, pick_limits
from .plain_steps import plain_steps
from .reward import RewardSpec
from .spaces import TextSpace
from .state import StatefulEnv
from .task import Task, TaskSet

_as_action = str.__new__  # what `Action` does with a text alone, but for the call
ScriptedPolicy = Callable[[Episode], str]
"""Writes the next action of an episode. It sees the task's answers: oracles and demonstrators, never a model."""


class ToolEnv(StatefulEnv):
    """A multi-turn environment in which an agent thinks, calls tools and answers.

    `reset` returns the prompt; `step` takes an action (a string, or an `Action` that knows how generation ended) and
    returns the text that is new to the agent. The reward comes at the end. Nothing that a model can write makes
    `step` raise.

    Args:
        tasks: What may be asked.
        tools: What may be called: tools, or what `as_tool` makes tools of (typed functions, LangChain's tools, ...).
            Tools are shared between environments; sessions are not.
        action_format: The wire language, by name or as an instance.
        reward: What a trainer optimises, by name or as an instance.
        limits: Bounds of an episode. By default those of the format's published system that need no tokenizer;
            `"published"` takes all of them.
        render_mode: `ansi` or None.

    Raises:
        InputError: If a name is unknown, a bound makes no sense, or the format cannot express the tools.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 1}  # type: ignore[misc]
    guess_rate: float = 0.0
    """Highest mean score that a policy without knowledge of the task may reach by guessing."""

    def __init__(
        self,
        tasks: TaskSet,
        tools: Sequence[ToolLike] = (),
        *,
        action_format: str | ActionFormat,
        reward: RewardSpec = "exact_match",
        limits: LimitsChoice = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, "ansi"):
            raise InputError(f"render_mode must be None or 'ansi', not {render_mode!r}")
        self.tasks = tasks
        self.tools = tuple(as_tool(tool) for tool in tools)
        self.action_format = pick_format(action_format, "full")
        check_format(self.action_format, self.functions)
        self.reward_function = pick_reward(reward)
        self.limits = pick_limits(limits, self.action_format.limits)
        self.render_mode = render_mode
        self.observation_space = TextSpace()
        self.action_space = TextSpace()
        self.truncator: Truncator | None = None

    @property
    def functions(self) -> tuple[FunctionSchema, ...]:
        """All functions of all tools, in order."""
        return tuple(function for tool in self.tools for function in tool.functions)

    def tool(self, function: str) -> Tool:
        """The tool that has a function.

        Args:
            function: Name of the function, as the model writes it.

        Raises:
            InputError: If no tool has such a function.
        """
        functions = {schema.name: tool for tool in self.tools for schema in tool.functions}
        if function not in functions:
            raise InputError(f"no tool has a function {function!r}; there are: {', '.join(functions) or 'none'}")
        return functions[function]

    def configure_tool(self, function: str, settings: Mapping[str, Any]) -> None:
        """Sets a tool's `timeout` and fields of its `policy`, for all who share the tool.

        Args:
            function: Name of one of its functions.
            settings: Values by name: `{"timeout": 5.0, "max_concurrency": 4}`.

        Raises:
            InputError: If no tool has such a function, or a setting is unknown or out of range.
        """
        self.tool(function).configure(settings)

    # What an environment defines ------------------------------------------------------------------------------

    def score(self, episode: Episode) -> float:
        """Verified correctness of the final answer in [0, 1]; format and length play no part.

        By default the answer must equal one of the task's answers, after normalisation.
        """
        from .rewards import exact_match

        return float(exact_match(episode.answer or "", episode.task.answers, variant="strict"))

    @classmethod
    def scoring_options(cls, tasks: TaskSet) -> dict[str, Any]:
        """Options that differ where the environment is asked for rewards and scores alone (`make_scoring_env`).

        An environment whose tools search something large names the options that spare it.

        Args:
            tasks: The tasks of the episodes that are to be scored.
        """
        return {"tasks": tasks}

    def assess(self, episode: Episode) -> tuple[RewardResult, float]:
        """Reward and score of an episode that has ended, whoever played it: `step` says the same at the end.

        An infrastructure failure is no reward: the rollout marks such an episode and leaves it out.
        """
        if episode.stop_reason is StopReason.FAILED:
            return RewardResult(0.0), 0.0
        # What was answered after a forged observation was not found out here: it counts as unverified.
        unverified = episode.answer is None or episode.forged
        return self.reward_function(episode), 0.0 if unverified else float(self.score(episode))

    def oracle(self) -> ScriptedPolicy:
        """A scripted policy that knows the answers and solves every task by honest play."""
        raise NotImplementedError(f"{type(self).__name__} has no oracle")

    def oracle_gap(self, task: Task) -> str:
        """What keeps the oracle from solving a task by honest play, in a few words; empty where nothing does."""
        del task
        return ""

    def demonstrator(self, *, seed: int = 0) -> ScriptedPolicy:
        """A scripted policy to imitate in a cold start. Environments may add options that make it imperfect.

        Args:
            seed: Keys what it does at random.
        """
        del seed  # the oracle draws nothing
        return self.oracle()

    # Gymnasium ------------------------------------------------------------------------------------------------

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings after which the generation of the next action stops."""
        episode = self._episode
        over = episode is not None and self._calls_are_over(episode, self._last_turn(episode))
        return self.action_format.final_stop if over else self.action_format.stop

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Starts an episode.

        Args:
            seed: Fixes the task that is drawn and the seeds of the tools.
            options: `{"task_id": ...}` picks a task exactly.

        Returns:
            The prompt as plain text, and info with `task_id`, `messages` (the prompt as chat messages) and `tools`
            (JSON schemas).

        Raises:
            InputError: For an unknown option or task id.
        """
        super().reset(seed=seed)
        unknown = set(options) - {"task_id"} if options else None
        if unknown:
            raise InputError(f"reset() knows the option 'task_id' alone, not {sorted(unknown)}")
        drawn, tool_seed = _draw(self.np_random), _draw(self.np_random)
        task_id = (options or {}).get("task_id")
        task: Task = self.tasks[drawn % len(self.tasks)] if task_id is None else self.tasks.by_id(task_id)
        self._close_runtime()
        self._runtime = runtime = ToolRuntime(self.episode_tools(task), seed=tool_seed)
        prompt = self.action_format.text(task, runtime.functions)
        messages = self.action_format.messages(task, runtime.functions)
        self._episode = Episode(task, prompt, list(messages))
        self._find_plain_steps()
        schemas = [function.as_openai() for function in runtime.functions]
        return prompt, {"task_id": task.id, "messages": messages, "tools": schemas}

    def task_of_seed(self, seed: int) -> Task:
        """The task that `reset(seed=seed)` draws."""
        task: Task = self.tasks[_draw(np_random(seed)[0]) % len(self.tasks)]
        return task

    def step(self, action: str) -> Step:
        """Takes one action.

        Args:
            action: What the agent wrote; an `Action` also says whether it was cut by a token limit.

        Returns:
            The observation (text new to the agent), the reward (0 until the end), terminated, truncated, and info:
            `messages` (the observation as chat messages), `faults`, `calls`, and at the end `reward_terms`, `score`,
            `stop_reason`.

        Raises:
            ResetNeeded: If the episode has ended.
            ToolUnavailable: If what a tool stands on is gone: the model did not cause it, and no reward may say so.
                The episode is lost; call `reset`.
        """
        # This and what it calls are written for speed: locals instead of properties, few calls.
        episode = self._episode or self.episode
        if episode.stop_reason is not None:
            raise ResetNeeded(f"the episode ended ({episode.stop_reason.value}); call reset() before the next step")
        if not isinstance(action, Action):
            action = _as_action(Action, action)
        plain = self._plain_steps
        if plain is not None and (step := plain.take(action, episode, self.limits)) is not None:
            return step
        last = self._last_turn(episode)
        parsed = self._parse(action, last)
        episode.messages.append(self.action_format.assistant_message(action, parsed))
        if parsed.answer is None and (parsed.calls or parsed.reply is not None):
            return self._continue(action, parsed, last and not parsed.unfinished)
        episode.turns.append(Turn(action, parsed))
        if parsed.answer is not None:
            return self._finish(StopReason.ANSWER)
        if action.finish_reason == "length":
            return self._finish(StopReason.MAX_TOKENS)
        without_calls = last and not self.limits.last_turn_calls
        return self._finish(StopReason.MAX_TURNS if without_calls else StopReason.NO_ACTION)

    def truncate(self, reason: StopReason, action: Action | None = None) -> Step:
        """Ends the episode for a reason that only the agent's side can see.

        Args:
            reason: A reason that truncates (`MAX_TOKENS`, `MAX_CONTEXT`, `WALL_TIME`, `FAILED`, ...).
            action: The last action, cut by that reason. It is recorded, its calls do not run; if it holds a whole
                answer, the episode ends with that answer instead.

        Returns:
            What `step` returns at the end of an episode.

        Raises:
            ValueError: If the reason is one that the environment alone decides.
            ResetNeeded: If the episode has ended already.
        """
        if reason.terminated:
            raise ValueError(f"truncate() takes a reason that cuts an episode off, not {reason.value!r}")
        if self.episode.stop_reason is not None:
            raise ResetNeeded(f"the episode ended already ({self.episode.stop_reason.value})")
        if action is not None:
            parsed = self._parse(action, self._last_turn(self.episode))
            self.episode.messages.append(self.action_format.assistant_message(action, parsed))
            if parsed.calls:
                parsed = replace(parsed, answer=self.action_format.result_answer(parsed, ()))
            self.episode.turns.append(Turn(action, parsed))
            if parsed.answer is not None:
                reason = StopReason.ANSWER
        return self._finish(reason)

    def render(self) -> str | None:
        """The transcript so far, in render mode `ansi`."""
        if self.render_mode != "ansi":
            return None
        return self.episode.prompt + self.episode.response

    # Inside ---------------------------------------------------------------------------------------------------

    def _find_plain_steps(self) -> None:
        assert self._runtime is not None
        self._plain_steps = plain_steps(self.episode, self.limits, self.action_format, self._runtime, self._shorten)

    def _last_turn(self, episode: Episode) -> bool:
        """Whether the next action is the last that the limits allow."""
        most = self.limits.max_turns
        return most is not None and len(episode.turns) + 1 >= most and episode.turn_count + 1 >= most

    def _calls_are_over(self, episode: Episode, last: bool) -> bool:
        """Whether the next action, the `last` or not, is read for its answer alone."""
        limits = self.limits
        if last and not limits.last_turn_calls:
            return True
        return limits.surplus_calls == "ignore" and episode.call_count >= (limits.max_calls or 0)

    def _parse(self, action: Action, last: bool) -> ParsedAction:
        wire = self.action_format
        assert self._runtime is not None and self._episode is not None
        functions = self._runtime.functions
        if self._calls_are_over(self._episode, last):
            parsed = wire.parse_final(action, functions)
        elif type(wire).parse_in_place is ActionFormat.parse_in_place:
            parsed = wire.parse(action, functions)
        else:
            parsed = wire.parse_in_place(action, functions, self._before())
        for call in parsed.calls:
            if nests_too_deeply(call.arguments):
                parsed = replace(parsed, calls=tuple(map(_without_deep_arguments, parsed.calls)))
                break
        faults = parsed.faults
        # Judged here for every format, by provenance: what stands in an action was written by the agent.
        if wire.forged(action) and Fault.FORGED_OBSERVATION not in faults:
            faults = (*faults, Fault.FORGED_OBSERVATION)
        if not (parsed.calls or faults) and parsed.answer is None and parsed.reply is None:
            faults = (Fault.NO_ACTION,)
        return parsed if faults is parsed.faults else replace(parsed, faults=faults)

    def _before(self) -> str:
        """What stands before the next action."""
        if not self.episode.turns:
            return self.episode.prompt
        turn = self.episode.turns[-1]
        return turn.parsed.text + turn.observation

    def _continue(self, action: Action, parsed: ParsedAction, last: bool) -> Step:
        episode, wire, calls = self._episode or self.episode, self.action_format, parsed.calls
        results: tuple[ToolResult, ...] = ()
        messages: list[Message] | None = None
        if calls:
            results = self._run(calls)
            if len(results) < len(calls):
                episode.turns.append(Turn(action, parsed, results))
                return self._finish(StopReason.MAX_CALLS)
            observation = wire.render(calls, results, self._shorten)
            if wire.transcript == "chat":
                messages = wire.render_messages(calls, results, self._shorten)
        else:
            # A format quotes what the agent wrote, which is held to what a tool's result is held to.
            observation = clean_text(keep_ends(wire.render_reply(parsed), Tool.max_output_characters).text)
        if messages is None:
            messages = [{"role": "user", "content": observation}]
        answer = wire.result_answer(parsed, () if last else results)  # nobody sees what the last turn's calls return
        if answer is not None:
            episode.turns.append(Turn(action, replace(parsed, answer=answer), results, "" if last else observation))
            return self._finish(StopReason.ANSWER)
        turn = Turn(action, parsed, results, "" if last else observation)
        episode.turns.append(turn)
        if last:
            return self._finish(StopReason.MAX_TURNS)
        episode.messages.extend(messages)
        self._find_plain_steps()
        return turn.told if parsed.surplus else observation, 0.0, False, False, _info(episode, turn, messages)

    def _run(self, calls: Sequence[ToolCall]) -> tuple[ToolResult, ...]:
        assert self._runtime is not None
        limits, run = self.limits, self._runtime.call
        if limits.max_calls is None:
            return tuple(map(run, calls))
        left = max(0, limits.max_calls - self.episode.call_count)
        results = tuple(map(run, calls[:left]))
        if limits.surplus_calls == "truncate" or left >= len(calls):
            return results
        # An action with one call too many keeps what the others found.
        refusal = ToolResult(ToolStatus.BUDGET, f"No tool calls are left: the limit of {limits.max_calls} is reached.")
        return results + (refusal,) * len(calls[left:])

    def _shorten(self, text: str) -> str:
        """The payload of an observation, cut to the limits."""
        limits, keep = self.limits, self.limits.observation_cut
        most = limits.max_observation_characters
        if most is not None and len(text) > most:
            text = text[:most] if keep == "head" else keep_ends(text, most).text
        if limits.max_observation_tokens is not None:
            if self.truncator is None:
                raise InputError(
                    "limits.max_observation_tokens needs a tokenizer, which only a rollout has; "
                    "use limits.max_observation_characters, or set env.truncator"
                )
            text = self.truncator(text, limits.max_observation_tokens, keep)
        return text

    def _finish(self, reason: StopReason) -> Step:
        episode = self.episode
        episode.stop_reason = reason
        result, score = self.assess(episode)
        info = _info(episode, episode.turns[-1] if episode.turns else None, [])
        info["reward_terms"] = {name: float(value) for name, value in result.terms.items()}
        info["score"] = score
        info["answer"] = episode.answer
        info["stop_reason"] = reason.value
        self._close_runtime()
        said = self.action_format.closing_text(result.reward) if reason is StopReason.ANSWER else ""
        return said, float(result.reward), reason.terminated, not reason.terminated, info


def _info(episode: Episode, turn: Turn | None, messages: list[Message]) -> dict[str, Any]:
    """What every step says of its turn; None where the episode ended before one."""
    info: dict[str, Any] = {"task_id": episode.task.id, "messages": messages, "faults": [], "calls": []}
    if turn is not None:
        if turn.parsed.faults:
            info["faults"] = list(map(str, turn.parsed.faults))
        for call, result in zip(turn.parsed.calls, turn.results, strict=False):
            info["calls"].append({"name": call.name, "status": str(result.status), "seconds": result.seconds})
    return info


def _draw(generator: np.random.Generator) -> int:
    return int(generator.integers(0, 2**31 - 1))


def _without_deep_arguments(call: ToolCall) -> ToolCall:
    """The call, which is not to be made if its arguments are too deep to be copied and stored."""
    if not nests_too_deeply(call.arguments):
        return call
    return replace(call, arguments={}, error=f"they are nested more than {DEEPEST} levels deep")
