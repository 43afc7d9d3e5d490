"""The quickest route to every town."""

from heapq import heappop, heappush
from random import Random
from typing import Any

TECHNIQUE = "shortest paths"
ENTRY_POINT = "quickest_routes"
CHECK = "exact"
PROMPT = '''\
def quickest_routes(towns: int, roads: list[list[int]], start: int) -> list[int]:
    """Return the least number of minutes from start to each of the towns 0 .. towns - 1.

    A road [a, b, minutes] leads one way, from a to b, in 1 to 9 minutes. A town that cannot
    be reached gets -1. There are at most 2,500 towns and 7,500 roads.

    >>> quickest_routes(4, [[0, 1, 5], [0, 2, 1], [2, 1, 3]], 0)
    [0, 4, 1, -1]
    """
'''
SIZES = (7, 400, 1_300, 2_500)
EDGES: list[list[Any]] = [
    [1, [], 0],
    [3, [[1, 0, 4]], 0],
    [2, [[0, 1, 9], [0, 1, 2], [1, 1, 1]], 0],
    [3, [[0, 1, 1], [1, 2, 1], [2, 0, 1], [0, 2, 3]], 2],
]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """A random network, and long roads with short cuts, listed backwards or at random."""
    size = SIZES[level]
    far = [[rng.randrange(size), rng.randrange(size), rng.randint(1, 9)] for _ in range(3 * size)]
    cases = [[size, far, rng.randrange(size)]]
    for reach in (3, 6, 20):
        roads = []
        for town in range(size - 1, 0, -1):
            roads.append([town - 1, town, rng.randint(1, 4)])
            roads.append([max(0, town - rng.randint(1, reach)), town, rng.randint(2, 9)])
            roads.append([town, max(0, town - rng.randint(1, reach)), rng.randint(1, 9)])
        if reach == 6:
            rng.shuffle(roads)
        cases.append([size, roads, 0])
    return [*EDGES, *cases] if level == 0 else cases


def naive(towns: int, roads: list[list[int]], start: int) -> list[int]:
    """Go through all roads until nothing improves: O(towns * roads)."""
    unknown = 10 * towns
    times = [unknown] * towns
    times[start] = 0
    improved = True
    while improved:
        improved = False
        for a, b, minutes in roads:
            if times[a] + minutes < times[b]:
                times[b] = times[a] + minutes
                improved = True
    return [-1 if time == unknown else time for time in times]


def good(towns: int, roads: list[list[int]], start: int) -> list[int]:
    """Settle the nearest town next, from a heap: O(roads log roads)."""
    leaving: list[list[tuple[int, int]]] = [[] for _ in range(towns)]
    for a, b, minutes in roads:
        leaving[a].append((b, minutes))
    times = [-1] * towns
    heap = [(0, start)]
    while heap:
        time, town = heappop(heap)
        if times[town] >= 0:
            continue
        times[town] = time
        for other, minutes in leaving[town]:
            if times[other] < 0:
                heappush(heap, (time + minutes, other))
    return times


def expert(towns: int, roads: list[list[int]], start: int) -> list[int]:
    """Ten buckets in a ring replace the heap, as no road takes longer: O(roads)."""
    leaving: list[list[list[int]]] = [[] for _ in range(towns)]
    for road in roads:
        leaving[road[0]].append(road)
    unknown = 10 * towns
    times = [unknown] * towns
    times[start] = 0
    buckets: list[list[int]] = [[] for _ in range(10)]
    buckets[0].append(start)
    now, waiting = 0, 1
    while waiting:
        bucket = buckets[now % 10]
        waiting -= len(bucket)
        for town in bucket:
            if times[town] == now:
                for _, other, minutes in leaving[town]:
                    time = now + minutes
                    if time < times[other]:
                        times[other] = time
                        buckets[time % 10].append(other)
                        waiting += 1
        bucket.clear()
        now += 1
    return [-1 if time == unknown else time for time in times]
