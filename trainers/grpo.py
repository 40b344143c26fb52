"""GRPO over interleaved reasoning and actions: one step, top to bottom.

Roll out groups, compare the episodes of each group, and raise or lower the logprobs of what the policy sampled.
DeepSeekMath (arXiv 2402.03300), with the options of DAPO (2503.14476) and Dr. GRPO (2503.20783).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..agents.engines.base import SamplingParams
from ..agents.group_rewards import apply_group_reward
from ..agents.rollout import AllEpisodesFailed, EpisodeRequest, Rollout, random_seed, rollout
from ..agents.trajectory import Outcome, Trajectory
from ..envs.episode import StopReason
from . import advantages
from .batching import MicroBatch, TrainingRow, training_rows
from .learner import Learner, Update
from .logprobs import TokenLogprobs
from .metrics import Means, rollout_metrics
from .objectives import clipped_policy_loss, kl_penalty, token_weights
from .policy import load_policy
from .recipe import Grpo
from .run import Run, Stopwatch


class GrpoStage:
    """Trains on the policy's own episodes.

    Args:
        run: The run.
        settings: The stage's part of the recipe.

    Attributes:
        learner: Optimizer and schedule.
        trajectories: The rows of the last step, with their advantages.
    """

    def __init__(self, run: Run, settings: Grpo) -> None:
        self.run, self.settings = run, settings
        self.env = run.environment(settings)
        updates = settings.steps * settings.minibatches * settings.epochs
        self.learner = Learner(run.policy.model, settings.optimizer, updates, device=run.device, dtype=run.recipe.dtype)
        self.trajectories: list[Trajectory] = []
        self.reference = self._reference_learner() if settings.kl_coefficient else None

    def step(self, step: int) -> dict[str, float]:
        """One step: roll out, score, train, hand the weights to the engine.

        Args:
            step: Steps done so far in this stage; it alone decides which tasks are played.

        Returns:
            The step's metrics.
        """
        watch = Stopwatch()
        self.run.engine()  # takes over new weights, if the stage before has left any
        watch.lap("sync")

        played = self._roll_out(step)
        self.trajectories = played.trajectories
        watch.lap("generate")

        self._judge_groups()
        metrics = rollout_metrics(played)
        metrics |= self._assign_advantages(step)
        rows = self._rows()
        updates, means = self._train(step, rows)
        watch.lap("train")

        self.run.weights_changed()
        probe = next(row.token_ids for row in self.trajectories if row.segments)
        metrics["weight_check_difference"] = self.run.check_weights(self.learner, probe, self.settings.temperature)
        watch.lap("sync")

        # Tool time that decoding did not hide, out of the time that the rollout took.
        waited = min(played.statistics.waiting_seconds, watch.parts["generate"])
        watch.parts["generate"] -= waited
        watch.parts["tools"] = waited
        trained_tokens = sum(row.trained_count for row in rows)
        self.run.counters.episodes += played.statistics.episodes
        self.run.counters.generated_tokens += played.statistics.generated_tokens
        self.run.counters.trained_tokens += trained_tokens
        metrics["trained_tokens"] = float(trained_tokens)
        return metrics | _update_metrics(updates) | means.result() | watch.metrics()

    # Sampling --------------------------------------------------------------------------------------------------

    def _task_ids(self, step: int) -> list[str]:
        """Tasks of a step: a walk through permutations that depend on the seed and the epoch alone."""
        count, tasks = self.settings.tasks_per_step, self.env.tasks
        positions = range(step * count, (step + 1) * count)
        if tasks.endless:  # drawn independently of each other already: their order is as good as any
            return [tasks[position % len(tasks)].id for position in positions]
        chosen = []
        for position in positions:
            epoch, offset = divmod(position, len(tasks))
            seed = random_seed(self.run.recipe.seed, self.settings.name, "tasks", epoch)
            chosen.append(tasks[int(np.random.default_rng(seed).permutation(len(tasks))[offset])].id)
        return chosen

    def _roll_out(self, step: int) -> Rollout:
        """Plays `group_size` episodes of each task; those whose stop reason says `retry` are played once more."""
        prefix = f"{self.settings.name}-{step}"
        requests = [
            EpisodeRequest(task_id, f"{prefix}-{task}-{member}", f"{prefix}-{task}")
            for task, task_id in enumerate(self._task_ids(step))
            for member in range(self.settings.group_size)
        ]
        played = self._play(requests)
        again = {
            row.outcome.episode_id
            for row in played.trajectories
            if self.settings.stop_rules.get(row.outcome.stop_reason) == "retry"
        }
        if not again:
            return played
        repeated = [replace(request, episode_id=f"{request.episode_id}-again") for request in requests]
        try:
            second = self._play([request for request in repeated if request.episode_id.removesuffix("-again") in again])
        except AllEpisodesFailed:
            return played  # lost once more; the first attempts stay, and belong to no group
        kept = [row for row in played.trajectories if row.outcome.episode_id not in again]
        return Rollout([*kept, *second.trajectories], played.statistics.combined(second.statistics))

    def _play(self, requests: Sequence[EpisodeRequest]) -> Rollout:
        recipe = self.run.recipe
        return rollout(
            self.run.engine(),
            self.run.codec,
            self.env,
            requests,
            SamplingParams(temperature=self.settings.temperature),
            seed=recipe.seed,
            concurrency=recipe.concurrency,
            workers=recipe.workers,
            schedule=recipe.schedule,
        )

    # Credit ----------------------------------------------------------------------------------------------------

    def _judge_groups(self) -> None:
        """Lets a reward that sees whole groups judge them; dropped episodes belong to none."""
        outcomes = {row.outcome.episode_id: row.outcome for row in self.trajectories}
        for outcome in outcomes.values():
            outcome.compared = self._rule(outcome) != "drop"
        apply_group_reward(self.env.reward_function, outcomes.values())

    def _assign_advantages(self, step: int) -> dict[str, float]:
        """Compares the episodes of each group and writes the advantage on every row.

        Failed and dropped episodes belong to no group; a group that has lost all but one teaches nothing.
        """
        outcomes = {row.outcome.episode_id: row.outcome for row in self.trajectories}
        rewards = {
            episode: self._reward(outcome) for episode, outcome in outcomes.items() if self._rule(outcome) != "drop"
        }
        if self.settings.experiment == "shuffled_rewards":
            seed = random_seed(self.run.recipe.seed, self.settings.name, "shuffle", step)
            shuffled = np.random.default_rng(seed).permutation(list(rewards.values()))
            rewards = dict(zip(rewards, shuffled.tolist(), strict=True))
        groups = {episode: outcomes[episode].group_id for episode in rewards}
        members: dict[str, list[float]] = {}
        for episode, group in groups.items():
            members.setdefault(group, []).append(rewards[episode])
        flat = {group for group, values in members.items() if advantages.zero_variance(values)}
        alone = {group for group, values in members.items() if len(values) < 2}
        skipped = alone | (flat if self.settings.skip_zero_variance else set())
        values = advantages.by_group(rewards, groups, self._advantage())
        for row in self.trajectories:
            outcome = row.outcome
            kept = outcome.episode_id in rewards and outcome.group_id not in skipped
            row.trainable = row.trainable and kept and self._rule(outcome) != "mask"
            row.advantage = values.get(outcome.episode_id, 0.0) if outcome.group_id not in flat else 0.0
        return {"groups": float(len(members)), "zero_variance_groups": float(len(flat))}

    def _advantage(self) -> advantages.Function:
        if self.settings.advantage == "dr_grpo":
            return advantages.dr_grpo
        return partial(advantages.grpo, ddof=self.settings.advantage_ddof, epsilon=self.settings.advantage_epsilon)

    def _rule(self, outcome: Outcome) -> str:
        if outcome.stop_reason is StopReason.FAILED:
            return "drop"
        rule = self.settings.stop_rules.get(outcome.stop_reason, "keep")
        return "drop" if rule == "retry" else rule  # it was played again, and ended the same way

    def _reward(self, outcome: Outcome) -> float:
        return self.env.reward_function.minimum if self._rule(outcome) == "floor" else outcome.reward

    # Training --------------------------------------------------------------------------------------------------

    def _rows(self) -> list[TrainingRow]:
        """Rows that carry loss, with the old logprobs that fix the trust region."""
        settings = self.settings
        rows = training_rows(self.trajectories, train_observations=settings.experiment == "train_observations")
        if settings.old_logprobs == "sampler" or not rows:
            return rows
        self.run.policy.model.eval()
        return self._with_logprobs(self.learner, rows)

    def _with_logprobs(self, learner: Learner, rows: Sequence[TrainingRow]) -> list[TrainingRow]:
        """The rows with `old_logprobs` under the learner's current weights."""
        settings = self.settings
        values = learner.logprobs(rows, settings.token_budget, settings.layout, settings.temperature)
        return [replace(row, old_logprobs=_spread(row, value)) for row, value in zip(rows, values, strict=True)]

    def _minibatches(self, step: int, epoch: int, rows: Sequence[TrainingRow]) -> list[list[TrainingRow]]:
        """Splits the rows for the optimizer steps; the episodes of a group stay together."""
        groups = {row.outcome.episode_id: row.outcome.group_id for row in self.trajectories}
        names = sorted({groups[row.episode_id] for row in rows})
        seed = random_seed(self.run.recipe.seed, self.settings.name, "minibatches", step, epoch)
        order = [names[int(index)] for index in np.random.default_rng(seed).permutation(len(names))]
        parts = [set(part) for part in np.array_split(np.array(order, dtype=object), self.settings.minibatches)]
        split = [[row for row in rows if groups[row.episode_id] in part] for part in parts]
        return [part for part in split if part]

    def _train(self, step: int, rows: list[TrainingRow]) -> tuple[list[Update], Means]:
        """All optimizer steps of one rollout."""
        settings, means = self.settings, Means()
        updates: list[Update] = []
        if self.reference is not None and rows:
            references = self.reference.logprobs(rows, settings.token_budget, settings.layout, settings.temperature)
            rows = [
                replace(row, reference_logprobs=_spread(row, value))
                for row, value in zip(rows, references, strict=True)
            ]
        for epoch in range(settings.epochs):
            for part in self._minibatches(step, epoch, rows):
                first = not updates  # only before the first update are sampler and trainer the same policy
                counts, episodes = [row.trained_count for row in part], [row.episode_id for row in part]
                weights = token_weights(counts, episodes, settings.aggregation, settings.aggregation_constant)
                weighted = [replace(row, weight=weight) for row, weight in zip(part, weights, strict=True)]
                loss = partial(self._loss, means, first)
                updates.append(
                    self.learner.update(weighted, loss, settings.token_budget, settings.layout, settings.temperature)
                )
        return updates, means

    def _loss(self, means: Means, on_policy: bool, batch: MicroBatch, scored: TokenLogprobs) -> Tensor:
        """Loss per token: the clipped surrogate, plus KL, minus entropy."""
        settings = self.settings
        surrogate = clipped_policy_loss(
            scored.logprobs,
            batch.old_logprobs,
            batch.advantages,
            clip_low=settings.clip_low,
            clip_high=settings.clip_high,
            dual_clip=settings.dual_clip,
        )
        loss = surrogate.loss
        if batch.reference_logprobs is not None:
            penalty = kl_penalty(scored.logprobs, batch.reference_logprobs, settings.kl_estimator)
            loss = loss + settings.kl_coefficient * penalty
            means.add("kl", penalty)
        if settings.entropy_coefficient:
            loss = loss - settings.entropy_coefficient * scored.entropy
        means.add("entropy", scored.entropy)
        means.add("clip_fraction_low", surrogate.clipped_low)
        means.add("clip_fraction_high", surrogate.clipped_high)
        if on_policy and settings.experiment != "train_observations":
            difference = (scored.logprobs - batch.sampler_logprobs).detach().abs()
            means.add("sampler_trainer_logprob_difference", difference)
            means.highest("sampler_trainer_logprob_difference_max", difference)
        return loss

    def _reference_learner(self) -> Learner:
        """The frozen policy at the start of the stage, for the KL penalty."""
        policy = load_policy(self.run.folder.checkpoints / f"{self.settings.name}-{0:06d}", self.run.recipe.chat)
        policy.model.requires_grad_(False)
        return Learner(policy.model, self.settings.optimizer, 1, device=self.run.device, dtype=self.run.recipe.dtype)


def _update_metrics(updates: Sequence[Update]) -> dict[str, float]:
    """Loss and gradient norm, averaged over the optimizer steps; nothing but their number when there was none."""
    metrics = {"optimizer_steps": float(len(updates))}
    if updates:
        metrics["loss"] = float(np.mean([update.loss for update in updates]))
        metrics["gradient_norm"] = float(np.mean([update.gradient_norm for update in updates]))
        metrics["lr"] = updates[-1].lr
    return metrics


def _spread(row: TrainingRow, values: Tensor) -> list[float]:
    """Values of the trained tokens, put at their places in the row."""
    remaining = iter(values.to(torch.float64).tolist())
    return [next(remaining) if trained else 0.0 for trained in row.trained]
