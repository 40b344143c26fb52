"""Penalties for repeated n-grams: of a whole text, and of each token."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from ...tools.errors import InputError

NGRAM_SIZE, MAX_PENALTY = 3, -1.0
"""Defaults of open-rs (arXiv 2503.16219) and open-r1."""

DENSE_NGRAM_SIZE, DENSE_PENALTY = 40, -0.05
"""Values of the scripts of "Demystifying Long Chain-of-Thought Reasoning" (arXiv 2502.03373)."""


def repetition_penalty(text: str, *, ngram_size: int = NGRAM_SIZE, max_penalty: float = MAX_PENALTY) -> float:
    """`max_penalty` times the share of a text's n-grams of words that are repetitions; 0 for shorter texts.

    Words are what whitespace separates, without regard to case. Source: arXiv 2502.03373, appendix C.2; huggingface/
    open-r1 and knoveleng/open-rs, `rewards.py`; eddycmu/demystify-long-cot, `repetition.py` (which divides by zero
    where a text is shorter than an n-gram).

    Args:
        text: What the model wrote.
        ngram_size: Words in an n-gram.
        max_penalty: What a text of nothing but repetitions would earn; at most 0.

    Raises:
        InputError: If the penalty is positive or an n-gram has no words.
    """
    _check(ngram_size, max_penalty)
    ngrams = list(_ngrams(text.lower().split(), ngram_size))
    return (1 - len(set(ngrams)) / len(ngrams)) * max_penalty if ngrams else 0.0


def dense_repetition_penalty(
    tokens: Sequence[Hashable],
    *,
    ngram_size: int = DENSE_NGRAM_SIZE,
    penalty: float = DENSE_PENALTY,
    only_start: bool = False,
) -> list[float]:
    """For every token `penalty` if it is part of an n-gram that has occurred before, else 0.

    Source: arXiv 2502.03373, section 4.5; eddycmu/demystify-long-cot, `repetition.py`. There the penalty is discounted
    by a gamma of its own, 0.99, while the reward of the answer is not.

    Args:
        tokens: What was sampled.
        ngram_size: Tokens in an n-gram.
        penalty: Reward of a repeated token; at most 0.
        only_start: Whether an n-gram is passed over that starts within (or right at the end of) the repetition before
            it.

    Raises:
        InputError: If the penalty is positive or an n-gram has no tokens.
    """
    _check(ngram_size, penalty)
    rewards = [0.0] * len(tokens)
    seen: set[tuple[Hashable, ...]] = set()
    end, done = -1, 0
    for start, ngram in enumerate(_ngrams(tokens, ngram_size)):
        if ngram in seen:
            if not only_start or start > end:
                # What an overlapping repetition has marked is not marked again: linear, whatever the n-gram's size.
                for position in range(max(start, done), start + ngram_size):
                    rewards[position] = penalty
                done = start + ngram_size
            end = start + ngram_size
        seen.add(ngram)
    return rewards


def _ngrams(items: Sequence[Hashable], size: int) -> Iterator[tuple[Hashable, ...]]:
    return (tuple(items[start : start + size]) for start in range(len(items) - size + 1))


def _check(ngram_size: int, penalty: float) -> None:
    if ngram_size < 1:
        raise InputError(f"ngram_size must be at least 1, not {ngram_size}")
    if penalty > 0:
        raise InputError(f"a penalty must not be positive, but it is {penalty}")
