r"""Perplexity per token, word and byte, and bits per byte, from loglikelihoods in NATS.

Loglikelihoods are summed per document. Word perplexity = exp(-sum ll / sum words), byte perplexity
= exp(-sum ll / sum bytes), bits per byte = -(sum ll / sum bytes) / ln 2: ratios of SUMS over
documents. Token perplexity of a list = exp(-mean ll), each item weighing the same; it does not
compare across tokenizers, bits per byte does.

wikitext: words = len(re.split(r"\s+", page)) of the ORIGINAL page (leading and trailing blanks add
empty words, an empty page counts 1); bytes = UTF-8 length of the original page; the model scores
the DETOKENISED text. Rolling windows: the first predicts min(M, n) tokens after ONE prefix token,
each next one M - context_length + 1; the last, shorter one reuses as much context as fits; every
token is scored once.

Source: EleutherAI/lm-evaluation-harness @ 4e7e0d47f33b. Faults of it that are not followed: zero
words or bytes raises ZeroDivisionError, here None. It states no standard error for the three
ratios: resample documents.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from effmark.scores import _average, _check


def token_perplexity(loglikelihoods: Sequence[float]) -> float:
    """Return exp of minus the mean loglikelihood; inf where that overflows."""
    return _exp(-_average.mean(_check.numbers("loglikelihoods", loglikelihoods)))


def word_perplexity(loglikelihoods: Sequence[float], words: Sequence[float]) -> float | None:
    """Return the perplexity per word over documents; None without a word."""
    nats = _nats_per_count(loglikelihoods, "words", words)
    return None if nats is None else _exp(nats)


def byte_perplexity(loglikelihoods: Sequence[float], byte_counts: Sequence[float]) -> float | None:
    """Return the perplexity per byte over documents; None without a byte."""
    nats = _nats_per_count(loglikelihoods, "byte_counts", byte_counts)
    return None if nats is None else _exp(nats)


def bits_per_byte(loglikelihoods: Sequence[float], byte_counts: Sequence[float]) -> float | None:
    """Return the bits that the model needs per byte of text; None without a byte."""
    nats = _nats_per_count(loglikelihoods, "byte_counts", byte_counts)
    return None if nats is None else nats / math.log(2)


def count_words(text: str) -> int:
    """Return the number of words as wikitext counts them: pieces between runs of blanks."""
    return len(re.split(r"\s+", text))


def rolling_windows(
    tokens: Sequence[int], prefix_token: int, max_length: int, *, context_length: int = 1
) -> list[tuple[list[int], list[int]]]:
    """Return (context, continuation) pairs that score every token once."""
    longest = _check.whole("max_length", max_length, least=1)
    kept = _check.whole("context_length", context_length, least=1, most=longest)
    if not tokens:
        return []
    done = min(longest, len(tokens))
    windows = [([prefix_token], list(tokens[:done]))]
    while done < len(tokens):
        end = min(len(tokens), done + longest - kept + 1)
        windows.append((list(tokens[end - longest - 1 : done]), list(tokens[done:end])))
        done = end
    return windows


def _nats_per_count(
    loglikelihoods: Sequence[float], name: str, counts: Sequence[float]
) -> float | None:
    _check.same_length("loglikelihoods", loglikelihoods, name, counts)
    nats = math.fsum(_check.numbers("loglikelihoods", loglikelihoods))
    total = math.fsum(_check.numbers(name, counts, least=0))
    # Subtracted from 0.0, because the negative of a sum of 0 would be printed as -0.0.
    return 0.0 - nats / total if total > 0 else None


def _exp(exponent: float) -> float:
    try:
        return math.exp(exponent)
    except OverflowError:
        return math.inf
