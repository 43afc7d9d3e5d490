"""What depends on what."""

from random import Random
from typing import Any

TECHNIQUE = "reachability with bit sets"
ENTRY_POINT = "downstream_counts"
CHECK = "exact"
PROMPT = '''\
def downstream_counts(stations: int, pipes: list[list[int]]) -> list[int]:
    """Return for each station how many other stations its water can reach.

    A pipe [a, b] leads from station a to station b. The stations are 0 .. stations - 1 and
    numbered downhill: a < b for every pipe. There are at most 2,000 stations and 8,000
    pipes.

    >>> downstream_counts(4, [[0, 1], [1, 3], [0, 3]])
    [2, 1, 0, 0]
    """
'''
SIZES = (8, 150, 600, 2_000)
EDGES: list[list[Any]] = [
    [1, []],
    [2, [[0, 1], [0, 1]]],
    [3, []],
    [4, [[0, 1], [0, 2], [1, 3], [2, 3]]],
]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Pipes to anywhere below, to near stations, to few large ones, and a lattice."""
    size = SIZES[level]
    cases: list[list[Any]] = []
    for reach, each in ((size, 2), (10, 4), (60, 3), (4, 2)):
        pipes = []
        for a in range(size - 1):
            for _ in range(each):
                pipes.append([a, rng.randint(a + 1, min(size - 1, a + reach))])
        rng.shuffle(pipes)
        cases.append([size, pipes])
    return [*EDGES, *cases] if level == 0 else cases


def naive(stations: int, pipes: list[list[int]]) -> list[int]:
    """Walk downhill from every station: O(stations * pipes)."""
    below: list[list[int]] = [[] for _ in range(stations)]
    for a, b in pipes:
        below[a].append(b)
    counts = []
    for start in range(stations):
        seen = {start}
        stack = [start]
        while stack:
            for station in below[stack.pop()]:
                if station not in seen:
                    seen.add(station)
                    stack.append(station)
        counts.append(len(seen) - 1)
    return counts


def good(stations: int, pipes: list[list[int]]) -> list[int]:
    """Unite the sets of the stations below, from the bottom up; each pipe costs a union."""
    below: list[set[int]] = [set() for _ in range(stations)]
    for a, b in pipes:
        below[a].add(b)
    reached: list[set[int]] = [set() for _ in range(stations)]
    for station in range(stations - 1, -1, -1):
        for other in sorted(below[station]):
            if other not in reached[station]:
                reached[station].add(other)
                reached[station] |= reached[other]
    return [len(found) for found in reached]


def expert(stations: int, pipes: list[list[int]]) -> list[int]:
    """A set is the bits of one integer, a union one operation: O(pipes * stations / 64)."""
    below: list[list[int]] = [[] for _ in range(stations)]
    for a, b in pipes:
        below[a].append(b)
    reached = [1 << i for i in range(stations)]
    for station in range(stations - 1, -1, -1):
        found = reached[station]
        for other in below[station]:
            found |= reached[other]
        reached[station] = found
    return [found.bit_count() - 1 for found in reached]
