"""How often patterns occur."""

from collections import Counter
from random import Random
from typing import Any

TECHNIQUE = "string matching"
ENTRY_POINT = "pattern_counts"
CHECK = "exact"
PROMPT = '''\
def pattern_counts(text: str, patterns: list[str]) -> list[int]:
    """Return for each pattern at how many places of the text it starts.

    Occurrences may overlap. The patterns are not empty and may repeat; they have at most
    ten different lengths. The text has at most 12,000 letters; there are at most 900
    patterns.

    >>> pattern_counts("aaba", ["a", "aa", "ab", "bb"])
    [3, 1, 1, 0]
    """
'''
SIZES = ((20, 5), (1_000, 100), (4_000, 300), (12_000, 900))
EDGES: list[list[Any]] = [["", ["a"]], ["a", []], ["aaaa", ["aa", "aa"]], ["abc", ["abcd", "abc"]]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Texts over two to twenty letters; patterns cut from the text or made up."""
    size, count = SIZES[level]
    cases: list[list[Any]] = []
    for letters, lengths in (
        ("ab", (6, 8, 10, 13)),
        ("acgt", (3, 5, 9)),
        ("a" * 30 + "b", (4, 20, 21)),
        ("abcdefghijklmnopqrst", (2, 3, 4)),
    ):
        text = "".join(rng.choices(letters, k=size))
        patterns = []
        for _ in range(count):
            length = rng.choice(lengths)
            start = rng.randrange(max(1, size - length))
            found = text[start : start + length]
            patterns.append(found if rng.random() < 0.7 else "".join(rng.sample(found, len(found))))
        cases.append([text, patterns])
    return [*EDGES, *cases] if level == 0 else cases


def naive(text: str, patterns: list[str]) -> list[int]:
    """Compare every pattern at every place: O(text * patterns)."""
    counts = []
    for pattern in patterns:
        counts.append(sum(text.startswith(pattern, i) for i in range(len(text))))
    return counts


def good(text: str, patterns: list[str]) -> list[int]:
    """Search for each distinct pattern with the built-in search."""
    counts: dict[str, int] = {}
    for pattern in patterns:
        if pattern in counts:
            continue
        counts[pattern] = 0
        place = text.find(pattern)
        while place >= 0:
            counts[pattern] += 1
            place = text.find(pattern, place + 1)
    return [counts[pattern] for pattern in patterns]


def expert(text: str, patterns: list[str]) -> list[int]:
    """Count all pieces of each length at once: O(text * lengths + patterns)."""
    counts: Counter[str] = Counter()
    for length in {len(pattern) for pattern in patterns}:
        counts.update([text[i : i + length] for i in range(len(text) - length + 1)])
    return [counts[pattern] for pattern in patterns]
