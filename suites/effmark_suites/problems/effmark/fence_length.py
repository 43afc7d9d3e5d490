"""The shortest fence around trees."""

from math import dist
from random import Random
from typing import Any

TECHNIQUE = "geometry"
ENTRY_POINT = "fence_length"
CHECK = "close"
PROMPT = '''\
def fence_length(trees: list[list[int]]) -> float:
    """Return the length of the shortest closed fence around all trees.

    Trees are points [x, y] with coordinates between -1000 and 1000; several may stand at
    one point. Up to a relative error of 1e-9 any result is right. Trees on one line are
    fenced on both sides; fewer than two different points need no fence. There are at most
    12,000 trees.

    >>> fence_length([[0, 0], [3, 0], [3, 4], [2, 1]])
    12.0
    >>> fence_length([[0, 0], [0, 5]])
    10.0
    """
'''
SIZES = (12, 500, 2_500, 12_000)
EDGES: list[list[Any]] = [
    [[]],
    [[[7, 7], [7, 7]]],
    [[[0, 0], [1, 1], [3, 3], [2, 2]]],
    [[[0, 0], [0, 4], [4, 4], [4, 0], [2, 0], [0, 2]]],
]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Trees in a square, in a disc, on a ring and along a slope."""
    size = SIZES[level]

    def in_disc(inner: int, outer: int) -> list[int]:
        while True:
            x, y = rng.randint(-outer, outer), rng.randint(-outer, outer)
            if inner * inner <= x * x + y * y <= outer * outer:
                return [x, y]

    slope = [rng.randint(-400, 400) for _ in range(size)]
    cases = [
        [[[rng.randint(-1000, 1000), rng.randint(-1000, 1000)] for _ in range(size)]],
        [[in_disc(0, 1000) for _ in range(size)]],
        [[in_disc(985, 1000) for _ in range(size)]],
        [[[x, 2 * x + rng.randint(-20, 20)] for x in slope]],
    ]
    return [*EDGES, *cases] if level == 0 else cases


def naive(trees: list[list[int]]) -> float:
    """Turn around the trees from corner to corner: O(n * corners)."""
    points = sorted({(x, y) for x, y in trees})
    if len(points) < 2:
        return 0.0
    length = 0.0
    here = points[0]
    while True:
        x, y = here
        best = points[0] if here != points[0] else points[1]
        for point in points:
            turn = (best[0] - x) * (point[1] - y) - (best[1] - y) * (point[0] - x)
            if turn < 0 or (turn == 0 and dist(here, point) > dist(here, best)):
                best = point
        length += dist(here, best)
        here = best
        if here == points[0]:
            return length


def good(trees: list[list[int]]) -> float:
    """Sort, then build the lower and the upper chain: O(n log n)."""
    points = sorted({(x, y) for x, y in trees})

    def turn(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> int:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    length = 0.0
    for way in (points, points[::-1]):
        chain: list[tuple[int, int]] = []
        for point in way:
            while len(chain) >= 2 and turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        length += sum(map(dist, chain, chain[1:]))
    return length


def expert(trees: list[list[int]]) -> float:
    """Keep the lowest and the highest tree of each x, then chain those few: O(n + width)."""
    lowest: dict[int, int] = {}
    highest: dict[int, int] = {}
    for x, y in trees:
        if x not in lowest:
            lowest[x] = highest[x] = y
        elif y < lowest[x]:
            lowest[x] = y
        elif y > highest[x]:
            highest[x] = y
    across = sorted(lowest)
    if not across:
        return 0.0
    first, last = across[0], across[-1]
    length = float(highest[first] - lowest[first] + highest[last] - lowest[last])
    for side, sign in ((lowest, 1), (highest, -1)):
        chain: list[tuple[int, int]] = []
        for x in across:
            y = sign * side[x]
            while len(chain) > 1:
                (x0, y0), (x1, y1) = chain[-2:]
                if (x1 - x0) * (y - y0) > (y1 - y0) * (x - x0):
                    break
                chain.pop()
            chain.append((x, y))
        length += sum(map(dist, chain, chain[1:]))
    return length
