"""What a careless change might make of words.py: copy it there and let the gate find it."""

from __future__ import annotations

from collections import Counter


def count_words(text: str) -> Counter[str]:
    """Return how often each word occurs in a text."""
    counts: Counter[str] = Counter()
    for word in text.lower().split():
        counts = counts + Counter([word])
    return counts
