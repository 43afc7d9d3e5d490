"""The nearest common manager."""

from random import Random
from typing import Any

TECHNIQUE = "trees"
ENTRY_POINT = "common_managers"
CHECK = "exact"
PROMPT = '''\
def common_managers(manager: list[int], pairs: list[list[int]]) -> list[int]:
    """Return for each pair of employees the lowest-ranking person who is above both.

    Person i reports to manager[i], and the head of the company, person 0, to -1. A person
    counts as above themselves. manager[i] < i for all others; there are at most 10,000
    people and 10,000 pairs.

    >>> common_managers([-1, 0, 1, 1], [[2, 3], [3, 1], [2, 0]])
    [1, 1, 0]
    """
'''
SIZES = (8, 300, 1_800, 10_000)
EDGES: list[list[Any]] = [
    [[-1], [[0, 0]]],
    [[-1, 0], []],
    [[-1, 0, 1, 2], [[3, 1], [3, 3]]],
    [[-1, 0, 0, 0], [[1, 2], [3, 0]]],
]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Flat, deep and two-armed companies."""
    size = SIZES[level]
    arms = [-1, 0, *range(size - 2)]
    cases: list[list[Any]] = []
    for reach in (size, 30, 3, 0):
        manager = [-1] + [rng.randrange(max(0, i - reach), i) for i in range(1, size) if reach]
        pairs = [[rng.randrange(size), rng.randrange(size)] for _ in range(size)]
        cases.append([manager if reach else arms, pairs])
    return [*EDGES, *cases] if level == 0 else cases


def naive(manager: list[int], pairs: list[list[int]]) -> list[int]:
    """Climb step by step, from the person with the higher number: O(depth) a pair."""
    found = []
    for a, b in pairs:
        while a != b:
            if a < b:
                b = manager[b]
            else:
                a = manager[a]
        found.append(a)
    return found


def good(manager: list[int], pairs: list[list[int]]) -> list[int]:
    """Climb in powers of two: O(log depth) a pair after O(n log depth)."""
    depth = [0] * len(manager)
    for person in range(1, len(manager)):
        depth[person] = depth[manager[person]] + 1
    jumps = [[0, *manager[1:]]]
    while 1 << len(jumps) <= max(depth):
        last = jumps[-1]
        jumps.append([last[last[person]] for person in range(len(manager))])
    found = []
    for a, b in pairs:
        if depth[a] < depth[b]:
            a, b = b, a
        for power, jump in enumerate(jumps):
            if (depth[a] - depth[b]) >> power & 1:
                a = jump[a]
        if a != b:
            for jump in reversed(jumps):
                if jump[a] != jump[b]:
                    a, b = jump[a], jump[b]
            a = manager[a]
        found.append(a)
    return found


def expert(manager: list[int], pairs: list[list[int]]) -> list[int]:
    """Climb whole lines, each person's line going on with the largest team: O(n + log n a pair).

    A pair on one line is settled by rank; otherwise the line that starts lower is left.
    """
    size = [1] * len(manager)
    for person in range(len(manager) - 1, 0, -1):
        size[manager[person]] += size[person]
    heir = [0] * len(manager)
    largest = [0] * len(manager)
    for person in range(1, len(manager)):
        above = manager[person]
        if size[person] > largest[above]:
            largest[above] = size[person]
            heir[above] = person
    line = [0] * len(manager)
    for person in range(1, len(manager)):
        above = manager[person]
        line[person] = line[above] if heir[above] == person else person
    found = []
    for a, b in pairs:
        # Numbers grow downwards, so that they do for ranks.
        while line[a] != line[b]:
            if line[a] > line[b]:
                a = manager[line[a]]
            else:
                b = manager[line[b]]
        found.append(a if a < b else b)
    return found
