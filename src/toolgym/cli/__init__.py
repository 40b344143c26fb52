"""The `toolgym` command. Every command reads its options, calls the library, and prints what came back."""

from __future__ import annotations

from . import checking, retrieval, running, scaffolding, serving, training  # noqa: F401  # each adds its commands, in the order of the help
from .common import app

__all__ = ["app", "main"]


def main() -> None:
    """Runs the command line."""
    app(prog_name="toolgym")
