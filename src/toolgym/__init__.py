"""toolgym: a Gymnasium for language-model agents that think, call tools and are checked.

Importing the package registers its environments with Gymnasium (`toolgym/SearchQA-v0`, ...) and imports none of them.
"""

from __future__ import annotations

from .envs.registration import make_env, register, register_all

__all__ = ["__version__", "make_env", "register"]

__version__ = "0.1.0"

register_all()
