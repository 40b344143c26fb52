"""Commands over runs: train, look at a run, score it again, look at the machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..tools.errors import InputError
from .common import AsJson, Runs, app, examples, print_json, stdout

if TYPE_CHECKING:
    from ..agents.loading import EnvironmentSetup
    from ..agents.saved_evaluation import EvaluationFolder
    from ..trainers.run_folder import RunFolder

_LISTED = 20
"""Episodes that `toolgym replay` lists when nobody says how many."""


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
    from ..trainers.display import make_display
    from ..trainers.recipe import load_recipe
    from ..trainers.run_folder import RunFolder

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
        from ..trainers.loop import train as run_training
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


@app.command(
    epilog=examples(
        "toolgym replay runs/quickstart",
        "toolgym replay quickstart --reward 'exact_match + 0.1*f1' --changed-only",
        "toolgym eval toolgym/SearchQA-v0 --agent oracle --save evaluations/oracle",
        "toolgym replay evaluations/oracle --reward search_r1 --out rescored.jsonl",
    )
)
def replay(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A run (its folder, or name under the runs folder), or saved evaluation."),
    ],
    reward: Annotated[
        str | None, typer.Option(help="Reward to score with; the run's own by default, as a check.")
    ] = None,
    changed_only: Annotated[bool, typer.Option("--changed-only", help="List the episodes that changed alone.")] = False,
    limit: Annotated[int | None, typer.Option(min=0, help="Most episodes listed [20 in the table].")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the episodes there, as JSONL.")] = None,
    runs_folder: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Score stored episodes again, with another reward, and say which of them change; plays nothing."""
    from ..agents.replay import rescore
    from ..agents.replay_table import replay_table

    if out is not None and not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}")
    found = _find_episodes(run, runs_folder)
    stored = list(found.read_episodes())
    if not stored:
        raise InputError(
            f"{found.path}: no episodes are stored there; a training run stores them (recipe keys trajectories_every "
            "and trajectories_stored), and toolgym eval with --save FOLDER"
        )
    result = rescore(stored, _setups(found), reward)
    listed = result.changed if changed_only else [*result.changed, *(one for one in result.episodes if not one.changed)]
    if out is not None:
        lines = (json.dumps(one.as_json()) for one in listed[:limit])
        out.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    if as_json:
        return print_json({"run": str(found.path), **result.as_json(listed[:limit])})
    title = f"{found.path}, scored with {result.reward_name}"
    stdout().print(replay_table(result, title, listed, _LISTED if limit is None else limit))


@app.command(epilog=examples("toolgym doctor", "toolgym doctor --json"))
def doctor(runs_folder: Runs = Path("runs"), as_json: AsJson = False) -> None:
    """Look at what this machine has and lacks, and say what to do about it."""
    from ..trainers.doctor import examine

    checks = examine(runs_folder)
    if as_json:
        return print_json([vars(check) for check in checks])
    table = Table("", "what", "found", "what to do")
    styles = {"ok": "green", "warn": "yellow", "missing": "red"}
    for check in checks:
        table.add_row(Text(check.state, style=styles[check.state]), check.name, Text(check.found), Text(check.advice))
    stdout().print(table)


def _list_recipes(as_json: bool) -> None:
    from ..trainers.recipe import load_recipe, recipe_names

    recipes = [load_recipe(name) for name in recipe_names()]
    if as_json:
        return print_json([{"name": one.name, "description": one.description} for one in recipes])
    table = Table("recipe", "stages", "what it is")
    for one in recipes:
        stages = ", ".join(f"{stage.name} x {stage.steps}" if stage.steps else stage.name for stage in one.stage)
        table.add_row(Text(one.name, style="bold"), stages, one.description)
    stdout().print(table)


def _find_run(run: str, runs_folder: Path) -> RunFolder:
    from ..trainers.run_folder import RunFolder

    under = runs_folder / run
    return RunFolder.open(under if not Path(run).exists() and under.exists() else run)


def _find_episodes(run: str, runs_folder: Path) -> RunFolder | EvaluationFolder:
    """The run or the saved evaluation of that name."""
    from ..agents.saved_evaluation import EvaluationFolder
    from ..trainers.run_folder import RunFolder

    for path in (Path(run), runs_folder / run):
        for folder in (EvaluationFolder(path), RunFolder(path)):
            if folder.exists:
                return folder
    raise InputError(
        f"{run}: there is neither a run (no recipe.toml) nor a saved evaluation (no evaluation.json); runs lie under "
        "runs/NAME, and toolgym eval saves with --save FOLDER"
    )


def _setups(folder: RunFolder | EvaluationFolder) -> Callable[[str], EnvironmentSetup]:
    """How the environment of each stage was made."""
    from ..agents.saved_evaluation import EvaluationFolder
    from ..trainers.origin import stage_setup

    if isinstance(folder, EvaluationFolder):
        setup = folder.setup()
        return lambda stage: setup
    return partial(stage_setup, folder.recipe())


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
    from ..trainers.report import write_report
    from ..trainers.summary import run_summary, summary_table

    report = write_report(run)
    summary = run_summary(run)
    if as_json:
        return print_json({**summary, "report": str(report), **more})
    stdout().print(summary_table(summary, report))
