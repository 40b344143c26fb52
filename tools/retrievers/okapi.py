"""bm25s with rank_bm25's Okapi scores, equal to the last bit."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import bm25s
import numpy as np


class OkapiIndex(bm25s.BM25):  # type: ignore[misc]  # bm25s has no type information
    """A bm25s index whose scores are those of rank_bm25's `BM25Okapi`.

    bm25s has no variant with Okapi's idf and its floor, and the floor needs the mean over all words, so `fit` builds
    the score matrix; scoring, saving and loading are bm25s's own. Each formula is written in the order of operations
    of rank_bm25 0.2.2, in float64.

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

    def fit(self, documents: Iterable[Sequence[str]]) -> None:
        """Builds the index: what bm25s's own `index` leaves behind, in less memory (documents are read one by one).

        Args:
            documents: The words of each passage; at least one word in all.
        """
        # Numbered by first appearance, as rank_bm25 orders its words: the mean idf is then the same to the last bit.
        vocabulary: dict[str, int] = {}
        tokens, lengths = array("q"), array("q")
        for words in documents:
            tokens.extend(vocabulary.setdefault(word, len(vocabulary)) for word in words)
            lengths.append(len(words))
        self.vocab_dict = vocabulary
        self.unique_token_ids_set = set(vocabulary.values())
        self.nonoccurrence_array = None
        self.scores = self._score(np.frombuffer(tokens, np.int64), np.frombuffer(lengths, np.int64), len(vocabulary))

    def _score(self, tokens: Any, lengths: Any, words: int) -> dict[str, Any]:
        """The score matrix, words by passages, as compressed columns.

        Args:
            tokens: Word ids of all passages, one passage after the other; int64 of the number of words in the corpus.
            lengths: Words of each passage; int64 of the number of passages.
            words: Size V of the vocabulary.

        Returns:
            `data` (float64 scores), `indices` (int32 passages, ascending within a word), `indptr` (int64 of V + 1),
            and `num_docs`.
        """
        documents = len(lengths)
        # One number per (word, passage): sorting them groups the words, passages ascending within each.
        pairs = tokens * documents + np.repeat(np.arange(documents), lengths)
        pairs, frequencies = np.unique(pairs, return_counts=True)
        columns, rows = np.divmod(pairs, documents)
        document_frequencies = np.bincount(columns, minlength=words)
        mean_length = int(lengths.sum()) / documents
        norm = frequencies + self.k1 * (1 - self.b + self.b * lengths[rows] / mean_length)
        indptr = np.zeros(words + 1, dtype=np.int64)
        np.cumsum(document_frequencies, out=indptr[1:])
        return {
            "data": self._idf(document_frequencies, documents)[columns] * (frequencies * (self.k1 + 1) / norm),
            "indices": rows.astype(np.int32),
            "indptr": indptr,
            "num_docs": documents,
        }

    def _idf(self, document_frequencies: Any, documents: int) -> Any:
        """The idf of each word; float64 array of V."""
        values = [math.log(documents - df + 0.5) - math.log(df + 0.5) for df in document_frequencies.tolist()]
        floor = self.epsilon * (sum(values) / len(values))
        return np.array([floor if value < 0 else value for value in values])
