"""The median of every window."""

from bisect import bisect_left, insort
from heapq import heappop, heappush
from random import Random
from typing import Any

TECHNIQUE = "heaps"
ENTRY_POINT = "moving_median"
CHECK = "exact"
PROMPT = '''\
def moving_median(values: list[int], width: int) -> list[float]:
    """Return the median of each run of width neighbours, from left to right.

    The median of an even number of values is the mean of the middle two. 1 <= width; where
    width exceeds the number of values (at most 12,000) there is no run.

    >>> moving_median([5, 1, 4, 4], 3)
    [4.0, 4.0]
    >>> moving_median([5, 1, 4], 2)
    [3.0, 2.5]
    """
'''
SIZES = ((12, 5), (1_000, 80), (4_000, 200), (12_000, 500))
EDGES: list[list[Any]] = [[[], 1], [[-3, 2], 3], [[2, 2, 2, 2], 2], [[5, 4, 3, 2, 1], 1]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Random, rising, falling and repeated values."""
    size, width = SIZES[level]
    cases = [
        [[rng.randint(-size, size) for _ in range(size)], width],
        [[rng.randint(-9, 9) for _ in range(size)], width + 1],
        [[3 * i - rng.randrange(500) for i in range(size)], width],
        [[rng.randrange(500) - 3 * i for i in range(size)], width + 1],
    ]
    return [*EDGES, *cases] if level == 0 else cases


def naive(values: list[int], width: int) -> list[float]:
    """Sort every window: O(n * width log width)."""
    medians = []
    for start in range(len(values) - width + 1):
        window = sorted(values[start : start + width])
        medians.append((window[(width - 1) // 2] + window[width // 2]) / 2)
    return medians


def good(values: list[int], width: int) -> list[float]:
    """Two heaps around the middle; what has left the window is removed late: O(n log n)."""
    lower: list[tuple[int, int]] = []  # negated values, so that the largest comes first
    upper: list[tuple[int, int]] = []
    in_lower = [False] * len(values)
    balance = 0  # how many more of the window lie in the lower heap
    medians = []
    for i, value in enumerate(values):
        if lower and value <= -lower[0][0]:
            heappush(lower, (-value, i))
            in_lower[i] = True
            balance += 1
        else:
            heappush(upper, (value, i))
            balance -= 1
        if i >= width:
            balance -= 1 if in_lower[i - width] else -1
        gone = i - width
        while lower and lower[0][1] <= gone:
            heappop(lower)
        while upper and upper[0][1] <= gone:
            heappop(upper)
        while balance < 0:
            moved, j = heappop(upper)
            heappush(lower, (-moved, j))
            in_lower[j] = True
            balance += 2
            while upper and upper[0][1] <= gone:
                heappop(upper)
        while balance > 1:
            moved, j = heappop(lower)
            heappush(upper, (-moved, j))
            in_lower[j] = False
            balance -= 2
            while lower and lower[0][1] <= gone:
                heappop(lower)
        if i >= width - 1:
            high = -lower[0][0] if balance else upper[0][0]
            medians.append((high - lower[0][0]) / 2)
    return medians


def expert(values: list[int], width: int) -> list[float]:
    """Keep the window sorted: two bisections and two short block moves a step."""
    if width > len(values):
        return []
    window = sorted(values[:width])
    low, high = (width - 1) // 2, width // 2
    medians = [(window[low] + window[high]) / 2]
    for old, new in zip(values, values[width:], strict=False):
        del window[bisect_left(window, old)]
        insort(window, new)
        medians.append((window[low] + window[high]) / 2)
    return medians
