"""Three numbers close to a target."""

from bisect import bisect_left
from random import Random
from typing import Any

TECHNIQUE = "two pointers"
ENTRY_POINT = "closest_triple"
CHECK = "exact"
PROMPT = '''\
def closest_triple(values: list[int], target: int) -> int:
    """Return the sum of three entries of the list that is closest to target.

    The entries are at three different positions. Of two sums equally close, the smaller
    one is returned. There are 3 to 400 values.

    >>> closest_triple([1, 2, 4, 8], 12)
    11
    >>> closest_triple([0, 0, 5], 2)
    5
    """
'''
SIZES = (8, 60, 160, 400)
EDGES: list[list[Any]] = [[[1, 1, 1], 9], [[-5, 0, 5], 0], [[0, 2, 4, 6], 7], [[1, 1, 10, 10], 16]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Sparse values, so that the target is hardly ever met; targets inside and outside."""
    size = SIZES[level]
    far = 10**9
    cases: list[list[Any]] = []
    for target in (0, far, -far // 3, 5 * far):
        values = [rng.randint(-far, far) for _ in range(size)]
        cases.append([values, target + rng.randrange(99)])
    cases[1][0] = [int(value**3 / far**2) for value in cases[1][0]]
    return [*EDGES, *cases] if level == 0 else cases


def naive(values: list[int], target: int) -> int:
    """Try every triple: O(n^3)."""
    best = values[0] + values[1] + values[2]
    for i in range(len(values)):
        for j in range(i + 1, len(values)):
            for k in range(j + 1, len(values)):
                total = values[i] + values[j] + values[k]
                if abs(total - target) <= abs(best - target) and (
                    abs(total - target) < abs(best - target) or total < best
                ):
                    best = total
    return best


def good(values: list[int], target: int) -> int:
    """Look for the third value by bisection: O(n^2 log n)."""
    ordered = sorted(values)
    size = len(ordered)
    sums = []
    for i in range(size - 2):
        for j in range(i + 1, size - 1):
            pair = ordered[i] + ordered[j]
            place = bisect_left(ordered, target - pair, j + 1)
            if place < size:
                sums.append(pair + ordered[place])
            if place > j + 1:
                sums.append(pair + ordered[place - 1])
    return min(sums, key=lambda total: (abs(total - target), total))


def expert(values: list[int], target: int) -> int:
    """Two pointers that meet, for each smallest value: O(n^2).

    They keep the largest sum below the target and the smallest one above it apart, so that
    each step has one comparison to make.
    """
    ordered = sorted(values)
    below, above = -(10**18), 10**18
    size = len(ordered)
    for i in range(size - 2):
        first = ordered[i]
        if first + ordered[i + 1] + ordered[i + 2] >= target:
            above = min(above, first + ordered[i + 1] + ordered[i + 2])
            break
        most = first + ordered[-2] + ordered[-1]
        if most <= target:
            below = max(below, most)
            continue
        rest = target - first
        low, high = i + 1, size - 1
        least_over, most_under = above - first, below - first
        while low < high:
            pair = ordered[low] + ordered[high]
            if pair > rest:
                high -= 1
                if pair < least_over:
                    least_over = pair
            else:
                low += 1
                if pair > most_under:
                    most_under = pair
        above, below = least_over + first, most_under + first
    return below if target - below <= above - target else above
