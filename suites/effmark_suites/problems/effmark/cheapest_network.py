"""The cheapest network."""

from heapq import heappop, heappush
from operator import itemgetter
from random import Random
from typing import Any

TECHNIQUE = "spanning trees"
ENTRY_POINT = "cheapest_network"
CHECK = "exact"
PROMPT = '''\
def cheapest_network(houses: int, links: list[list[int]]) -> int:
    """Return the least cost of links that connect all houses, or -1 if that is impossible.

    The houses are 0 .. houses - 1, and a link [a, b, cost] connects two of them for a cost
    of at least 0; there may be several between the same two. There are at most 1,301 houses
    and 7,800 links.

    >>> cheapest_network(3, [[0, 1, 5], [1, 2, 4], [0, 2, 2]])
    6
    >>> cheapest_network(2, [])
    -1
    """
'''
SIZES = (6, 100, 450, 1_300)
EDGES: list[list[Any]] = [
    [1, []],
    [2, [[0, 1, 3], [1, 0, 2]]],
    [3, [[0, 0, 1], [1, 2, 1]]],
    [4, [[0, 1, 1], [1, 2, 1], [2, 3, 1], [3, 0, 1]]],
]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Random links, links between neighbours, equal costs, and a house left alone."""
    size = SIZES[level]
    cases: list[list[Any]] = []
    for reach, dearest in ((size, 10**6), (8, 999), (size, 3), (20, 10**6)):
        links = []
        for i in range(6 * size):
            a = i % size
            b = (a + rng.randint(1, reach)) % size
            links.append([a, b, rng.randint(0, dearest)])
        rng.shuffle(links)
        cases.append([size, links])
    cases[3][0] += 1
    return [*EDGES, *cases] if level == 0 else cases


def naive(houses: int, links: list[list[int]]) -> int:
    """Look through all links for the cheapest next one: O(houses * links)."""
    connected = [False] * houses
    connected[0] = True
    total = 0
    for _ in range(houses - 1):
        best = nearest = -1
        for a, b, cost in links:
            if connected[a] != connected[b] and (best < 0 or cost < best):
                best = cost
                nearest = b if connected[a] else a
        if best < 0:
            return -1
        connected[nearest] = True
        total += best
    return total


def good(houses: int, links: list[list[int]]) -> int:
    """Take the cheapest link out of the network from a heap: O(links log links)."""
    neighbours: list[list[tuple[int, int]]] = [[] for _ in range(houses)]
    for a, b, cost in links:
        neighbours[a].append((cost, b))
        neighbours[b].append((cost, a))
    connected = [False] * houses
    heap = [(0, 0)]
    total = count = 0
    while heap and count < houses:
        cost, house = heappop(heap)
        if not connected[house]:
            connected[house] = True
            total += cost
            count += 1
            for link in neighbours[house]:
                if not connected[link[1]]:
                    heappush(heap, link)
    return total if count == houses else -1


def expert(houses: int, links: list[list[int]]) -> int:
    """Take the links by cost, joining groups in a forest: one sort, and it stops early."""
    parent = list(range(houses))
    left = houses - 1
    if not left:
        return 0
    total = 0
    for a, b, cost in sorted(links, key=itemgetter(2)):
        while a != (above := parent[a]):
            parent[a] = a = parent[above]
        while b != (above := parent[b]):
            parent[b] = b = parent[above]
        if a != b:
            parent[a] = b
            total += cost
            left -= 1
            if not left:
                return total
    return -1
