"""Commands that serve what toolgym has to other programs: `toolgym serve ...`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ..tools.errors import InputError
from .common import (
    AsJson,
    Commands,
    Corpus,
    Env,
    Format,
    Options,
    Reward,
    Split,
    Tasks,
    app,
    examples,
)

serve = typer.Typer(cls=Commands, no_args_is_help=True, help="Serve retrievers, tools and environments.")
app.add_typer(serve, name="serve")

Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine's.")]
Port = Annotated[int, typer.Option(help="Port; 0 takes a free one.")]


@serve.command(
    "retriever",
    epilog=examples(
        "toolgym serve retriever corpus.jsonl", "toolgym serve retriever index/ --port 8000 --host 0.0.0.0"
    ),
)
def serve_retriever(
    spec: Annotated[
        str, typer.Argument(metavar="RETRIEVER", help="A corpus file, the folder of an index, or a server's address.")
    ],
    host: Host = "127.0.0.1",
    port: Port = 8000,
    k: Annotated[int, typer.Option(help="Passages for a Search-R1 request that does not say how many.")] = 3,
    max_k: Annotated[int, typer.Option(help="Most passages that a request may ask for.")] = 100,
    max_queries: Annotated[int, typer.Option(help="Most queries in one request.")] = 8192,
    workers: Annotated[int, typer.Option(help="Threads that search.")] = 4,
    max_batch: Annotated[int, typer.Option(help="Most queries that are searched together.")] = 32,
    as_json: AsJson = False,
) -> None:
    """Serve a retriever to clients of Search-R1, R1-Searcher and ReSearch, until SIGTERM or Ctrl-C."""
    from ..tools.http_server import HttpServer

    with HttpServer(host, port) as server:  # taken first: a port in use is known before an index is loaded
        from ..tools.retrievers import open_retriever
        from ..tools.retrievers.application import RetrieverApplication, ServingLimits

        limits = ServingLimits(max_k=max_k, max_queries=max_queries)
        application = RetrieverApplication(
            open_retriever(spec), default_k=k, limits=limits, workers=workers, max_batch=max_batch
        )
        server.start(application.asgi())
        about = {"url": server.url, **application.about, "routes": application.routes}
        what = about["retriever"] if about["passages"] is None else f"{about['passages']:,} passages"
        line = f"serving {what} at {server.url} ({', '.join(application.routes)})"
        server.run_until_signal(lambda: typer.echo(json.dumps(about) if as_json else line))


@serve.command(
    "mcp",
    epilog=examples(
        "toolgym serve mcp python calculator",
        "toolgym serve mcp search:corpus.jsonl my_tools:lookup --http 127.0.0.1:8000",
    ),
)
def serve_mcp(
    tools: Annotated[
        list[str],
        typer.Argument(
            metavar="TOOL...", help="calculator, python, search:CORPUS (or index, or URL), MODULE:ATTRIBUTE."
        ),
    ],
    http: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Serve http://HOST:PORT/mcp; stdin and stdout by default.")
    ] = None,
    isolation: Annotated[str | None, typer.Option(help="Of python; unset takes the tool's own.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every client's tools.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="With --http: say where it listens as JSON.")] = False,
) -> None:
    """Serve tools to MCP clients; every client has its own state."""
    from ..tools.http_server import HttpServer
    from ..tools.mcp_serving import CLOSING_SECONDS, http_app, mcp_server, serve_stdio
    from ..tools.naming import named_tool

    python: dict[str, Any] = {} if isolation is None else {"isolation": isolation}
    made = [named_tool(name, **python) for name in tools]
    mcp = mcp_server(made, seed=seed)
    if http is None:
        return serve_stdio(mcp)
    host, port = _address(http)
    with HttpServer(host, port, CLOSING_SECONDS) as server:
        server.start(http_app(mcp, host=host))
        url = f"{server.url}/mcp"
        names = [function.name for tool in made for function in tool.functions]
        line = json.dumps({"url": url, "tools": names}) if as_json else f"serving {', '.join(names)} at {url}"
        server.run_until_signal(lambda: typer.echo(line))


@serve.command(
    "openenv",
    epilog=examples(
        "toolgym serve openenv toolgym/PythonMath-v0",
        "toolgym serve openenv toolgym/SearchQA-v0 --corpus corpus.jsonl --tasks tasks.jsonl --port 8000",
    ),
)
def serve_openenv(
    env_id: Env,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    max_sessions: Annotated[int, typer.Option(min=1, help="Episodes at the same time, one for each client.")] = 64,
    tasks: Tasks = None,
    corpus: Corpus = None,
    format_: Format = None,
    reward: Reward = None,
    split: Split = None,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Serve an environment to OpenEnv's clients, until SIGTERM or Ctrl-C."""
    from ..agents.loading import given, load_environment
    from ..envs.adapters.openenv import openenv_app
    from ..tools.http_server import HttpServer

    with HttpServer(host, port) as server:
        chosen = {"tasks": tasks, "corpus": corpus, "action_format": format_, "reward": reward, "split": split}
        env = load_environment(env_id, given(chosen), {}, option)
        server.start(openenv_app(env, max_sessions=max_sessions), websockets=True)
        count = None if env.tasks.endless else len(env.tasks)
        about = {"url": server.url, "environment": env_id, "tasks": count, "max_sessions": max_sessions}
        line = f"serving {env_id} with {'endless' if count is None else count} tasks at {server.url}"
        server.run_until_signal(lambda: typer.echo(json.dumps(about) if as_json else line))
        env.close()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"--http {text}: give HOST:PORT, such as 127.0.0.1:8000")
    return host.strip("[]"), int(port)
