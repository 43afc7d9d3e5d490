"""The pair that differs most."""

from random import Random
from typing import Any

TECHNIQUE = "bit tricks"
ENTRY_POINT = "best_xor"
CHECK = "exact"
PROMPT = '''\
def best_xor(values: list[int]) -> int:
    """Return the largest value of a ^ b for two entries a and b of the list.

    a and b may be the same entry, so the answer is at least 0. The values lie between 0
    and 2**30 - 1; there are at most 6,000, and at least one.

    >>> best_xor([1, 2, 4, 7])
    6
    >>> best_xor([5])
    0
    """
'''
SIZES = (10, 400, 1_500, 6_000)
EDGES: list[list[Any]] = [[[0]], [[9, 9]], [[0, 2**30 - 1]], [[8, 1, 2, 12]]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Values over the whole range, with a common front, of few bits, and small ones."""
    size = SIZES[level]
    front = rng.randrange(2**14) << 16
    cases = [
        [[rng.randrange(2**30) for _ in range(size)]],
        [[front | rng.randrange(2**16) for _ in range(size)]],
        [[2 ** rng.randrange(30) | 2 ** rng.randrange(30) for _ in range(size)]],
        [[int(2 ** rng.uniform(0, 30)) - 1 for _ in range(size)]],
    ]
    return [*EDGES, *cases] if level == 0 else cases


def naive(values: list[int]) -> int:
    """Try every pair: O(n^2)."""
    best = 0
    for i, a in enumerate(values):
        for b in values[i + 1 :]:
            if a ^ b > best:
                best = a ^ b
    return best


def good(values: list[int]) -> int:
    """Walk a binary tree of the values, away from each value where possible: O(n bits)."""
    tree: dict[int, Any] = {}
    for value in values:
        node = tree
        for shift in range(29, -1, -1):
            node = node.setdefault(value >> shift & 1, {})
    best = 0
    for value in values:
        node = tree
        result = 0
        for shift in range(29, -1, -1):
            bit = value >> shift & 1
            if 1 - bit in node:
                bit = 1 - bit
                result |= 1 << shift
            node = node[bit]
        best = max(best, result)
    return best


def expert(values: list[int]) -> int:
    """Fix the answer bit by bit; a set of fronts says whether one more bit can be had."""
    best = 0
    for shift in range(max(values).bit_length() - 1, -1, -1):
        fronts = {value >> shift for value in values}
        wanted = best >> shift | 1
        for front in fronts:
            if front ^ wanted in fronts:
                best |= 1 << shift
                break
    return best
