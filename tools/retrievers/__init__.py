"""Retrievers: a corpus of passages, and the indexes that find passages for a query."""

from __future__ import annotations

from .base import Retriever, ScoredPassage
from .bm25 import BM25Retriever
from .corpus import Corpus, Passage

__all__ = ["BM25Retriever", "Corpus", "Passage", "Retriever", "ScoredPassage"]
