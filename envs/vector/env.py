"""Many environments on threads, so that their tools' latencies overlap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from ...tools.errors import InputError
from ..env import ToolEnv
from ..episode import StopReason
from ..registration import make_env
from .groups import Flags, Groups, read_mask
from .infos import batch_infos
from .work import Crew

Rewards = np.ndarray[Any, np.dtype[np.float64]]
VectorStep = tuple[tuple[str, ...], Rewards, Flags, Flags, dict[str, Any]]
Seeds = int | Sequence[int | None] | None


class EnvStep(NamedTuple):
    """What the step of one environment returned, its info as it is (not batched).

    Attributes:
        observation: The text that is new to the agent.
        reward: The reward.
        terminated: Whether the episode came to its end.
        truncated: Whether it was cut off.
        info: As `ToolEnv.step` returns it.
    """

    observation: str
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


class ToolVectorEnv(VectorEnv[tuple[str, ...], Sequence[str], np.ndarray[Any, Any]]):
    """Copies of an environment that share its tasks and tools, stepped on threads.

    It steps all environments (`step`), some of them (`step_subset`), or each by itself without waiting for the others
    (`send`, `receive`). Where steps take no longer than it costs to hand them to a thread they run one after the other;
    what they return does not depend on that. The same seeds give the same episodes as Gymnasium's vector environments,
    and each environment alone.

    `num_groups` x `group_size` environments form groups (for GRPO and its relatives): in a group all have the same seed
    and so the same task, episode after episode, and after a `reset` the groups have different tasks, as far as there
    are enough. Infos of a reset then hold `group_id` and `seed`.

    An exception in one environment's step (a search server that is gone) costs that environment's episode alone: it is
    truncated without a reward, with the stop reason `failed` and the exception in `info["error"]`. Mistakes of the
    caller (`InputError`) and a reset that fails are raised, with a note that names the environment.

    Args:
        env: The environment; the first of the copies.
        num_envs: Number of environments; by default `num_groups` times `group_size`.
        num_groups: Number of groups; by default `num_envs` divided by `group_size`.
        group_size: Environments in a group.
        autoreset_mode: What follows an episode's end, as in Gymnasium: the environment's next step resets it, its last
            step already has (`final_obs` and `final_info` are then in the info), or nothing, and
            `reset(options={"reset_mask": ...})` is called for.
        workers: Threads; by default one for each environment.

    Raises:
        InputError: If the numbers do not fit.
    """

    def __init__(
        self,
        env: ToolEnv,
        num_envs: int | None = None,
        *,
        num_groups: int | None = None,
        group_size: int = 1,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        workers: int | None = None,
    ) -> None:
        self._groups = Groups(num_envs, num_groups, group_size)
        self.num_envs = self._groups.num_envs
        self._places = range(self.num_envs)
        if workers is not None and workers < 1:
            raise InputError(f"workers must be at least 1, not {workers}")
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        self.envs = [env, *(env.spawn() for _ in range(self.num_envs - 1))]
        self.metadata = {**env.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode, self.spec = env.render_mode, env.spec
        self.single_observation_space, self.single_action_space = env.observation_space, env.action_space
        self.observation_space = batch_space(env.observation_space, self.num_envs)
        self.action_space = batch_space(env.action_space, self.num_envs)
        self._observations = [""] * self.num_envs
        self._begun, self._ended = [False] * self.num_envs, [False] * self.num_envs
        self._crew = Crew(workers or self.num_envs)

    @classmethod
    def of_id(
        cls,
        id: str,
        num_envs: int = 1,
        *,
        num_groups: int | None = None,
        group_size: int = 1,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        workers: int | None = None,
        **options: Any,
    ) -> Self:
        """A vector of a registered environment; what `gymnasium.make_vec` calls.

        Args:
            id: The environment's id.
            num_envs: As for the class; 1, which is what Gymnasium says when nobody said anything, gives way to the
                number of groups.
            num_groups: As for the class.
            group_size: As for the class.
            autoreset_mode: As for the class.
            workers: As for the class.
            **options: Options of the environment.

        Raises:
            InputError: If an option is unknown or the numbers do not fit.
        """
        return cls(
            make_env(id, **options),
            None if num_envs == 1 and num_groups is not None else num_envs,
            num_groups=num_groups,
            group_size=group_size,
            autoreset_mode=autoreset_mode,
            workers=workers,
        )

    @property
    def group_ids(self) -> np.ndarray[Any, Any]:
        """The group of each environment."""
        return self._groups.of

    # Gymnasium ------------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Starts an episode in every environment, or in those of a mask.

        Args:
            seed: A number, from which environments (or groups) count on, or one for each. Without, environments go on
                drawing from where they are, and groups get new seeds from the vector's own generator.
            options: `reset_mask`, an array of bool: only these environments are reset. `task_ids`: a task for each
                environment or group. Others go to every environment.

        Returns:
            The observations of all environments, and the infos of those that were reset.

        Raises:
            InputError: If seeds, mask or tasks do not fit, or an environment refuses an option.
        """
        self._check_idle()
        options = dict(options or {})
        mask, task_ids = read_mask(options.pop("reset_mask", None), self.num_envs), options.pop("task_ids", None)
        named = task_ids is not None or "task_id" in options
        tasks = [None] * self.num_envs if task_ids is None else self._groups.spread(task_ids, "task_ids")
        seeds = self._seeds(seed, mask, named=named)
        works: dict[int, Callable[[], Any]] = {}
        for index in np.flatnonzero(mask).tolist():
            chosen = options if tasks[index] is None else {**options, "task_id": tasks[index]}
            works[index] = partial(self._reset, index, seeds[index], chosen or None)
        infos = {index: info for index, (_, info) in self._crew.do(works, "reset").items()}
        return tuple(self._observations), batch_infos(infos, self.num_envs)

    def step(self, actions: Sequence[str]) -> VectorStep:
        """Takes one action in every environment, and waits for all.

        Args:
            actions: An action for each environment; that of an environment whose step resets it is ignored.

        Returns:
            Observations, rewards, terminated, truncated and infos of all environments, the infos batched as Gymnasium
            batches them.

        Raises:
            ResetNeeded: If an environment was not reset, or has ended and is not reset by its step.
            InputError: If there is not one action for each environment, or one is still stepping.
        """
        if isinstance(actions, str | Mapping) or len(actions) != self.num_envs:
            raise InputError(
                f"step() takes a sequence of {self.num_envs} actions, one for each environment; "
                "step_subset() takes {position: action}"
            )
        steps = self.step_subset(dict(enumerate(actions)))
        columns = zip(*(steps[index] for index in range(self.num_envs)), strict=True)
        observations, rewards, terminated, truncated, infos = columns
        return (
            observations,
            np.array(rewards, np.float64),
            np.array(terminated, np.bool_),
            np.array(truncated, np.bool_),
            batch_infos(dict(enumerate(infos)), self.num_envs),
        )

    def render(self) -> tuple[Any, ...]:
        """The transcripts, in render mode `ansi`."""
        return tuple(env.render() for env in self.envs)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Calls a method of each environment, or reads an attribute."""
        found = [getattr(env, name) for env in self.envs]
        return tuple(one(*args, **kwargs) if callable(one) else one for one in found)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of each environment."""
        return tuple(getattr(env, name) for env in self.envs)

    def set_attr(self, name: str, values: Any) -> None:
        """Sets an attribute of each environment, to one value or to a list of values.

        Raises:
            InputError: If the list has another length.
        """
        if not isinstance(values, list | tuple):
            values = [values] * self.num_envs
        if len(values) != self.num_envs:
            raise InputError(f"{len(values)} values of {name!r} for {self.num_envs} environments")
        for env, value in zip(self.envs, values, strict=True):
            setattr(env, name, value)

    def close_extras(self, **kwargs: Any) -> None:
        """Waits for steps that still run, and closes the environments. Their tools stay open for others."""
        self._crew.close()
        for env in self.envs:
            env.close()

    # One environment at a time --------------------------------------------------------------------------------

    def step_subset(self, actions: Mapping[int, str]) -> dict[int, EnvStep]:
        """Takes one action in each of some environments, and waits for these.

        Args:
            actions: Actions by position of their environment.

        Returns:
            What each step returned, in the order of the actions.

        Raises:
            ResetNeeded: As for `step`.
            InputError: If there is no such environment, or one is still stepping.
        """
        self._check_idle()
        steps: dict[int, EnvStep] = self._crew.do(self._works(actions), "step")
        return steps

    def send(self, actions: Mapping[int, str]) -> None:
        """Begins one step in each of some environments, and waits for none.

        Raises:
            ResetNeeded: As for `step`.
            InputError: If there is no such environment, or it is still stepping.
        """
        self._check_open()
        self._crew.send(self._works(actions))

    def receive(self, timeout: float | None = None) -> dict[int, EnvStep]:
        """Waits for a step that was sent, and returns all that have finished by then.

        Args:
            timeout: Longest wait in seconds; None waits as long as it takes.

        Returns:
            What each step returned, in the order in which they finished; empty after the timeout.

        Raises:
            InputError: If no step was sent whose result is still to come.
        """
        self._check_open()
        if not self._crew.busy:
            raise InputError("receive() waits for steps, and none was sent; call send({position: action}) first")
        steps: dict[int, EnvStep] = self._crew.receive(timeout)
        return steps

    @property
    def running(self) -> tuple[int, ...]:
        """Environments whose result was not received yet."""
        return tuple(sorted(self._crew.busy))

    # Inside ---------------------------------------------------------------------------------------------------

    def _works(self, actions: Mapping[int, str]) -> dict[int, Callable[[], EnvStep]]:
        """The steps that actions stand for.

        Raises:
            ResetNeeded: If one has no episode to step.
            InputError: If there is no such environment, or it is still stepping.
        """
        if not all(map(self._can_step, actions)):
            self._refuse(list(actions))
        return {int(index): partial(self._step, int(index), action) for index, action in actions.items()}

    def _can_step(self, index: int) -> bool:
        if index not in self._places or index in self._crew.busy or not self._begun[index]:
            return False
        return self.autoreset_mode is not AutoresetMode.DISABLED or not self._ended[index]

    def _refuse(self, indices: Sequence[int]) -> None:
        """Says what is wrong with steps of these environments."""
        wrong = [index for index in indices if index not in self._places]
        if wrong:
            raise InputError(f"there are no environments {wrong}; they are 0 to {self.num_envs - 1}")
        busy = [index for index in indices if index in self._crew.busy]
        if busy:
            raise InputError(f"environments {busy} are still stepping; receive() their results first")
        fresh = [index for index in indices if not self._begun[index]]
        if fresh:
            raise ResetNeeded(f"environments {fresh} have no episode yet; call reset() first")
        over = [index for index in indices if self._ended[index]]
        raise ResetNeeded(
            f"the episodes of environments {over} have ended; call reset(options={{'reset_mask': ...}}) first"
        )

    def _reset(self, index: int, seed: int | None, options: dict[str, Any] | None) -> tuple[str, dict[str, Any]]:
        """One environment's reset, on whatever thread."""
        self._ended[index] = True  # should this fail, the next step tries again
        observation, info = self.envs[index].reset(seed=seed, options=options)
        self._observations[index] = observation
        self._begun[index], self._ended[index] = True, False
        if self._groups.wanted:
            info["group_id"] = int(self._groups.of[index])
            if seed is not None:
                info["seed"] = seed
        return observation, info

    def _step(self, index: int, action: str) -> EnvStep:
        """One environment's step, on whatever thread."""
        if self._ended[index]:
            observation, info = self._reset(index, None, None)
            return EnvStep(observation, 0.0, False, False, info)
        env = self.envs[index]
        try:
            step = EnvStep(*env.step(action))
        except (InputError, ResetNeeded):
            raise
        except Exception as error:  # contained: the other environments have nothing to do with it
            step = _lost(env, index, error)
        self._observations[index] = step.observation
        self._ended[index] = step.terminated or step.truncated
        if not self._ended[index] or self.autoreset_mode is not AutoresetMode.SAME_STEP:
            return step
        observation, info = self._reset(index, None, None)
        info = {"final_obs": step.observation, "final_info": step.info, **info}
        return step._replace(observation=observation, info=info)

    def _seeds(self, seed: Seeds, mask: Flags, *, named: bool) -> Sequence[int | None]:
        """The seed of each environment; None for one that goes on drawing. Tasks are `named`, or drawn by the seed."""
        if isinstance(seed, int | np.integer):
            seed = int(seed)
            self._np_random, self._np_random_seed = np_random(seed)
        if seed is not None and not isinstance(seed, int):
            return self._groups.spread(seed, "seeds")
        if not self._groups.wanted:
            return [None if seed is None else seed + index for index in range(self.num_envs)]
        others = np.array(self._begun) & ~np.isin(self.group_ids, self.group_ids[mask])
        taken = None if named else {self.envs[index].episode.task.id for index in np.flatnonzero(others)}
        start = int(self.np_random.integers(2**31)) if seed is None else seed
        return self._groups.seeds(start, mask, self.envs[0], taken)

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedEnvironmentError("this vector environment is closed")

    def _check_idle(self) -> None:
        self._check_open()
        if self._crew.busy:
            raise InputError(f"environments {self.running} are still stepping; receive() their results first")


def _autoreset_mode(mode: str | AutoresetMode) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        known = ", ".join(repr(one.value) for one in AutoresetMode)
        raise InputError(f"autoreset_mode must be one of {known}, not {mode!r}") from None


def _lost(env: ToolEnv, index: int, error: Exception) -> EnvStep:
    """The end of an episode that something broke: no reward, for it says nothing of the agent."""
    with suppress(Exception):  # what broke first is what is reported
        env.close()
    env.episode.stop_reason = StopReason.FAILED
    info = {
        "task_id": env.episode.task.id,
        "messages": [],
        "faults": [],
        "calls": [],
        "reward_terms": {},
        "score": 0.0,
        "answer": None,
        "stop_reason": str(StopReason.FAILED),
        "error": f"environment {index}, task {env.episode.task.id}: {type(error).__name__}: {error}",
    }
    return EnvStep("", 0.0, False, True, info)
