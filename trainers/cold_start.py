"""Cold start: supervised fine-tuning on scripted demonstrations, loss on action tokens alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from torch import Tensor

from ..agents.engines.scripted import ScriptedEngine
from ..agents.rollout import EpisodeRequest, random_seed, rollout
from ..agents.trajectory import Trajectory
from ..envs.env import ScriptedPolicy, ToolEnv
from ..tools.errors import InputError
from .batching import MicroBatch, training_rows
from .learner import Learner
from .logprobs import TokenLogprobs
from .objectives import token_weights
from .recipe import ColdStart
from .run import Run, Stopwatch


class ColdStartStage:
    """Trains on a fixed set of demonstrations, reshuffled every epoch.

    Args:
        run: The run.
        settings: The stage's part of the recipe.

    Attributes:
        learner: Optimizer and schedule.
        trajectories: The demonstrations.
    """

    def __init__(self, run: Run, settings: ColdStart) -> None:
        self.run, self.settings = run, settings
        recipe = run.recipe
        self.learner = Learner(
            run.policy.model, settings.optimizer, settings.steps, device=run.device, dtype=recipe.dtype
        )
        self.trajectories = demonstrate(run, settings)
        self.rows = training_rows(self.trajectories)

    def step(self, step: int) -> dict[str, float]:
        """One optimizer step on a batch of demonstrations.

        Args:
            step: Steps done so far in this stage.

        Returns:
            The step's metrics.
        """
        watch = Stopwatch()
        settings = self.settings
        batch = [self.rows[index] for index in self._batch(step)]
        counts = [row.trained_count for row in batch]
        weights = token_weights(counts, [row.episode_id for row in batch])
        weighted = [replace(row, weight=weight) for row, weight in zip(batch, weights, strict=True)]
        update = self.learner.update(weighted, negative_logprob, settings.token_budget, settings.layout)
        self.run.weights_changed()
        self.run.counters.trained_tokens += sum(counts)
        watch.lap("train")
        return {
            "loss": update.loss,
            "gradient_norm": update.gradient_norm,
            "lr": update.lr,
            "trained_tokens": float(sum(counts)),
            **watch.metrics(),
            "tokens_per_second": sum(len(row.token_ids) for row in batch) / watch.parts["train"],
        }

    def _batch(self, step: int) -> list[int]:
        """Rows of a step: a walk through permutations that depend on the seed and the epoch alone."""
        size, count = self.settings.batch_size, len(self.rows)
        positions = range(step * size, (step + 1) * size)
        orders = {epoch: self._order(epoch) for epoch in {position // count for position in positions}}
        return [int(orders[position // count][position % count]) for position in positions]

    def _order(self, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        seed = random_seed(self.run.recipe.seed, self.settings.name, "order", epoch)
        return np.random.default_rng(seed).permutation(len(self.rows))


def negative_logprob(batch: MicroBatch, scored: TokenLogprobs) -> Tensor:
    """The loss of supervised fine-tuning, per token."""
    del batch
    return -scored.logprobs


def demonstrator(env: ToolEnv, settings: ColdStart, seed: int) -> ScriptedPolicy:
    """The environment's demonstrator with the stage's options.

    Raises:
        InputError: For an option that it does not have, or a bad value.
    """
    known = set(inspect.signature(env.demonstrator).parameters) - {"seed"}
    if unknown := set(settings.demonstrator) - known:
        raise InputError(
            f"stage {settings.name!r}: the demonstrator of {type(env).__name__} has no option {sorted(unknown)}; "
            f"it has {sorted(known) or 'none'}"
        )
    make: Callable[..., ScriptedPolicy] = env.demonstrator
    return make(seed=seed, **settings.demonstrator)


def demonstrate(run: Run, settings: ColdStart) -> list[Trajectory]:
    """Lets the environment's demonstrator play the training tasks, in their order, as often as needed."""
    env = run.environment(settings)
    seed = random_seed(run.recipe.seed, settings.name, "demonstrator")
    policy = demonstrator(env, settings, seed)
    requests = [
        EpisodeRequest(env.tasks[index % len(env.tasks)].id, f"{settings.name}-{index}")
        for index in range(settings.demonstrations)
    ]
    played = rollout(ScriptedEngine(policy, run.codec), run.codec, env, requests, seed=run.recipe.seed)
    env.close()
    return played.trajectories
