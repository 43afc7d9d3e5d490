"""Pairs in the wrong order."""

from bisect import bisect_right
from random import Random
from typing import Any

TECHNIQUE = "divide and conquer"
ENTRY_POINT = "out_of_order_pairs"
CHECK = "exact"
PROMPT = '''\
def out_of_order_pairs(values: list[int]) -> int:
    """Count the pairs of positions i < j with values[i] > values[j].

    The list holds at most 8,000 numbers.

    >>> out_of_order_pairs([3, 1, 2])
    2
    >>> out_of_order_pairs([1, 1, 1])
    0
    """
'''
SIZES = (12, 700, 2_500, 8_000)
EDGES: list[list[Any]] = [[[]], [[1]], [[2, 2, 2]], [[5, 4, 3, 2, 1]]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Random, falling and nearly sorted values, and many equal ones."""
    size = SIZES[level]
    nearly = list(range(size))
    for _ in range(size // 20):
        i, j = rng.randrange(size), rng.randrange(size)
        nearly[i], nearly[j] = nearly[j], nearly[i]
    cases = [
        [[rng.randrange(10 * size) for _ in range(size)]],
        [list(range(size, 0, -1))],
        [nearly],
        [[rng.randrange(9) for _ in range(size)]],
    ]
    return [*EDGES, *cases] if level == 0 else cases


def naive(values: list[int]) -> int:
    """Compare every pair: O(n^2)."""
    count = 0
    for i, value in enumerate(values):
        for j in range(i + 1, len(values)):
            if value > values[j]:
                count += 1
    return count


def good(values: list[int]) -> int:
    """Count while merging sorted halves: O(n log n)."""

    def merge(low: int, high: int) -> tuple[list[int], int]:
        if high - low <= 1:
            return values[low:high], 0
        middle = (low + high) // 2
        left, count = merge(low, middle)
        right, more = merge(middle, high)
        count += more
        merged = []
        i = j = 0
        while i < len(left) and j < len(right):
            if left[i] <= right[j]:
                merged.append(left[i])
                i += 1
            else:
                merged.append(right[j])
                count += len(left) - i
                j += 1
        return merged + left[i:] + right[j:], count

    return merge(0, len(values))[1]


def expert(values: list[int]) -> int:
    """Bisect in the sorted blocks so far and in a short sorted list; the sort merges runs."""
    larger = 0
    ordered: list[int] = []
    for start in range(0, len(values), 500):
        block: list[int] = []
        insert = block.insert
        for value in values[start : start + 500]:
            place = bisect_right(block, value)
            larger -= place + bisect_right(ordered, value)
            insert(place, value)
        larger += len(block) * len(ordered) + len(block) * (len(block) - 1) // 2
        ordered += block
        ordered.sort()
    return larger
