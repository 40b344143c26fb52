"""toolgym: a Gymnasium for language-model agents that think, call tools and are checked."""

__version__ = "0.1.0"
