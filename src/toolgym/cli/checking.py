"""The command that checks environments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ..tools.errors import InputError
from .common import AsJson, Corpus, Format, Options, Reward, Split, Tasks, app, examples, print_json, stdout

if TYPE_CHECKING:
    from ..envs.checks import CheckReport

Envs = Annotated[
    list[str] | None, typer.Argument(metavar="[ENV]...", help="Ids, or MODULE:NAMESPACE/Name-v0; none means all.")
]


@app.command(
    epilog=examples(
        "toolgym check",
        "toolgym check toolgym/SearchQA-v0",
        "toolgym check mymodule:mine/Riddles-v0 --limit 100",
        "toolgym check toolgym/SearchQA-v0 --only fork --only canaries -o hops=3",
        "toolgym check --list",
    )
)
def check(
    env_ids: Envs = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A check, a canary, or canaries; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Tasks that the oracle and the canaries play.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Keys all draws.")] = 0,
    tasks: Tasks = None,
    corpus: Corpus = None,
    format_: Format = None,
    reward: Reward = None,
    split: Split = None,
    option: Options = None,
    details: Annotated[bool, typer.Option("--details", help="All figures of each of several environments.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Say what each check stops and each canary tries.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check that environments are sound: named checks, and canaries that must not win.

    Checks play copies of an environment and look for defects that somebody has shipped before. Canaries are scripted
    cheats: none may score above the guess rate that the environment declares, nor earn more for a wrong answer than the
    ceiling of its reward. The exit code is 1 if anything is red.
    """
    from ..agents.loading import given, load_environment
    from ..envs.checks.catalogue import picked
    from ..envs.checks.run import check_env
    from ..envs.checks.tables import CheckProgress, overview, report_tables
    from ..envs.registration import environment_ids

    checks, canaries = picked(only)
    if list_:
        return _list(as_json)
    chosen = given({"tasks": tasks, "corpus": corpus, "action_format": format_, "reward": reward, "split": split})
    if not env_ids and (chosen or option):
        raise InputError("options belong to one environment; name it: toolgym check ENV")
    names = env_ids or environment_ids()
    reports: list[CheckReport] = []
    skipped: list[dict[str, str]] = []
    broken: list[dict[str, str]] = []
    with CheckProgress(Console(stderr=True), len(names), len(checks) + len(canaries)) as progress:
        for name in names:
            progress.environment(name)
            try:
                env = load_environment(name, chosen, {}, option)
            except InputError as error:
                if env_ids:
                    raise
                (skipped if _needs_an_extra(error) else broken).append({"environment": name, "reason": str(error)})
                progress.skipped(name, str(error))
                continue
            told = progress.result
            report = check_env(env, tasks=limit, seed=seed, only=only, raise_on_failure=False, progress=told)
            progress.done(report)
            reports.append(report)
            env.close()
    ok = not broken and all(report.ok for report in reports)
    if as_json:
        unmade = {"not_checked": skipped, "not_made": broken}
        print_json({"ok": ok, "environments": [report.as_json() for report in reports], **unmade})
    else:
        console = stdout()
        for report in reports if details or len(reports) == 1 else ():
            console.print(report_tables(report))
        if len(reports) > 1:
            console.print(overview(reports))
        for missing, style in ((skipped, "yellow"), (broken, "bold red")):
            for one in missing:
                console.print(Text(f"{one['environment']}: not checked: {one['reason']}", style=style))
        console.print(_last_line(len(names), reports, ok))
    if not ok:
        raise typer.Exit(1)


def _needs_an_extra(error: InputError) -> bool:
    """Whether an environment cannot be made because a package is not installed."""
    return isinstance(error.__cause__, ImportError) or "pip install" in str(error)


def _last_line(names: int, reports: list[CheckReport], ok: bool) -> Text:
    counts = [report.counts() for report in reports]
    total = {key: sum(count[key] for count in counts) for key in (counts[0] if counts else ())}
    line = f"{len(reports)} of {names} environments checked"
    if total:
        tried = total["canaries_quiet"] + total["canaries_won"]
        line += f": {total['green']} checks green, {total['red']} red, {total['skipped']} skipped; "
        line += f"{total['canaries_won']} of {tried} canaries won; "
        line += f"gameability at most {max(report.gameability for report in reports):.2f}"
    return Text(line, style="bold green" if ok else "bold red")


def _list(as_json: bool) -> None:
    from ..envs.checks import CANARIES, CHECKS

    if as_json:
        checks = [{"name": one.name, "stops": one.stops, "seen": one.seen} for one in CHECKS]
        return print_json({"checks": checks, "canaries": [{"name": one.name, "tries": one.tries} for one in CANARIES]})
    table = Table("check", Column("stops", ratio=3), Column("where it was seen", ratio=2), title="checks")
    for one in CHECKS:
        table.add_row(one.name, one.stops, one.seen)
    cheats = Table("canary", "tries", title="canaries")
    for canary in CANARIES:
        cheats.add_row(canary.name, canary.tries)
    console = stdout()
    console.print(table)
    console.print(cheats)
