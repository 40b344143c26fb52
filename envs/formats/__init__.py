"""Action formats: the wire languages between model and environment."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .base import ActionFormat, PromptStyle
from .code import CodeFormat
from .hermes import HermesFormat
from .names import unknown_name
from .openai import OpenAIFormat
from .r1_searcher import R1SearcherFormat
from .react import ReActFormat
from .recall import RecallFormat
from .research import ResearchFormat
from .search_r1 import SearchR1Format
from .simpletir import SimpleTirFormat
from .think_answer import ThinkAnswerFormat
from .torl import TorlFormat
from .zero_search import ZeroSearchFormat

__all__ = ["FORMATS", "ActionFormat", "action_format"]

_CLASSES: tuple[type[ActionFormat], ...] = (
    ResearchFormat,
    SearchR1Format,
    ZeroSearchFormat,
    R1SearcherFormat,
    ReActFormat,
    HermesFormat,
    RecallFormat,
    OpenAIFormat,
    CodeFormat,
    TorlFormat,
    SimpleTirFormat,
    ThinkAnswerFormat,
)
FORMATS: Mapping[str, type[ActionFormat]] = MappingProxyType({cls.name: cls for cls in _CLASSES})
"""The formats by name."""


def action_format(name: str, prompt: PromptStyle = "full") -> ActionFormat:
    """Makes a format.

    Args:
        name: Its name; one of `FORMATS`.
        prompt: `full` for the published instruction, `question` for the bare question.

    Raises:
        InputError: For an unknown name or prompt style.
    """
    if name not in FORMATS:
        raise unknown_name("action format", name, FORMATS)
    return FORMATS[name](prompt)
