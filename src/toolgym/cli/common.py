"""What the commands share: the application, option types, how results and errors are printed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from ..tools.errors import InputError


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
        "--option",
        "-o",
        metavar="KEY=VALUE",
        help="An option of the environment, limits.NAME or tools.FUNCTION.NAME; repeatable.",
    ),
]
Runs = Annotated[Path, typer.Option(help="Folder that holds the runs.")]


def examples(*lines: str) -> str:
    """Examples for the end of a help text."""
    return "\n\n".join(["[bold]Examples[/bold]", *(f"[cyan]{line}[/cyan]".replace("[k", r"\[k") for line in lines)])


def stdout() -> Console:
    """Where results go; wide enough for tables when it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=140)


def print_json(document: Any) -> None:
    """Prints the one document that `--json` promises."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    # A model may have written surrogates, which no stream takes; JSON knows them by their number.
    typer.echo(re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text))


def _print_version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"toolgym {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and leave.")
    ] = False,
) -> None:
    """Environments, agents and trainers for language models that call tools."""
