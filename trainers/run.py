"""What all stages of a run share: the policy, its engine, the environments and the run's counters."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ..agents.encoding import Codec
from ..agents.engines.base import Generation, GenerationRequest, InferenceEngine, SamplingParams
from ..agents.evaluation import EvaluationResult, evaluate
from ..envs.env import ToolEnv
from ..envs.limits import Limits
from ..envs.registration import make_env
from ..tools.cassettes import Cassette
from ..tools.errors import InputError
from .batching import TrainingRow
from .learner import Learner
from .policy import Policy, save_policy
from .progress import Observer
from .recipe import Recipe, StageBase, environment_arguments
from .run_folder import RunFolder

_WEIGHT_TOLERANCE = {"float32": 5e-3, "bfloat16": 0.25}
"""Largest mean difference between engine and trainer on the probe, in nats, by compute precision."""
_PROBE_TOKENS = 8


@dataclass
class Counters:
    """Where a run stands; saved with every checkpoint.

    Attributes:
        stage: Position of the current stage.
        stage_steps: Steps done, by stage name.
        global_step: Steps done over all stages.
        policy_version: Times the engine's weights were replaced.
        episodes: Training episodes played.
        trained_tokens: Tokens that carried loss.
        generated_tokens: Tokens sampled for training.
        seconds: Wall time spent, over all sessions of the run.
    """

    stage: int = 0
    stage_steps: dict[str, int] = field(default_factory=dict)
    global_step: int = 0
    policy_version: int = 0
    episodes: int = 0
    trained_tokens: int = 0
    generated_tokens: int = 0
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """All counters."""
        return asdict(self)


@dataclass
class Run:
    """A run in progress.

    Attributes:
        recipe: What to do.
        folder: Where it is written down.
        policy: The weights that are trained, and the codec.
        device: `cpu` or `cuda`.
        observer: Who watches.
        counters: Where the run stands.
        cassette: Where the tools' traffic is recorded or found, if anywhere.
    """

    recipe: Recipe
    folder: RunFolder
    policy: Policy
    device: str
    observer: Observer
    counters: Counters = field(default_factory=Counters)
    cassette: Cassette | None = None
    _engine: InferenceEngine | None = None
    _engine_version: int = -1

    @property
    def codec(self) -> Codec:
        """The policy's codec."""
        return self.policy.codec

    def environment(self, stage: StageBase | None = None) -> ToolEnv:
        """The training environment, with a stage's own options."""
        return make_environment(self.recipe, stage.environment_options if stage else {}, self.cassette)

    def engine(self) -> InferenceEngine:
        """The inference engine, holding the current weights."""
        if self._engine is None:
            self._engine = make_engine(self.recipe, self.folder, self.policy, self.device)
            if not self._engine.exact_tokens:
                raise InputError(f"engine {self.recipe.engine!r} has no exact tokens; training needs them")
        if self._engine_version != self.counters.policy_version:
            weights = ((name, value.detach()) for name, value in self.policy.model.named_parameters())
            self._engine.load_weights(weights, self.counters.policy_version)
            self._engine_version = self.counters.policy_version
        return self._engine

    def weights_changed(self) -> None:
        """Says that the weights are new: the engine takes them over before it is used again."""
        self.counters.policy_version += 1

    def check_weights(self, learner: Learner, row: Sequence[int], temperature: float) -> float:
        """Compares the engine's logprobs of a few tokens with the trainer's, after the weights changed.

        An update can fail silently (a packed output head left as it was, stale keys in a prefix cache). So the probe
        continues a row that the engine computed under the old weights: it would be found in a stale cache.

        Args:
            learner: The trainer's side.
            row: Ids of a row of the last rollout.
            temperature: Sampling temperature.

        Returns:
            Mean absolute difference of the logprobs.

        Raises:
            RuntimeError: If it is larger than the precision explains.
        """
        engine = self.engine()
        longest = len(row) - 1 if engine.max_context is None else min(len(row) - 1, engine.max_context - _PROBE_TOKENS)
        probe = tuple(row[: max(1, longest)])
        sampling = SamplingParams(temperature=temperature, max_tokens=_PROBE_TOKENS, seed=self.counters.policy_version)
        engine.submit(GenerationRequest("weight-check", probe, sampling, session="weight-check"))
        finished: list[Generation] = []
        while not finished:
            finished = engine.step()
        engine.release("weight-check")
        sampled = finished[0]
        if sampled.logprobs is None or not sampled.token_ids:
            raise RuntimeError(f"the engine gave no logprobs for the weight check ({sampled.error or 'no tokens'})")
        count = len(sampled.token_ids)
        training_row = TrainingRow(
            [*probe, *sampled.token_ids],
            [False] * len(probe) + [True] * count,
            [0.0] * len(probe) + list(sampled.logprobs),
            0.0,
            "weight-check",
        )
        self.policy.model.eval()
        expected = learner.logprobs([training_row], 1 << 20, "padded", temperature)[0].float().cpu()
        difference = float((expected - torch.tensor(sampled.logprobs)).abs().mean())
        if difference > _WEIGHT_TOLERANCE[self.recipe.dtype]:
            raise RuntimeError(
                f"the engine does not hold the new weights: after the update its logprobs differ from the trainer's by "
                f"{difference:.2g} on average, and rounding explains {_WEIGHT_TOLERANCE[self.recipe.dtype]} at most"
            )
        return difference

    def evaluate(self, stage: StageBase) -> EvaluationResult:
        """Plays held-out tasks with the current weights."""
        settings = self.recipe.evaluation
        held_out = make_environment(self.recipe, {**stage.environment_options, **settings.options}, self.cassette)
        return evaluate(
            self.engine(),
            self.codec,
            held_out,
            limit=settings.tasks,
            sampling=SamplingParams(temperature=settings.temperature),
            seed=self.recipe.seed,
            concurrency=self.recipe.concurrency,
            workers=self.recipe.workers,
            schedule=self.recipe.schedule,
        )

    def close(self) -> None:
        """Closes the engine."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None


def open_cassette(recipe: Recipe) -> Cassette | None:
    """The cassette that a recipe names, if any: one for all environments of a run.

    Raises:
        InputError: If it cannot be read, or is to be replayed and is not there.
    """
    return None if recipe.cassette is None else Cassette(recipe.cassette, recipe.cassette_mode)


def make_environment(recipe: Recipe, options: Mapping[str, Any], cassette: Cassette | None = None) -> ToolEnv:
    """The recipe's environment.

    Args:
        recipe: Names it.
        options: Override the run's own options (a stage's, or those of the evaluation).
        cassette: Where the tools' traffic is recorded or found.

    Raises:
        InputError: If the environment lacks a tool, an option or a limit that the recipe names.
    """
    env = make_env(recipe.environment, **environment_arguments(recipe, options))
    if recipe.limits:
        known = {name: getattr(env.limits, name) for name in Limits.__dataclass_fields__}
        env.limits = Limits(**{**known, **recipe.limits})
    for function, settings in recipe.tools.items():
        env.configure_tool(function, settings)
    if cassette is not None:
        env.record(cassette)
    return env


def make_engine(recipe: Recipe, folder: RunFolder, policy: Policy, device: str) -> InferenceEngine:
    """The engine that a recipe names, with a copy of the policy's weights."""
    if recipe.engine == "vllm":
        from ..agents.engines.vllm import VllmEngine

        save_policy(policy, folder.path / "engine")
        return VllmEngine(
            folder.path / "engine",
            policy.codec,
            dtype=recipe.dtype,
            slots=recipe.concurrency,
            device="cuda" if device == "cuda" else "cpu",
        )
    from ..agents.engines.transformers import TransformersEngine

    model = copy.deepcopy(policy.model).to(device=device, dtype=getattr(torch, recipe.dtype))
    return TransformersEngine(model, policy.codec, slots=recipe.concurrency)


class Stopwatch:
    """Adds up wall time by part of a step."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """Books the time since the last lap under `part`."""
        now = time.perf_counter()
        self.parts[part] = self.parts.get(part, 0.0) + now - self._last
        self._last = now

    def metrics(self) -> dict[str, float]:
        """`seconds` and `seconds/PART`."""
        parts = {f"seconds/{part}": value for part, value in self.parts.items()}
        return {"seconds": sum(self.parts.values()), **parts}
