"""The peak of every window."""

from collections import deque
from random import Random
from typing import Any

TECHNIQUE = "monotonic queue"
ENTRY_POINT = "window_peaks"
CHECK = "exact"
PROMPT = '''\
def window_peaks(values: list[int], width: int) -> list[int]:
    """Return the largest value of each run of width neighbours, from left to right.

    1 <= width; where width exceeds the number of values (at most 50,000) there is no run.

    >>> window_peaks([1, 5, 2, 2, 7], 3)
    [5, 5, 7]
    >>> window_peaks([4, 3], 3)
    []
    """
'''
SIZES = (15, 3_000, 12_000, 50_000)
EDGES: list[list[Any]] = [[[], 1], [[3, 1], 3], [[9, -9, 9], 1], [[1, 2, 3], 3]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Random, rising, falling and saw-toothed values."""
    size = SIZES[level]
    width = 4 if level == 0 else 501
    falling = sorted((rng.randrange(10 * size) for _ in range(size)), reverse=True)
    cases = [
        [[rng.randint(-size, size) for _ in range(size)], width],
        [falling[::-1], width + 1],
        [falling, width],
        [[-(i % (width + 7)) + rng.randrange(3) for i in range(size)], width],
    ]
    return [*EDGES, *cases] if level == 0 else cases


def naive(values: list[int], width: int) -> list[int]:
    """Look through every window: O(n * width)."""
    return [max(values[i : i + width]) for i in range(len(values) - width + 1)]


def good(values: list[int], width: int) -> list[int]:
    """Keep the falling sequence of candidates in a queue: O(n)."""
    candidates: deque[int] = deque()
    peaks = []
    for i, value in enumerate(values):
        while candidates and values[candidates[-1]] <= value:
            candidates.pop()
        candidates.append(i)
        if candidates[0] <= i - width:
            candidates.popleft()
        if i >= width - 1:
            peaks.append(values[candidates[0]])
    return peaks


def expert(values: list[int], width: int) -> list[int]:
    """Join each block's maxima from the right with the next block's from the left: O(n)."""
    peaks: list[int] = []
    for start in range(0, len(values) - width + 1, width):
        block = values[start : start + width]
        top = block[-1]
        tails = [top := value if value > top else top for value in reversed(block)]
        peaks.append(tails.pop())
        following = values[start + width : start + 2 * width - 1]
        if following:
            top = following[0]
            heads = [top := value if value > top else top for value in following]
            peaks += [a if a > b else b for a, b in zip(reversed(tails), heads, strict=False)]
    return peaks
