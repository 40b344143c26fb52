"""The format of ZeroSearch: Search-R1's, for a search engine that a model plays."""

from __future__ import annotations

import re
from typing import ClassVar

from ...tools.base import ToolResult
from ..limits import Limits
from .common import passages_of
from .search_r1 import SearchR1Format


class ZeroSearchFormat(SearchR1Format):
    """ZeroSearch (arXiv 2505.04588; Alibaba-NLP/ZeroSearch, `llm_agent/generation.py`).

    Actions are read and answered as in Search-R1; documents have no titles, an observation may have 2048 tokens, and
    there are five turns with search before the last.
    """

    name: ClassVar[str] = "zero_search"
    limits: ClassVar[Limits] = Limits(
        max_turns=6,
        last_turn_calls=False,
        max_turn_tokens=500,
        max_observation_tokens=2048,
        observation_cut="head",
        max_context=4096,
    )

    lone_call: ClassVar[re.Pattern[str] | None] = SearchR1Format.lone_call

    def documents(self, result: ToolResult) -> str:
        """The documents of a result, a line each."""
        passages = passages_of(result)
        texts = [f"{title} {text}".strip() for title, text in passages]
        return "\n".join([f"Doc {i}: {text}" for i, text in enumerate(texts, start=1)]) if texts else result.output
