"""Commands over environments: list them, score an agent, play an episode."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ..tools.errors import InputError
from .common import AsJson, Corpus, Env, Format, Options, Reward, Split, Tasks, app, examples, print_json, stdout


@app.command(epilog=examples("toolgym envs", "toolgym envs --json"))
def envs(as_json: AsJson = False) -> None:
    """List the environments."""
    from ..envs.formats import FORMATS
    from ..envs.registration import environment_ids, make_env

    rows: list[dict[str, Any]] = []
    for env_id in environment_ids():
        try:
            env = make_env(env_id)
        except InputError as error:  # an extra that is not installed
            rows.append({"id": env_id, "missing": str(error)})
            continue
        rows.append(
            {
                "id": env_id,
                "tools": [function.name for function in env.functions],
                "format": env.action_format.name,
                "tasks": None if env.tasks.endless else len(env.tasks),
                "about": (inspect.getdoc(type(env)) or "").partition("\n")[0],
            }
        )
    if as_json:
        return print_json({"environments": rows, "formats": sorted(FORMATS)})
    table = Table("id", "tools", "format", Column("tasks", justify="right"), "what it is")
    for row in rows:
        name = Text(row["id"], style="bold")
        if "missing" in row:
            table.add_row(name, "", "", "", Text(row["missing"], style="yellow"))
            continue
        tasks = "endless" if row["tasks"] is None else str(row["tasks"])
        table.add_row(name, ", ".join(row["tools"]) or "none", row["format"], tasks, row["about"])
    console = stdout()
    console.print(table)
    console.print(Text(f"Formats that eval and play take with --format: {', '.join(sorted(FORMATS))}", style="dim"))


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
    max_turn_tokens: Annotated[
        int | None, typer.Option(min=1, help="Sampled tokens per turn [256; no bound for a scripted agent].")
    ] = None,
    seed: Annotated[int, typer.Option(help="Keys the sampling.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="Episodes in progress at once.")] = 64,
    shuffle_answers: Annotated[
        bool, typer.Option("--shuffle-answers", help="Control: exchange the gold answers between tasks.")
    ] = False,
    recall: Annotated[
        bool | None, typer.Option("--recall/--no-recall", help="Recall of the retriever; on where gold ids are known.")
    ] = None,
    missed: Annotated[Path | None, typer.Option(help="Write the episodes with score < 1 there, as JSONL.")] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Save settings, result and episodes, for toolgym replay.")
    ] = None,
    cassette: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Record what the tools answer there, or play it back.")
    ] = None,
    cassette_mode: Annotated[
        str, typer.Option(help="replay calls no tool; auto records what is missing; record asks everything anew.")
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Score an agent on an environment, with 95 % intervals."""
    from ..agents.engines.base import SamplingParams
    from ..agents.evaluation import evaluate as run_evaluation
    from ..agents.loading import AgentChoice, engine_name, environment_setup, given, load_agent, retrieval_recall
    from ..agents.results import EvaluationProgress, evaluation_table
    from ..agents.rollout import AllEpisodesFailed
    from ..agents.saved_evaluation import EvaluationFolder
    from ..tools.cassettes import Cassette

    chosen: dict[str, Any] = {"tasks": tasks, "corpus": corpus, "action_format": format_, "reward": reward}
    chosen |= {"split": split, "shuffle_answers": seed if shuffle_answers else None}
    base, limits = _checkpoint_setup(None if endpoint else model, env_id)
    setup = environment_setup(env_id, {**base, **given(chosen)}, limits, option, split="test")
    if max_turn_tokens is not None:
        setup = setup.with_limits(max_turn_tokens=max_turn_tokens)
    env = setup.make()
    choice = AgentChoice(agent, model, endpoint, engine_name(engine), device, dtype, concurrency=concurrency)
    if missed is not None and not missed.absolute().parent.is_dir():
        raise InputError(f"--missed {missed}: there is no folder {missed.parent}")
    saved = None if save is None else EvaluationFolder.create(save)
    if cassette is not None:
        env.record(Cassette(cassette, cassette_mode))  # type: ignore[arg-type]  # which it checks
    offline = cassette is not None and cassette_mode == "replay"
    found = retrieval_recall(env, False if offline and recall is None else recall, limit)
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
                sampling=SamplingParams(
                    temperature=temperature, max_tokens=max_turn_tokens or (256 if agent is None else 1 << 20)
                ),
                seed=seed,
                concurrency=concurrency,
                # Of a recording, the replay is to be the same to the last bit.
                schedule="fast" if cassette is None else "deterministic",
                keep_episodes=saved is not None,
                on_episode=progress.episode,
                explain=env.oracle_gap if agent == "oracle" else None,
            )
    except AllEpisodesFailed as error:
        if endpoint is None and cassette is None:
            raise
        # No episode could be played: the server is not what was said, or the cassette has another evaluation.
        raise InputError(str(error)) from error
    finally:
        player.close()
    if saved is not None:
        settings = {"agent": choice.label, "temperature": temperature, "shuffle_answers": shuffle_answers, **found}
        count = saved.write(setup, settings, result)
        typer.echo(f"{count} episodes saved; score them anew with: toolgym replay {save} --reward REWARD", err=True)
    if missed is not None:
        lines = (json.dumps({"reason": record.reason, **record.as_json()}) for record in result.missed)
        missed.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if as_json:
        return print_json({"environment": env_id, "agent": choice.label, **found, **result.as_json()})
    title = f"{choice.label} on {env_id}, tasks {env.tasks.name}"
    # What an oracle misses is the data's fault, and is listed whole.
    shown = {"missed_shown": len(result.records)} if agent == "oracle" and not shuffle_answers else {}
    stdout().print(evaluation_table(result, title, found, **shown))


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
    from ..agents.loading import given, load_environment
    from ..agents.play import Player

    chosen = {"tasks": tasks, "corpus": corpus, "action_format": format_, "reward": reward, "split": split}
    env = load_environment(env_id, given(chosen), {}, option)
    console = Console(stderr=True) if as_json else stdout()
    lines = (line.rstrip("\n") for line in sys.stdin)
    played = Player(env, lines, console, interactive=sys.stdin.isatty()).play(task, seed)
    if as_json:
        print_json(played.as_json())


def _checkpoint_setup(model: str | None, env_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options and limits with which a run evaluates its own checkpoints; none for a model from elsewhere."""
    from ..trainers.origin import evaluation_options, run_of_checkpoint

    run = run_of_checkpoint(model) if model else None
    if run is None or run.recipe().environment != env_id:
        return {}, {}
    recipe = run.recipe()
    typer.echo(f"environment set up as in {run.path / 'recipe.toml'}; options given here come first", err=True)
    return evaluation_options(recipe), dict(recipe.limits)
