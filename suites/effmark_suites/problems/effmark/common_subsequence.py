"""What two logs have in common."""

from bisect import bisect_left
from random import Random
from typing import Any

TECHNIQUE = "bit-parallel dynamic programming"
ENTRY_POINT = "common_length"
CHECK = "exact"
PROMPT = '''\
def common_length(log: str, pattern: str) -> int:
    """Return the length of the longest sequence of letters found in both texts in order.

    The letters of the sequence need not be next to each other in either text. The log has
    at most 14,000 letters, the pattern at most 500.

    >>> common_length("abcde", "badge")
    3
    >>> common_length("", "a")
    0
    """
'''
SIZES = ((12, 8), (1_000, 100), (4_000, 250), (14_000, 500))
EDGES: list[list[Any]] = [["", ""], ["a", ""], ["abc", "cba"], ["aaaa", "aa"]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Texts over four to a dozen letters, one pair repeating itself, one of few changes."""
    length, width = SIZES[level]
    cases: list[list[Any]] = []
    for letters in ("abcde", "abcdefghijkl", "acgt"):
        log = "".join(rng.choices(letters, k=length))
        cases.append([log, "".join(rng.choices(letters, k=width))])
    log = ("abcdefg" * length)[:length]
    cases.append([log, "".join(sorted(rng.choices("abcdefgz", k=width), reverse=True))])
    return [*EDGES, *cases] if level == 0 else cases


def naive(log: str, pattern: str) -> int:
    """The whole table of all pairs of fronts, kept in memory: O(n m) time and space."""
    table = [[0] * (len(pattern) + 1) for _ in range(len(log) + 1)]
    for i in range(1, len(log) + 1):
        for j in range(1, len(pattern) + 1):
            if log[i - 1] == pattern[j - 1]:
                table[i][j] = table[i - 1][j - 1] + 1
            else:
                table[i][j] = max(table[i - 1][j], table[i][j - 1])
    return table[-1][-1]


def good(log: str, pattern: str) -> int:
    """One row of the table, and only the places where the letters agree: O(matches log m)."""
    places: dict[str, list[int]] = {}
    for j in range(len(pattern) - 1, -1, -1):
        places.setdefault(pattern[j], []).append(j)
    ends: list[int] = []  # ends[k] is where the earliest common sequence of length k + 1 ends
    for letter in log:
        for j in places.get(letter, ()):
            place = bisect_left(ends, j)
            if place == len(ends):
                ends.append(j)
            else:
                ends[place] = j
    return len(ends)


def expert(log: str, pattern: str) -> int:
    """A row of the table is one long integer, its steps the zero bits: O(n m / 64)."""
    full = (1 << len(pattern)) - 1
    matches = dict.fromkeys(pattern, 0)
    for j, letter in enumerate(pattern):
        matches[letter] |= 1 << j
    row = full
    for letter in log:
        if letter in matches:
            hits = row & matches[letter]
            row = (row + hits | row - hits) & full
    return len(pattern) - row.bit_count()
