"""The fairest split of a load."""

from random import Random
from typing import Any

TECHNIQUE = "bit sets"
ENTRY_POINT = "fair_split"
CHECK = "exact"
PROMPT = '''\
def fair_split(weights: list[int]) -> int:
    """Return the least difference between two groups into which all weights are divided.

    Each weight goes to one of the groups, and a group may stay empty. The weights are
    positive; there are at most 400, and they add up to at most 130,000.

    >>> fair_split([3, 5, 9])
    1
    >>> fair_split([4])
    4
    """
'''
SIZES = ((7, 12), (60, 100), (130, 200), (300, 400))
EDGES: list[list[Any]] = [[[]], [[4]], [[2, 2]], [[1, 2, 3, 50]]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Small and large weights, multiples of one number, and one that outweighs many."""
    size, top = SIZES[level]
    cases = [
        [[rng.randint(1, top) for _ in range(size)]],
        [[rng.randint(top // 2, top) for _ in range(size)]],
        [[rng.randint(1, top // 6) * 6 for _ in range(size)]],
        [[rng.randint(1, top // 4) for _ in range(size - 1)] + [size * top // 10]],
    ]
    return [*EDGES, *cases] if level == 0 else cases


def naive(weights: list[int]) -> int:
    """A table of every sum for every number of weights: O(n * sum)."""
    total = sum(weights)
    reachable = [True] + [False] * total
    for weight in weights:
        following = reachable[:]
        for reached in range(total + 1 - weight):
            if reachable[reached]:
                following[reached + weight] = True
        reachable = following
    return min(abs(total - 2 * reached) for reached in range(total + 1) if reachable[reached])


def good(weights: list[int]) -> int:
    """A set of the sums up to half the total: as many steps, but only where there is a sum."""
    total = sum(weights)
    sums = {0}
    for weight in weights:
        sums |= {reached + weight for reached in sums if 2 * (reached + weight) <= total}
    return total - 2 * max(sums)


def expert(weights: list[int]) -> int:
    """One long integer whose bits are the sums: O(n * sum / 64)."""
    total = sum(weights)
    half = total // 2
    mask = (1 << half + 1) - 1
    sums = 1
    for weight in weights:
        sums |= sums << weight & mask
    return total - 2 * (sums.bit_length() - 1)
