"""The quickstart's table: cold start and final score over seeds, with the controls that make it believable.

    python -m toolgym.benchmarks.quickstart run --seed 0     # an hour or less on two cores for a seed
    python -m toolgym.benchmarks.quickstart table            # the README's table, from the stored results

For each seed the quickstart is trained, and from its cold start four controls: more supervised steps on the same
demonstrations for the same time, GRPO with rewards shuffled over the batch, GRPO that trains the observations too, and
the trained policy with an empty corpus.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ..agents.evaluation import EvaluationResult
from ..agents.intervals import wilson_interval
from ..trainers.display import PlainDisplay
from ..trainers.loop import choose_device, train
from ..trainers.policy import load_policy
from ..trainers.recipe import ColdStart, Grpo, Recipe, load_recipe
from ..trainers.run import Run
from ..trainers.run_folder import RunFolder, versions
from .measuring import run_command

RESULTS = Path(__file__).parent / "results" / "quickstart"
ROWS = {
    "cold_start": "cold start",
    "grpo": "after GRPO",
    "more_sft": "control: more SFT on the same demonstrations, same time",
    "shuffled_rewards": "control: GRPO with shuffled rewards",
    "train_observations": "control: GRPO with observation tokens not masked",
    "empty_corpus": "control: the trained policy with an empty corpus",
}

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)


@app.command()
def run(
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
    engine: Annotated[str, typer.Option(help="transformers or vllm; the controls run with transformers alone.")] = (
        "transformers"
    ),
    threads: Annotated[int, typer.Option(help="CPU threads; 0 takes one per core.")] = 0,
    runs: Annotated[Path, typer.Option(help="Where the runs go.")] = Path("runs/benchmark"),
    results: Annotated[Path, typer.Option(help="Where the result goes.")] = RESULTS,
) -> None:
    """Trains the quickstart and its controls for one seed and stores the scores as JSON."""
    recipe = load_recipe("quickstart", [f"seed={seed}", f"threads={threads}", f"engine={engine}"])
    main = _train(recipe, runs / f"{engine}-seed-{seed}")
    cold = main.checkpoints / "grpo-000000"
    scores = {"cold_start": _final(main, "cold_start"), "grpo": _final(main, "grpo")}
    seconds = {"total": sum(line["seconds"] for line in main.metrics())}
    for stage in ("cold_start", "grpo"):
        seconds[stage] = sum(line["seconds"] for line in main.metrics() if line["stage"] == stage)
    if engine == "transformers":
        for name, control in _controls(recipe, cold, main, seconds["grpo"]).items():
            folder = _train(control, runs / f"seed-{seed}-{name}")
            scores[name] = _final(folder, control.stage[-1].name)
        scores["empty_corpus"] = _summary(_empty_corpus(recipe, main).as_json())
    differences = [line["sampler_trainer_logprob_difference"] for line in main.metrics() if line["stage"] == "grpo"]
    result = {
        "seed": seed,
        "engine": engine,
        "command": f"python -m toolgym.benchmarks.quickstart run --seed {seed} --engine {engine} --threads {threads}",
        "scores": scores,
        "seconds": seconds,
        "sampler_trainer_logprob_difference": sum(differences) / len(differences),
        "versions": versions(),
    }
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{engine}-seed-{seed}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    typer.echo(f"wrote {path}")


@app.command()
def table(
    results: Annotated[Path, typer.Option(help="Where the results lie.")] = RESULTS,
) -> None:
    """Prints the stored results as a Markdown table: each seed with its 95 % interval, and the mean."""
    for engine in ("transformers", "vllm"):
        found = [json.loads(path.read_text()) for path in sorted(results.glob(f"{engine}-seed-*.json"))]
        if not found:
            continue
        typer.echo(f"\nengine {engine}; held-out two-hop exact match, greedy, Wilson 95 % intervals\n")
        typer.echo("| | " + " | ".join(f"seed {result['seed']}" for result in found) + " | mean |")
        typer.echo("|---" * (len(found) + 2) + "|")
        for name, label in ROWS.items():
            cells = [result["scores"][name] for result in found if name in result["scores"]]
            if len(cells) == len(found):
                shown = [f"{cell['score']:.2f} [{cell['low']:.2f}, {cell['high']:.2f}]" for cell in cells]
                mean = sum(cell["score"] for cell in cells) / len(cells)
                typer.echo(f"| {label} | " + " | ".join(shown) + f" | **{mean:.2f}** |")
        difference = max(result["sampler_trainer_logprob_difference"] for result in found)
        typer.echo(f"\nlargest mean |sampler - trainer| logprob difference of a seed: {difference:.1e}")


def _controls(recipe: Recipe, cold: Path, main: RunFolder, grpo_seconds: float) -> dict[str, Recipe]:
    """Recipes that begin at the cold start's weights and differ from GRPO in one thing each."""
    sft, grpo = recipe.stage
    assert isinstance(sft, ColdStart) and isinstance(grpo, Grpo)
    steps = [line["seconds"] for line in main.metrics() if line["stage"] == sft.name]
    more = sft.model_copy(update={"steps": max(1, round(grpo_seconds / (sum(steps) / len(steps))))})
    stages: dict[str, ColdStart | Grpo] = {
        "more_sft": more,
        "shuffled_rewards": grpo.model_copy(update={"experiment": "shuffled_rewards"}),
        "train_observations": grpo.model_copy(
            update={"experiment": "train_observations", "old_logprobs": "recomputed"}
        ),
    }
    return {
        name: recipe.model_copy(update={"model": str(cold), "engine": "transformers", "stage": [stage]})
        for name, stage in stages.items()
    }


def _train(recipe: Recipe, folder: Path) -> RunFolder:
    typer.echo(f"== {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    train(recipe, folder, observer=PlainDisplay(Console()))
    return RunFolder.open(folder)


def _empty_corpus(recipe: Recipe, main: RunFolder) -> EvaluationResult:
    """The trained policy where no search finds anything: what it knows by heart or guesses."""
    last = recipe.stage[-1]
    weights = main.checkpoints / f"{last.name}-{last.steps:06d}"
    options = {**recipe.evaluation.options, "empty_corpus": True}
    empty = recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"options": options})})
    run = Run(empty, main, load_policy(weights), choose_device(recipe.device), PlainDisplay(Console()))
    try:
        return run.evaluate(last)
    finally:
        run.close()


def _final(folder: RunFolder, stage: str) -> dict[str, float]:
    """The last evaluation of a stage that took at least one step."""
    return _summary([result for result in folder.read_evaluations() if result["stage"] == stage][-1])


def _summary(result: dict[str, Any]) -> dict[str, float]:
    count = int(result["tasks"])
    interval = wilson_interval(round(result["score"] * count), count)
    return {"score": result["score"], "low": interval.low, "high": interval.high, "tasks": count}


if __name__ == "__main__":
    run_command(app)
