"""Speed and memory of GRPO on a randomly initialised model of a published shape.

    python -m toolgym.benchmarks.training_speed --device cuda            # Qwen3-0.6B, 2k-token trajectories, 20 steps
    python -m toolgym.benchmarks.training_speed --device cpu --shape tiny --steps 2 --turn-tokens 32

A random policy never calls a tool nor answers, so that every episode runs to its last turn: `turns x turn-tokens`
sampled tokens and what the environment says in between. The model-FLOPs utilisation counts 6 x parameters x tokens for
the forward and backward pass over the rows that are trained, against the peak that is given.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ..agents.encoding import Codec
from ..trainers.display import PlainDisplay
from ..trainers.loop import choose_device, peak_memory_bytes, train
from ..trainers.policy import END, Policy, load_policy, save_policy, scratch_model
from ..trainers.recipe import Recipe, ScratchModel, parse_recipe
from ..trainers.run_folder import RunFolder, versions
from .measuring import run_command

RESULTS = Path(__file__).parent / "results"
SHAPES = {
    "qwen3-0.6b": ScratchModel(
        vocabulary=151_936,
        layers=28,
        width=1024,
        heads=16,
        key_value_heads=8,
        head_width=128,
        feed_forward=3072,
        context=4096,
    ),
    "tiny": ScratchModel(vocabulary=1024, layers=2, width=64, heads=2, key_value_heads=2, feed_forward=128),
}
WARM_UP_STEPS = 2


def main(
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    shape: Annotated[str, typer.Option(help=f"One of {', '.join(SHAPES)}.")] = "qwen3-0.6b",
    steps: Annotated[int, typer.Option(help="GRPO steps; the first two are not counted.")] = 20,
    tasks: Annotated[int, typer.Option(help="Tasks per step.")] = 8,
    group: Annotated[int, typer.Option(help="Episodes per task.")] = 8,
    turns: Annotated[int, typer.Option(help="Turns per episode.")] = 4,
    turn_tokens: Annotated[int, typer.Option(help="Sampled tokens per turn.")] = 480,
    token_budget: Annotated[int, typer.Option(help="Tokens per micro-batch.")] = 16_384,
    engine: Annotated[str, typer.Option(help="transformers or vllm.")] = "transformers",
    peak_tflops: Annotated[float, typer.Option(help="Peak bf16 TFLOP/s of the device, for MFU.")] = 989.0,
    output: Annotated[Path | None, typer.Option(help="Result file; benchmarks/results/ by default.")] = None,
) -> None:
    """Trains a few steps and writes medians of the counted ones."""
    chosen = choose_device(device)
    if shape not in SHAPES:
        raise typer.BadParameter(f"shape must be one of {', '.join(SHAPES)}, not {shape!r}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = _recipe(_checkpoint(SHAPES[shape], folder / "model"), chosen, engine, steps, tasks, group)
        limits = {"max_turns": turns, "max_turn_tokens": turn_tokens, "max_tokens": None}
        stage = recipe.stage[0].model_copy(update={"token_budget": token_budget})
        recipe = recipe.model_copy(update={"limits": limits, "stage": [stage]})
        train(recipe, folder / "run", observer=PlainDisplay(Console()))
        run = RunFolder.open(folder / "run")
        policy = load_policy(run.checkpoints / f"grpo-{steps:06d}")
        parameters = sum(parameter.numel() for parameter in policy.model.parameters())
        lines = run.metrics()[WARM_UP_STEPS:] or run.metrics()
    result = _result(lines, parameters, tasks * group, peak_tflops if chosen == "cuda" else None)
    result |= {"shape": shape, "parameters": parameters, "steps": steps, "engine": engine, "device": _device(chosen)}
    result |= {"versions": versions()}
    path = output or RESULTS / f"training_speed-{shape}-{chosen}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    typer.echo(json.dumps(result, indent=2))


def _checkpoint(shape: ScratchModel, folder: Path) -> Path:
    """A random model of the shape, with a byte tokenizer that is filled up to the vocabulary."""
    symbols = [*sorted(pre_tokenizers.ByteLevel.alphabet()), END]
    symbols += [f"filler{index}" for index in range(shape.vocabulary - len(symbols))]
    tokenizer = Tokenizer(models.BPE({symbol: index for index, symbol in enumerate(symbols)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, eos_token=END, pad_token=END
    )
    model = scratch_model(shape, len(fast), int(fast.eos_token_id), seed=0)
    save_policy(Policy(model, Codec(fast)), folder)
    return folder


def _recipe(model: Path, device: str, engine: str, steps: int, tasks: int, group: int) -> Recipe:
    return parse_recipe(
        {
            "name": "training_speed",
            "model": str(model),
            "device": device,
            "dtype": "bfloat16" if device == "cuda" else "float32",
            "engine": engine,
            "concurrency": tasks * group,
            "environment_options": {"prompt": "question"},
            "evaluation": {"tasks": 1},
            "checkpoint_every": steps + 1,
            "stage": [
                {
                    "kind": "grpo",
                    "steps": steps,
                    "tasks_per_step": tasks,
                    "group_size": group,
                    # Every reward is 0: without this, nothing would be trained.
                    "skip_zero_variance": False,
                }
            ],
        }
    )


def _result(lines: list[dict[str, Any]], parameters: int, episodes: int, peak_tflops: float | None) -> dict[str, Any]:
    """Medians over the counted steps."""
    tokens = [(line["action_tokens_mean"] + line["observation_tokens_mean"]) * episodes for line in lines]
    seconds = [line["seconds/train"] for line in lines]
    rates = [count / second for count, second in zip(tokens, seconds, strict=True)]
    rate = statistics.median(rates)
    cuda = torch.cuda.is_available()
    return {
        "row_tokens_mean": statistics.median(count / episodes for count in tokens),
        "training_tokens_per_second": rate,
        "training_tokens_per_second_low": min(rates),
        "training_tokens_per_second_high": max(rates),
        "generated_tokens_per_second": statistics.median(line["tokens_per_second"] for line in lines),
        "seconds_per_step": statistics.median(line["seconds"] for line in lines),
        "mfu": 6 * parameters * rate / (peak_tflops * 1e12) if peak_tflops else None,
        "peak_gpu_memory_gib": torch.cuda.max_memory_allocated() / 2**30 if cuda else None,
        "peak_memory_gib": peak_memory_bytes() / 2**30,
    }


def _device(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    run_command(main)
