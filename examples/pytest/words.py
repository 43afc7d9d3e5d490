"""A function that somebody made fast."""

from __future__ import annotations

from collections import Counter


def count_words(text: str) -> Counter[str]:
    """Return how often each word occurs in a text."""
    counts: Counter[str] = Counter()
    for word in text.lower().split():
        counts[word] += 1
    return counts
