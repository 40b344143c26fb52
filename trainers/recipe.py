"""Recipes: what a run is, as TOML, validated before anything starts."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..envs.episode import StopReason
from ..envs.limits import Limits
from ..tools.cassettes import Mode
from ..tools.errors import InputError
from ..tools.policy import ToolPolicy, changed_policy

RECIPES = Path(__file__).parent / "recipes"

StopRule = Literal["keep", "mask", "floor", "drop", "retry"]
"""`keep` trains as is, `mask` takes the loss away, `floor` gives the lowest reward, `drop` leaves the episode out of
its group, `retry` plays it again."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScratchModel(_Strict):
    """A transformer made on the spot (Qwen3 architecture) with a tokenizer trained on the environment's own texts."""

    vocabulary: int = Field(1024, ge=300, description="Size of the byte-level BPE vocabulary, added tokens included.")
    layers: int = Field(4, ge=1)
    width: int = Field(192, ge=16, description="Hidden size.")
    heads: int = Field(6, ge=1)
    key_value_heads: int = Field(6, ge=1)
    head_width: int = Field(32, ge=8)
    feed_forward: int = Field(512, ge=16)
    context: int = Field(1024, ge=64, description="Longest row in tokens.")


class Optimizer(_Strict):
    """AdamW with a learning-rate schedule."""

    lr: float = Field(1e-6, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = Field(0, ge=0)
    final_lr_share: float = Field(0.0, ge=0, le=1, description="Share of lr left at the end of linear and cosine.")
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.0, ge=0)
    max_gradient_norm: float = Field(1.0, gt=0)


class Evaluation(_Strict):
    """Evaluation on held-out tasks during training."""

    tasks: int = Field(200, ge=1, description="Held-out tasks, the first of the set; a smaller set is used whole.")
    temperature: float = Field(0.0, ge=0, description="0 is greedy.")
    options: dict[str, Any] = Field(
        default_factory=lambda: {"split": "test"},
        description="Environment options that differ from training (split, hops, tasks, ...).",
    )


class StageBase(_Strict):
    """What every stage has."""

    name: str
    steps: int = Field(ge=0)
    environment_options: dict[str, Any] = Field(default_factory=dict, description="Override the run's options.")


class Evaluate(StageBase):
    """An evaluation alone, of the model as it is at this place: no step, no update, no checkpoint."""

    kind: Literal["evaluate"]
    name: str = "evaluate"
    steps: Literal[0] = 0


class TrainingStage(StageBase):
    """What every stage that trains has."""

    optimizer: Optimizer = Optimizer()
    evaluate_every: int = Field(0, ge=0, description="Steps between evaluations; 0 means at the stage's end only.")
    token_budget: int = Field(16_384, ge=1, description="Most tokens (padding included) in one micro-batch.")
    layout: Literal["padded", "packed"] = "padded"


class ColdStart(TrainingStage):
    """SFT on scripted demonstrations; the loss is on action tokens alone."""

    kind: Literal["cold_start"]
    name: str = "cold_start"
    demonstrations: int = Field(2000, ge=1, description="Episodes that the demonstrator plays.")
    batch_size: int = Field(64, ge=1, description="Episodes per optimizer step.")
    demonstrator: dict[str, Any] = Field(
        default_factory=dict, description="Options of the environment's demonstrator (how imperfect it is)."
    )


class Grpo(TrainingStage):
    """Group-relative policy optimisation (DeepSeekMath, arXiv 2402.03300) and its variants by option."""

    kind: Literal["grpo"]
    name: str = "grpo"
    tasks_per_step: int = Field(16, ge=1)
    group_size: int = Field(8, ge=2, description="Episodes per task.")
    minibatches: int = Field(1, ge=1, description="Optimizer steps per rollout; whole groups stay together.")
    epochs: int = Field(1, ge=1, description="Passes over a rollout.")
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    advantage: Literal["grpo", "dr_grpo"] = "grpo"
    advantage_ddof: int = Field(1, ge=0, le=1)
    advantage_epsilon: float = Field(1e-6, ge=0)
    clip_low: float = Field(0.2, gt=0, lt=1)
    clip_high: float = Field(0.2, gt=0)
    dual_clip: float | None = Field(None, gt=1)
    aggregation: Literal["token_mean", "sequence_mean_token_mean", "sequence_mean_token_sum", "token_sum_constant"] = (
        "token_mean"
    )
    aggregation_constant: float | None = Field(None, gt=0, description="Divisor of token_sum_constant (Dr. GRPO).")
    kl_coefficient: float = Field(0.0, ge=0)
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    entropy_coefficient: float = 0.0
    old_logprobs: Literal["sampler", "recomputed"] = "sampler"
    skip_zero_variance: bool = Field(True, description="Leave groups whose rewards are all equal out of the loss.")
    stop_rules: dict[StopReason, StopRule] = Field(default_factory=dict, description="What each stop reason does.")
    experiment: Literal["none", "shuffled_rewards", "train_observations"] = Field(
        "none", description="Controls that show what a part is worth; never for results."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Grpo:
        if self.top_p < 1:
            raise ValueError("top_p below 1 needs a correction of the logprobs that is not there; set top_p = 1")
        if self.aggregation == "token_sum_constant" and self.aggregation_constant is None:
            raise ValueError("aggregation = 'token_sum_constant' needs aggregation_constant")
        if self.experiment == "train_observations" and self.old_logprobs != "recomputed":
            raise ValueError("experiment = 'train_observations' needs old_logprobs = 'recomputed'")
        if self.minibatches > self.tasks_per_step:
            raise ValueError("minibatches cannot exceed tasks_per_step, since groups stay together")
        if self.stop_rules.get(StopReason.FAILED) in ("keep", "mask", "floor"):
            raise ValueError("a failed episode is no evidence: stop_rules.failed can be 'drop' or 'retry'")
        return self


Stage = Annotated[ColdStart | Grpo | Evaluate, Field(discriminator="kind")]


class Recipe(_Strict):
    """A run: a model, an environment, and the stages that train one on the other."""

    name: str
    description: str = ""
    seed: int = 0
    model: str = Field("scratch", description="A checkpoint folder, a Hugging Face name, or 'scratch'.")
    scratch: ScratchModel = ScratchModel()
    chat: bool | None = Field(None, description="Use the chat template; unset uses it when there is one.")
    engine: Literal["transformers", "vllm"] = "transformers"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    threads: int = Field(0, ge=0, description="CPU threads of torch; 0 takes one per core.")
    environment: str = "toolgym/SearchQA-v0"
    action_format: str | None = Field(None, description="Unset takes the environment's default.")
    reward: str | None = Field(None, description="Unset takes the environment's default.")
    tasks: str | None = Field(None, description="Training tasks: a file or a data set; unset takes the generated ones.")
    corpus: str | None = Field(None, description="Passages: a file; unset takes the environment's own.")
    environment_options: dict[str, Any] = Field(default_factory=dict)
    limits: dict[str, bool | int | float | str | None] = Field(default_factory=dict)
    tools: dict[str, dict[str, int | float | bool | None]] = Field(
        default_factory=dict,
        description="By function: the tool's timeout and any field of its ToolPolicy, over all episodes.",
    )
    cassette: str | None = Field(None, description="File in which the tools' traffic is recorded, or found again.")
    cassette_mode: Mode = Field(
        "auto", description="replay calls no tool; auto records what is missing; record asks everything anew."
    )
    concurrency: int = Field(64, ge=1, description="Episodes in progress at once.")
    workers: int = Field(8, ge=1, description="Threads that step environments.")
    schedule: Literal["fast", "deterministic"] = "fast"
    evaluation: Evaluation = Evaluation()
    checkpoint_every: int = Field(20, ge=1)
    checkpoints_kept: int = Field(2, ge=1)
    trajectories_every: int = Field(10, ge=1, description="Steps between stored trajectories and episodes.")
    trajectories_stored: int = Field(16, ge=0, description="Rows stored each time; of episodes, their whole groups.")
    stage: list[Stage] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        names = [stage.name for stage in self.stage]
        if len(set(names)) != len(names):
            raise ValueError(f"stages must have different names, not {names}")
        unknown = set(self.limits) - set(Limits.__dataclass_fields__)
        if unknown:
            raise ValueError(f"limits has no {sorted(unknown)}; it has {sorted(Limits.__dataclass_fields__)}")
        try:
            Limits(**self.limits)  # type: ignore[arg-type]  # their values are looked at there
        except InputError as error:
            raise ValueError(str(error)) from error
        if self.schedule == "deterministic" and self.limits.get("wall_seconds") is not None:
            raise ValueError("schedule = 'deterministic' allows no limits.wall_seconds")
        for function, settings in self.tools.items():
            try:
                changed_policy(ToolPolicy(), settings)
            except InputError as error:
                raise ValueError(f"tools.{function}: {error}") from error
        return self


def environment_arguments(recipe: Recipe, options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a recipe's environment.

    Args:
        recipe: Names what is set for the whole run.
        options: Override that (a stage's options, those of the evaluation).
    """
    named = {
        "action_format": recipe.action_format,
        "reward": recipe.reward,
        "tasks": recipe.tasks,
        "corpus": recipe.corpus,
    }
    given = {key: value for key, value in named.items() if value is not None}
    return {**given, **recipe.environment_options, **options}


def recipe_names() -> list[str]:
    """Names of the recipes that ship with toolgym."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe and applies `key=value` overrides.

    Args:
        name_or_path: A shipped recipe's name or a TOML file.
        overrides: `key=value` texts: run-level keys by name (`model=...`, `limits.max_turns=4`), a stage's keys by
            the stage's name (`stage.grpo.optimizer.lr=1e-6`, short `stage.grpo.lr=1e-6`), and `steps=N` for the last
            stage. Values are TOML; a bare word is a string.

    Raises:
        InputError: For an unknown recipe, broken TOML, an unknown key or a bad value; names the key and its
            neighbours.
    """
    path = RECIPES / f"{name_or_path}.toml"
    if not path.exists():
        path = Path(name_or_path)
    if not path.is_file():
        near = difflib.get_close_matches(name_or_path, recipe_names(), 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"no recipe {name_or_path!r}: give a TOML file or one of {', '.join(recipe_names())}.{hint}")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error
    for override in overrides:
        _apply(data, override)
    return parse_recipe(data, source=str(path.name))


def parse_recipe(data: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """Validates a recipe.

    Raises:
        InputError: Names the key, what was expected, and for an unknown key its nearest neighbour.
    """
    try:
        return Recipe.model_validate(dict(data))
    except ValidationError as error:
        raise InputError(f"{source}: {_explain(error, data)}") from error


def _apply(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"override {override!r} must look like key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = None if text in ("none", "null") else text
    parts = key.strip().split(".")
    stages = _stages(data)
    target: Any = data
    if parts == ["steps"]:
        if not stages:
            raise InputError(f"override {override!r}: the recipe has no [[stage]] to which it could apply")
        target = stages[-1]
    elif parts[0] == "stage":
        names = [stage.get("name", stage.get("kind")) for stage in stages]
        if len(parts) < 3 or parts[1] not in names:
            raise InputError(
                f"override {override!r}: the stages are {', '.join(map(str, names))}: stage.NAME.KEY=value"
            )
        target = stages[names.index(parts[1])]
        parts = parts[2:]
        if parts[0] in Optimizer.model_fields:
            parts.insert(0, "optimizer")
    for part in parts[:-1]:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise InputError(f"override {override!r}: {part!r} holds a value, not a table")
    if value is None:
        target.pop(parts[-1], None)
    else:
        target[parts[-1]] = value


def _stages(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The stages of a recipe that nobody has validated yet; none where they are something else."""
    stages = data.get("stage")
    well_formed = isinstance(stages, list) and all(isinstance(stage, dict) for stage in stages)
    return stages if well_formed and stages else []


def _explain(error: ValidationError, data: Mapping[str, Any]) -> str:
    """One line for the first problem, with the nearest known keys for an unknown one."""
    first = error.errors()[0]
    # After a stage's position pydantic names its kind.
    location = [part for index, part in enumerate(first["loc"]) if index != 2 or first["loc"][0] != "stage"]
    where = ".".join(_readable(location, data))
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"])
        near = difflib.get_close_matches(str(location[-1]), known, 3, 0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known keys: {', '.join(known)}"
        return f"unknown key {where!r}; {hint}"
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _readable(location: Sequence[int | str], data: Mapping[str, Any]) -> list[str]:
    parts = []
    for index, part in enumerate(location):
        if isinstance(part, int) and index and location[index - 1] == "stage":
            stage = data["stage"][part]
            known = stage if isinstance(stage, dict) else {}
            parts.append(str(known.get("name", known.get("kind", part))))
        else:
            parts.append(str(part))
    return parts


def _known_keys(location: Sequence[int | str]) -> list[str]:
    kinds: dict[str, type[BaseModel]] = {"cold_start": ColdStart, "grpo": Grpo, "evaluate": Evaluate}
    tables: dict[str, type[BaseModel]] = {"scratch": ScratchModel, "optimizer": Optimizer, "evaluation": Evaluation}
    model: type[BaseModel] = Recipe
    for part in location[:-1]:
        model = kinds.get(str(part)) or tables.get(str(part)) or model
    return sorted(model.model_fields)
