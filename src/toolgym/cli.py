"""The `toolgym` command. Every command reads its options, calls the library, and prints what came back."""

from __future__ import annotations

import inspect
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from typer.core import TyperGroup

from .tools.errors import InputError

if TYPE_CHECKING:
    from .trainers.run_folder import RunFolder


class Commands(TyperGroup):
    """Says what is wrong with the input in one line, without a traceback, and exits with code 2."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was asked for."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            typer.echo(f"error: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    name="toolgym",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Env = Annotated[
    str, typer.Argument(metavar="ENV", help="An id (toolgym envs lists them), or MODULE:NAMESPACE/Name-v0.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Tasks = Annotated[str | None, typer.Option(help="Tasks: .jsonl[.gz|.zst], .parquet, a folder of splits, hf:ORG/NAME.")]
Corpus = Annotated[str | None, typer.Option(help="Passages to search: JSONL with id, title, text (or contents).")]
Format = Annotated[str | None, typer.Option("--format", help="Action format; unset takes the environment's own.")]
Reward = Annotated[str | None, typer.Option(help="Reward; unset takes the environment's own.")]
Split = Annotated[str | None, typer.Option(help="Which split of the tasks.")]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option", "-o", metavar="KEY=VALUE", help="An option of the environment, or limits.NAME; repeatable."
    ),
]
Runs = Annotated[Path, typer.Option(help="Folder that holds the runs.")]


def main() -> None:
    """Runs the command line."""
    app(prog_name="toolgym")


def examples(*lines: str) -> str:
    """Examples for the end of a help text."""
    return "\n\n".join(["[bold]Examples[/bold]", *(f"[cyan]{line}[/cyan]".replace("[k", r"\[k") for line in lines)])


def _print_version(wanted: bool) -> None:
    if wanted:
        from . import __version__

        typer.echo(f"toolgym {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and leave.")
    ] = False,
) -> None:
    """Environments, agents and trainers for language models that call tools."""


@app.command(epilog=examples("toolgym envs", "toolgym envs --json"))
def envs(as_json: AsJson = False) -> None:
    """List the environments."""
    from .envs.formats import FORMATS
    from .envs.registration import environment_ids, make_env

    rows: list[dict[str, Any]] = []
    for env_id in environment_ids():
        env = make_env(env_id)
        functions = [function.name for tool in env.tools for function in tool.functions]
        about = (inspect.getdoc(type(env)) or "").partition("\n")[0]
        form = env.action_format.name
        rows.append({"id": env_id, "tools": functions, "format": form, "tasks": len(env.tasks), "about": about})
    if as_json:
        return _print_json({"environments": rows, "formats": sorted(FORMATS)})
    table = Table("id", "tools", "format", Column("tasks", justify="right"), "what it is")
    for row in rows:
        tools = ", ".join(row["tools"]) or "none"
        table.add_row(Text(row["id"], style="bold"), tools, row["format"], str(row["tasks"]), row["about"])
    console = _stdout()
    console.print(table)
    console.print(Text(f"Formats that eval and play take with --format: {', '.join(sorted(FORMATS))}", style="dim"))


@app.command(
    epilog=examples(
        "toolgym train --list",
        "toolgym train quickstart",
        "toolgym train quickstart steps=20 seed=3 --name try-3",
        "toolgym train my.toml model=./checkpoint stage.grpo.lr=1e-6",
        "toolgym train --resume runs/try-3",
    )
)
def train(
    recipe: Annotated[str | None, typer.Argument(metavar="RECIPE", help="A recipe's name or a TOML file.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Recipe keys to change, such as steps=20.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; the recipe's name by default.")] = None,
    runs_folder: Runs = Path("runs"),
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Continue this run; takes no RECIPE.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run of that name.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the recipes and leave.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train an agent by a recipe; writes RUNS_FOLDER/NAME with metrics, checkpoints and report.html."""
    from .trainers.display import make_display
    from .trainers.recipe import load_recipe
    from .trainers.run_folder import RunFolder

    if list_:
        return _list_recipes(as_json)
    if resume is not None:
        if recipe is not None:
            raise InputError(f"--resume continues the run's own recipe; leave {recipe!r} out")
        run = _find_run(resume, runs_folder)
        loaded = run.recipe()
    elif recipe is None:
        raise InputError("say what to train: a recipe (toolgym train --list), or --resume RUN")
    else:
        loaded = load_recipe(recipe, overrides or [])
        run = RunFolder(runs_folder / (name or loaded.name))
        _make_room(run, overwrite)
    try:
        from .trainers.loop import train as run_training
    except ModuleNotFoundError as error:
        raise InputError(f"training needs {error.name}; install it with: pip install 'toolgym[train]'") from error
    plan = {stage.name: stage.steps for stage in loaded.stage}
    try:
        with make_display(Console(stderr=True), plan, f"toolgym train · {run.path}") as display:
            summary = run_training(loaded, run.path, resume=resume is not None, observer=display)
    except KeyboardInterrupt:
        typer.echo(f"interrupted; continue with: toolgym train --resume {run.path}", err=True)
        raise typer.Exit(130) from None
    _show_run(run, as_json, {"seconds": summary.seconds, "peak_memory_bytes": summary.peak_memory_bytes})


@app.command(
    "eval",
    epilog=examples(
        "toolgym eval toolgym/SearchQA-v0 --agent oracle --limit 50",
        "toolgym eval toolgym/SearchQA-v0 --model runs/quickstart/checkpoints/grpo-000080",
        "toolgym eval toolgym/SearchQA-v0 --tasks dev.jsonl --corpus corpus.jsonl --model Qwen/Qwen3-0.6B",
        "toolgym eval toolgym/PythonMath-v0 --endpoint http://localhost:8000/v1 --model NAME --samples 4",
    ),
)
def evaluate(
    env_id: Env,
    agent: Annotated[str | None, typer.Option(help="A scripted agent: oracle or demonstrator.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Checkpoint folder or name; with --endpoint the served name.")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(metavar="URL", help="An OpenAI-compatible server.")] = None,
    engine: Annotated[str, typer.Option(help="transformers or vllm, for a local model.")] = "transformers",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...; auto takes CUDA if there is any.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16; auto by device.")] = "auto",
    tasks: Tasks = None,
    corpus: Corpus = None,
    format_: Format = None,
    reward: Reward = None,
    split: Split = None,
    option: Options = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first tasks.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Episodes per task.")] = 1,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.0,
    max_turn_tokens: Annotated[int | None, typer.Option(min=1, help="Sampled tokens per turn [256].")] = None,
    seed: Annotated[int, typer.Option(help="Keys the sampling.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="Episodes in progress at once.")] = 64,
    shuffle_answers: Annotated[
        bool, typer.Option("--shuffle-answers", help="Control: exchange the gold answers between tasks.")
    ] = False,
    recall: Annotated[
        bool | None, typer.Option("--recall/--no-recall", help="Recall of the retriever; on where gold ids are known.")
    ] = None,
    missed: Annotated[Path | None, typer.Option(help="Write the episodes with score < 1 there, as JSONL.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score an agent on an environment, with 95 % intervals."""
    from .agents.engines.base import SamplingParams
    from .agents.evaluation import evaluate as run_evaluation
    from .agents.loading import AgentChoice, engine_name, given, load_agent, load_environment, retrieval_recall
    from .agents.results import EvaluationProgress, evaluation_table
    from .agents.rollout import AllEpisodesFailed

    chosen: dict[str, Any] = {"tasks": tasks, "corpus": corpus, "action_format": format_, "reward": reward}
    chosen["split"] = split
    if shuffle_answers:
        chosen["shuffle_answers"] = seed
    base, limits = _checkpoint_setup(None if endpoint else model, env_id)
    env = load_environment(env_id, {**base, **given(chosen)}, limits, option, split="test")
    if max_turn_tokens is not None:
        env.limits = replace(env.limits, max_turn_tokens=max_turn_tokens)
    choice = AgentChoice(agent, model, endpoint, engine_name(engine), device, dtype, concurrency=concurrency)
    if missed is not None and not missed.absolute().parent.is_dir():
        raise InputError(f"--missed {missed}: there is no folder {missed.parent}")
    found = retrieval_recall(env, recall, limit)
    player, codec = load_agent(choice, env)
    total = min(limit or len(env.tasks), len(env.tasks)) * samples
    try:
        with EvaluationProgress(Console(stderr=True), total) as progress:
            result = run_evaluation(
                player,
                codec,
                env,
                limit=limit,
                samples=samples,
                sampling=SamplingParams(temperature=temperature, max_tokens=max_turn_tokens or 256),
                seed=seed,
                concurrency=concurrency,
                on_episode=progress.episode,
                explain=env.oracle_gap if agent == "oracle" else None,
            )
    except AllEpisodesFailed as error:
        if endpoint is None:
            raise
        raise InputError(str(error)) from error  # no episode could be played: the server is not what was said
    finally:
        player.close()
    if missed is not None:
        lines = (json.dumps({"reason": record.reason, **record.as_json()}) for record in result.missed)
        missed.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if as_json:
        return _print_json({"environment": env_id, "agent": choice.label, **found, **result.as_json()})
    title = f"{choice.label} on {env_id}, tasks {env.tasks.name}"
    # What an oracle misses is the data's fault, and is listed whole.
    shown = {"missed_shown": len(result.records)} if agent == "oracle" and not shuffle_answers else {}
    _stdout().print(evaluation_table(result, title, found, **shown))


@app.command(
    epilog=examples(
        "toolgym play toolgym/SearchQA-v0 --seed 7",
        "toolgym play toolgym/KnightsAndKnaves-v0 -o n_people=2",
        "printf '/oracle\\n/accept\\n' | toolgym play toolgym/PythonMath-v0",
    )
)
def play(
    env_id: Env,
    task: Annotated[str | None, typer.Option(metavar="ID", help="Which task; drawn with --seed by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the episode.")] = None,
    tasks: Tasks = None,
    corpus: Corpus = None,
    format_: Format = None,
    reward: Reward = None,
    split: Split = None,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Play an episode yourself: read the prompt, write actions, see what comes back."""
    from .agents.loading import given, load_environment
    from .agents.play import Player

    chosen = {"tasks": tasks, "corpus": corpus, "action_format": format_, "reward": reward, "split": split}
    env = load_environment(env_id, given(chosen), {}, option)
    console = Console(stderr=True) if as_json else _stdout()
    lines = (line.rstrip("\n") for line in sys.stdin)
    played = Player(env, lines, console, interactive=sys.stdin.isatty()).play(task, seed)
    if as_json:
        _print_json(played.as_json())


@app.command(epilog=examples("toolgym view runs/quickstart", "toolgym view quickstart --open"))
def view(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or its name under the runs folder.")],
    runs_folder: Runs = Path("runs"),
    open_: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Summarise a run and write its report.html: curves, tables, every stored token by who wrote it."""
    found = _find_run(run, runs_folder)
    _show_run(found, as_json, {})
    if open_:
        typer.launch(str(found.path / "report.html"))


@app.command(epilog=examples("toolgym doctor", "toolgym doctor --json"))
def doctor(runs_folder: Runs = Path("runs"), as_json: AsJson = False) -> None:
    """Look at what this machine has and lacks, and say what to do about it."""
    from .trainers.doctor import examine

    checks = examine(runs_folder)
    if as_json:
        return _print_json([vars(check) for check in checks])
    table = Table("", "what", "found", "what to do")
    styles = {"ok": "green", "warn": "yellow", "missing": "red"}
    for check in checks:
        table.add_row(Text(check.state, style=styles[check.state]), check.name, Text(check.found), Text(check.advice))
    _stdout().print(table)


# Between options and the library ---------------------------------------------------------------------------------


def _checkpoint_setup(model: str | None, env_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options and limits with which a run evaluates its own checkpoints; none for a model from elsewhere."""
    from .trainers.origin import evaluation_options, run_of_checkpoint

    run = run_of_checkpoint(model) if model else None
    if run is None or run.recipe().environment != env_id:
        return {}, {}
    recipe = run.recipe()
    typer.echo(f"environment set up as in {run.path / 'recipe.toml'}; options given here come first", err=True)
    return evaluation_options(recipe), dict(recipe.limits)


def _list_recipes(as_json: bool) -> None:
    from .trainers.recipe import load_recipe, recipe_names

    recipes = [load_recipe(name) for name in recipe_names()]
    if as_json:
        return _print_json([{"name": one.name, "description": one.description} for one in recipes])
    table = Table("recipe", "stages", "what it is")
    for one in recipes:
        stages = ", ".join(f"{stage.name} x {stage.steps}" for stage in one.stage)
        table.add_row(Text(one.name, style="bold"), stages, one.description)
    _stdout().print(table)


def _find_run(run: str, runs_folder: Path) -> RunFolder:
    from .trainers.run_folder import RunFolder

    under = runs_folder / run
    return RunFolder.open(under if not Path(run).exists() and under.exists() else run)


def _make_room(run: RunFolder, overwrite: bool) -> None:
    """Finds out before anything is loaded whether a run may be written there."""
    if not run.path.exists():
        return
    if not overwrite:
        if (run.path / "recipe.toml").exists():
            raise InputError(
                f"{run.path}: a run is there already; continue it with --resume {run.path}, "
                "give another --name, or replace it with --overwrite"
            )
        return
    if any(run.path.iterdir()) and not (run.path / "recipe.toml").is_file():
        raise InputError(f"{run.path} holds something that is no run; --overwrite leaves it alone: move it yourself")
    shutil.rmtree(run.path)


def _show_run(run: RunFolder, as_json: bool, more: dict[str, Any]) -> None:
    from .trainers.report import write_report
    from .trainers.summary import run_summary, summary_table

    report = write_report(run)
    summary = run_summary(run)
    if as_json:
        return _print_json({**summary, "report": str(report), **more})
    _stdout().print(summary_table(summary, report))


def _stdout() -> Console:
    """Where results go; wide enough for tables when it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=140)


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
