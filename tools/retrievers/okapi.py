"""bm25s with rank_bm25's Okapi scores, equal to the last bit."""

from __future__ import annotations

import math
from typing import Any

import bm25s
import numpy as np


class OkapiIndex(bm25s.BM25):  # type: ignore[misc]  # bm25s has no type information
    """A bm25s index whose scores are those of rank_bm25's `BM25Okapi`.

    bm25s has no variant with Okapi's idf and its floor, and the floor needs the mean over all words, so the building
    of the score matrix is replaced (bm25s documents the method for that). Each formula is written in the order of
    operations of rank_bm25 0.2.2, in float64.

    Args:
        k1: Saturation of the term frequency.
        b: Weight of the document length.
        epsilon: Floor of negative idf values, as a share of the mean idf.
        parameters: Further parameters of `bm25s.BM25`, given when an index is loaded.
    """

    def __init__(self, k1: float = 1.5, b: float = 0.75, epsilon: float = 0.25, **parameters: Any) -> None:
        fixed = {"method": "atire", "dtype": "float64", "int_dtype": "int32", "backend": "numpy"}
        super().__init__(k1=k1, b=b, **{**parameters, **fixed})
        self.epsilon = epsilon

    def build_index_from_ids(
        self,
        unique_token_ids: list[int],
        corpus_token_ids: list[list[int]],
        show_progress: bool = False,
        leave_progress: bool = False,
    ) -> dict[str, Any]:
        """Builds the score matrix, words by passages, as compressed columns.

        Args:
            unique_token_ids: All word ids: 0 to V - 1 in the order of first appearance.
            corpus_token_ids: The word ids of each passage.
            show_progress: Unused: building never prints.
            leave_progress: Unused.

        Returns:
            `data` (float64 scores), `indices` (int32 passages, ascending within a word) and `indptr` (int64, one more
            than there are words), and `num_docs`.
        """
        self.nonoccurrence_array = None
        documents, words = len(corpus_token_ids), len(unique_token_ids)
        lengths = np.fromiter((len(ids) for ids in corpus_token_ids), dtype=np.int64, count=documents)
        tokens = np.fromiter((token for ids in corpus_token_ids for token in ids), np.int64, int(lengths.sum()))
        # One number per (word, passage): sorting them groups the words, passages ascending within each.
        pairs = tokens * documents + np.repeat(np.arange(documents), lengths)
        pairs, frequencies = np.unique(pairs, return_counts=True)
        columns, rows = np.divmod(pairs, documents)
        document_frequencies = np.bincount(columns, minlength=words)
        idf = self._idf(document_frequencies, documents)
        mean_length = int(lengths.sum()) / documents
        saturation = frequencies * (self.k1 + 1)
        norm = frequencies + self.k1 * (1 - self.b + self.b * lengths[rows] / mean_length)
        indptr = np.zeros(words + 1, dtype=np.int64)
        np.cumsum(document_frequencies, out=indptr[1:])
        return {
            "data": idf[columns] * (saturation / norm),
            "indices": rows.astype(np.int32),
            "indptr": indptr,
            "num_docs": documents,
        }

    def _idf(self, document_frequencies: Any, documents: int) -> Any:
        """The idf of each word; float64 array of V."""
        values = [math.log(documents - df + 0.5) - math.log(df + 0.5) for df in document_frequencies.tolist()]
        floor = self.epsilon * (sum(values) / len(values))
        return np.array([floor if value < 0 else value for value in values])
