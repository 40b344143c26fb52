"""`python -m toolgym` is the `toolgym` command."""

from .cli import main

main()
