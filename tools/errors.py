"""The one error for bad input: what a person gave us, not what a model did."""

from __future__ import annotations


class InputError(ValueError):
    """Something a person gave is wrong: a file, a line, a key, an id, a model folder.

    The message is one line that says what was given, what was expected and what to do. The command line prints it
    without a traceback and exits with code 2; library users may catch it as a `ValueError`.
    """
