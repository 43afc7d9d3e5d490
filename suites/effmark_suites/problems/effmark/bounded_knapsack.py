"""The most valuable load."""

from random import Random
from typing import Any

TECHNIQUE = "knapsack"
ENTRY_POINT = "best_load"
CHECK = "exact"
PROMPT = '''\
def best_load(items: list[list[int]], capacity: int) -> int:
    """Return the greatest total value of a load that weighs at most capacity.

    An item [weight, value, count] can be taken 0 to count times; weights and counts are at
    least 1, values at least 0. There are at most 24 items; the capacity is at most 3,000.

    >>> best_load([[3, 5, 2], [4, 6, 1]], 10)
    16
    >>> best_load([[3, 5, 2]], 2)
    0
    """
'''
SIZES = ((4, 15, 3), (8, 300, 10), (15, 1_000, 30), (24, 3_000, 60))
EDGES: list[list[Any]] = [[[], 5], [[[1, 1, 1]], 0], [[[2, 0, 9]], 7], [[[5, 9, 1], [4, 7, 2]], 8]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Light, heavy and mixed items; values that follow the weight or do not."""
    kinds, capacity, count = SIZES[level]
    cases: list[list[Any]] = []
    for least, most in ((1, 9), (5, capacity // 10 + 6), (1, capacity // 3), (2, 30)):
        items = []
        for _ in range(kinds):
            weight = rng.randint(least, most)
            value = 3 * weight + rng.randint(0, 9) if least == 2 else rng.randint(1, 1000)
            items.append([weight, value, rng.randint(1, count)])
        cases.append([items, capacity])
    return [*EDGES, *cases] if level == 0 else cases


def naive(items: list[list[int]], capacity: int) -> int:
    """Try every count of every item for every capacity: O(capacity * all pieces)."""
    best = [0] * (capacity + 1)
    for weight, value, count in items:
        following = best[:]
        for room in range(capacity + 1):
            for taken in range(1, min(count, room // weight) + 1):
                candidate = best[room - taken * weight] + taken * value
                if candidate > following[room]:
                    following[room] = candidate
        best = following
    return best[capacity]


def good(items: list[list[int]], capacity: int) -> int:
    """Bundle copies in ones, twos, fours ...: O(capacity * items * log count)."""
    best = [0] * (capacity + 1)
    for weight, value, count in items:
        bundle = 1
        while count:
            bundle = min(bundle, count)
            for room in range(capacity, bundle * weight - 1, -1):
                candidate = best[room - bundle * weight] + bundle * value
                if candidate > best[room]:
                    best[room] = candidate
            count -= bundle
            bundle *= 2
    return best[capacity]


def expert(items: list[list[int]], capacity: int) -> int:
    """The same bundles, a whole row at a time, without counts that cannot fit."""
    best = [0] * (capacity + 1)
    for weight, value, count in items:
        left = min(count, capacity // weight)
        bundle = 1
        while left:
            bundle = min(bundle, left)
            heavy, gain = bundle * weight, bundle * value
            best[heavy:] = [
                kept if kept > (candidate := lower + gain) else candidate
                for kept, lower in zip(best[heavy:], best, strict=False)
            ]
            left -= bundle
            bundle *= 2
    return best[capacity]
