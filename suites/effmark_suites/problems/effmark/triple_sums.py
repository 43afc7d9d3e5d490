"""Triples that hit a total."""

from collections import Counter
from random import Random
from typing import Any

TECHNIQUE = "hashing"
ENTRY_POINT = "count_triples"
CHECK = "exact"
PROMPT = '''\
def count_triples(values: list[int], total: int) -> int:
    """Count the ways to pick three positions i < j < k whose values add up to total.

    Equal values at different positions are different picks. The list holds at most
    700 numbers between -3000 and 3000; a list shorter than three has no triple.

    >>> count_triples([1, 2, 3, 4], 7)
    1
    >>> count_triples([0, 0, 0, 0], 0)
    4
    """
'''
SIZES = (9, 120, 300, 700)
EDGES: list[list[Any]] = [[[], 0], [[1, 2], 3], [[5, -2, -3], 0], [[2] * 10, 6]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Random lists, from many repeats to almost none."""
    size = SIZES[level]
    cases: list[list[Any]] = []
    for spread in (3, size, 2 * size, 4 * size):
        reach = min(spread, 3000)
        values = [rng.randint(-reach, reach) for _ in range(size)]
        cases.append([values, rng.randint(-reach // 2, reach // 2)])
    return [*EDGES, *cases] if level == 0 else cases


def naive(values: list[int], total: int) -> int:
    """Every triple: O(n^3)."""
    count = 0
    for i in range(len(values)):
        for j in range(i + 1, len(values)):
            missing = total - values[i] - values[j]
            for k in range(j + 1, len(values)):
                if values[k] == missing:
                    count += 1
    return count


def good(values: list[int], total: int) -> int:
    """Every pair, and a table of the values to the left of it: O(n^2)."""
    earlier: dict[int, int] = {}
    count = 0
    for j, middle in enumerate(values):
        for k in range(j + 1, len(values)):
            count += earlier.get(total - middle - values[k], 0)
        earlier[middle] = earlier.get(middle, 0) + 1
    return count


def expert(values: list[int], total: int) -> int:
    """Pairs of distinct values a < b with the third c > b: a sixth of O(d^2)."""
    counts = Counter(values)
    distinct = sorted(counts)
    result = 0
    for value, times in counts.items():
        other = total - 2 * value
        if other == value:
            result += times * (times - 1) * (times - 2) // 6
        elif other in counts:
            result += times * (times - 1) // 2 * counts[other]
    for i, low in enumerate(distinct):
        missing = total - low
        if 3 * low >= total:
            break
        for middle in distinct[i + 1 :]:
            high = missing - middle
            if high <= middle:
                break
            if high in counts:
                result += counts[low] * counts[middle] * counts[high]
    return result
