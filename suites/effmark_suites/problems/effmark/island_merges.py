"""Islands and bridges."""

from random import Random
from typing import Any

TECHNIQUE = "union-find"
ENTRY_POINT = "island_groups"
CHECK = "exact"
PROMPT = '''\
def island_groups(islands: int, bridges: list[list[int]]) -> list[int]:
    """Return the number of groups of connected islands after each bridge is built.

    The islands 0 .. islands - 1 start unconnected. A bridge [a, b] joins two of them; it
    may join an island to itself or repeat an earlier one. There are at most 5,000 islands
    and 20,000 bridges.

    >>> island_groups(4, [[0, 1], [1, 0], [2, 3], [1, 2]])
    [3, 3, 2, 1]
    """
'''
SIZES = (8, 500, 1_700, 5_000)
EDGES: list[list[Any]] = [[1, [[0, 0]]], [3, []], [2, [[0, 1], [1, 0]]], [5, [[4, 4], [3, 4]]]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Random bridges, a chain, a star and a tournament of groups of equal size."""
    size = SIZES[level]
    names = rng.sample(range(size), size)
    chain = [[names[i], names[i + 1]] for i in range(size - 1)]
    star = [[names[0], names[i]] for i in range(1, size)]
    rounds = []
    gap = 1
    while gap < size:
        rounds += [[names[i], names[i + gap]] for i in range(0, size - gap, 2 * gap)]
        gap *= 2
    cases: list[list[Any]] = []
    for bridges in ([], chain, star, rounds):
        loose = 4 * size - len(bridges)
        more = [[rng.randrange(size), rng.randrange(size)] for _ in range(loose)]
        cases.append([size, bridges + more])
    return [*EDGES, *cases] if level == 0 else cases


def naive(islands: int, bridges: list[list[int]]) -> list[int]:
    """Rename a whole group at every merger: O(islands^2)."""
    group = list(range(islands))
    left = islands
    counts = []
    for a, b in bridges:
        old, new = group[a], group[b]
        if old != new:
            group = [new if name == old else name for name in group]
            left -= 1
        counts.append(left)
    return counts


def good(islands: int, bridges: list[list[int]]) -> list[int]:
    """A forest with path compression and union by size."""
    parent = list(range(islands))
    size = [1] * islands

    def find(island: int) -> int:
        root = island
        while parent[root] != root:
            root = parent[root]
        while parent[island] != root:
            parent[island], island = root, parent[island]
        return root

    left = islands
    counts = []
    for a, b in bridges:
        a, b = find(a), find(b)
        if a != b:
            if size[a] < size[b]:
                a, b = b, a
            parent[b] = a
            size[a] += size[b]
            left -= 1
        counts.append(left)
    return counts


def expert(islands: int, bridges: list[list[int]]) -> list[int]:
    """The same forest, halving paths in place, and no search once all is one group."""
    parent = list(range(islands))
    left = islands
    counts: list[int] = []
    for a, b in bridges:
        while a != (above := parent[a]):
            parent[a] = a = parent[above]
        while b != (above := parent[b]):
            parent[b] = b = parent[above]
        if a != b:
            # Linking by number is linking at random: as good as by size in expectation.
            if a < b:
                parent[b] = a
            else:
                parent[a] = b
            left -= 1
            if left == 1:
                break
        counts.append(left)
    return counts + [left] * (len(bridges) - len(counts))
