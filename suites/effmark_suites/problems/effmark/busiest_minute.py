"""The busiest minute."""

from itertools import accumulate
from random import Random
from typing import Any

TECHNIQUE = "sweep line"
ENTRY_POINT = "busiest_minute"
CHECK = "exact"
PROMPT = '''\
def busiest_minute(visits: list[list[int]]) -> list[int]:
    """Return the first minute with the most visitors, and how many there are.

    A visit [arrival, departure] counts in the minutes arrival <= minute < departure; 0 <=
    arrival < departure <= 20,000. There are at most 20,000 visits; no visits give [0, 0].

    >>> busiest_minute([[1, 4], [3, 9], [4, 5]])
    [3, 2]
    >>> busiest_minute([])
    [0, 0]
    """
'''
SIZES = ((8, 20), (1_000, 2_000), (6_000, 6_000), (20_000, 20_000))
EDGES: list[list[Any]] = [[[]], [[[0, 1]]], [[[5, 6], [6, 7]]], [[[2, 9], [2, 3], [8, 9]]]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Short and long visits, visits around noon, and visits in a row."""
    count, end = SIZES[level]
    cases: list[list[Any]] = []
    for longest in (end // 100 + 2, end // 20 + 2, end // 10):
        visits = []
        for _ in range(count):
            arrival = rng.randrange(end - 1)
            visits.append([arrival, min(end, arrival + rng.randint(1, longest))])
        cases.append([visits])
    noon = []
    for _ in range(count):
        arrival = min(end - 2, max(0, int(rng.gauss(end / 2, end / 10))))
        noon.append([arrival, rng.randint(arrival + 1, min(end, arrival + end // 9))])
    return [*EDGES, *cases, [noon]] if level == 0 else [*cases, [noon]]


def naive(visits: list[list[int]]) -> list[int]:
    """Count every minute of every visit: O(n * length)."""
    visitors = [0] * (1 + max((departure for _, departure in visits), default=0))
    for arrival, departure in visits:
        for minute in range(arrival, departure):
            visitors[minute] += 1
    most = max(visitors)
    return [visitors.index(most), most]


def good(visits: list[list[int]]) -> list[int]:
    """Sort arrivals and departures into one list of events: O(n log n)."""
    events = []
    for arrival, departure in visits:
        events.append((arrival, 1))
        events.append((departure, -1))
    inside = most = first = 0
    for minute, change in sorted(events):
        inside += change
        if inside > most:
            most, first = inside, minute
    return [first, most]


def expert(visits: list[list[int]]) -> list[int]:
    """Note the changes minute by minute and sum them up: O(n + minutes)."""
    if not visits:
        return [0, 0]
    changes = [0] * (1 + max([departure for _, departure in visits]))
    for arrival, departure in visits:
        changes[arrival] += 1
        changes[departure] -= 1
    visitors = list(accumulate(changes))
    most = max(visitors)
    return [visitors.index(most), most]
