"""The cheapest way to merge files."""

from heapq import heapify, heappop, heappush
from random import Random
from typing import Any

TECHNIQUE = "greedy"
ENTRY_POINT = "merge_cost"
CHECK = "exact"
PROMPT = '''\
def merge_cost(sizes: list[int]) -> int:
    """Return the least total cost of merging all files into one, two at a time.

    Merging two files costs the sum of their sizes and gives one file of that size. There
    are at most 14,000 files of positive size; with fewer than two, nothing is merged.

    >>> merge_cost([2, 3, 4])
    14
    >>> merge_cost([8])
    0
    """
'''
SIZES = (10, 800, 3_500, 14_000)
EDGES: list[list[Any]] = [[[]], [[6]], [[1, 1]], [[5, 5, 5, 5, 5]]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Random, equal, doubling and skewed sizes."""
    size = SIZES[level]
    cases = [
        [[rng.randint(1, 10 * size) for _ in range(size)]],
        [[rng.randint(1, 3) for _ in range(size)]],
        [[2 ** rng.randrange(30) for _ in range(size)]],
        [[int(rng.paretovariate(1.0)) for _ in range(size)]],
    ]
    return [*EDGES, *cases] if level == 0 else cases


def naive(sizes: list[int]) -> int:
    """Sort again after every merge: O(n^2) and more."""
    files = list(sizes)
    cost = 0
    while len(files) > 1:
        files.sort()
        merged = files.pop(0) + files.pop(0)
        cost += merged
        files.append(merged)
    return cost


def good(sizes: list[int]) -> int:
    """Take the two smallest from a heap: O(n log n)."""
    heap = list(sizes)
    heapify(heap)
    cost = 0
    while len(heap) > 1:
        merged = heappop(heap) + heappop(heap)
        cost += merged
        heappush(heap, merged)
    return cost


def expert(sizes: list[int]) -> int:
    """Merged files come out in rising order, so two queues replace the heap: one sort."""
    if len(sizes) < 2:
        return 0
    endless = sum(sizes) + 1
    files = sorted(sizes)
    files += (endless, endless)
    merged: list[int] = []
    add = merged.append
    i = j = 0
    for size in range(len(sizes) - 1):
        # Both from the files, or one or two from the merged ones made so far.
        first = merged[j] if j < size else endless
        if files[i + 1] <= first:
            add(files[i] + files[i + 1])
            i += 2
        elif files[i] <= first or j + 1 == size or files[i] <= merged[j + 1]:
            add(files[i] + first)
            i += 1
            j += 1
        else:
            add(first + merged[j + 1])
            j += 2
    return sum(merged)
