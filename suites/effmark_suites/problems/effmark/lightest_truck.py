"""The smallest truck that is large enough."""

from bisect import bisect_right
from itertools import accumulate
from random import Random
from typing import Any

TECHNIQUE = "binary search"
ENTRY_POINT = "smallest_truck"
CHECK = "exact"
PROMPT = '''\
def smallest_truck(parcels: list[int], trips: int) -> int:
    """Return the smallest load limit with which a truck needs at most the given number of trips.

    The parcels (positive weights, at most 40,000 of them, at least one) stand in a queue:
    each trip takes the next few in order, and their weights may not exceed the limit.

    >>> smallest_truck([3, 2, 2, 4, 1, 4], 3)
    6
    >>> smallest_truck([5, 9], 7)
    9
    """
'''
SIZES = ((10, 3), (2_000, 60), (10_000, 250), (40_000, 800))
EDGES: list[list[Any]] = [[[8], 1], [[1, 1, 1, 1], 1], [[2, 9, 2], 3], [[5, 5, 5, 5, 5], 2]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Even, mixed and mostly light parcels."""
    size, trips = SIZES[level]
    top = 20 if level == 0 else 900
    light = [rng.choice((1, 2, 3, 5, top)) for _ in range(size)]
    cases = [
        [[rng.randint(1, top) for _ in range(size)], trips],
        [[rng.randint(top // 2, top) for _ in range(size)], trips + 1],
        [light, trips],
        [sorted(rng.randint(1, top) for _ in range(size)), trips // 2],
    ]
    return [*EDGES, *cases] if level == 0 else cases


def naive(parcels: list[int], trips: int) -> int:
    """Raise the limit by one until it is enough: O(n) for every limit tried."""
    limit = max(max(parcels), -(-sum(parcels) // trips))
    while True:
        needed, load = 1, 0
        for parcel in parcels:
            load += parcel
            if load > limit:
                needed += 1
                load = parcel
        if needed <= trips:
            return limit
        limit += 1


def good(parcels: list[int], trips: int) -> int:
    """Halve the range of limits, loading every parcel each time: O(n log sum)."""

    def enough(limit: int) -> bool:
        needed, load = 1, 0
        for parcel in parcels:
            if load + parcel > limit:
                needed += 1
                load = 0
            load += parcel
        return needed <= trips

    low, high = max(parcels), sum(parcels)
    while low < high:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle + 1
    return low


def expert(parcels: list[int], trips: int) -> int:
    """Halve a narrow range and jump from trip to trip: O(n + trips log n log parcel).

    A limit of the mean load plus the heaviest parcel always suffices.
    """
    ends = list(accumulate(parcels))
    total, heaviest = ends[-1], max(parcels)
    low = max(heaviest, -(-total // trips))
    high = low + heaviest
    size = len(ends)
    while low < high:
        middle = (low + high) // 2
        done = position = 0
        for _ in range(trips):
            position = bisect_right(ends, done + middle, position)
            if position == size:
                high = middle
                break
            done = ends[position - 1]
        else:
            low = middle + 1
    return low
