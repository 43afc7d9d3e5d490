"""The closest two points."""

from math import isqrt
from random import Random
from typing import Any

TECHNIQUE = "divide and conquer in the plane"
ENTRY_POINT = "closest_points"
CHECK = "exact"
PROMPT = '''\
def closest_points(points: list[list[int]]) -> int:
    """Return the square of the smallest distance between two of the points [x, y].

    There are at least two points and at most 4,000; two may be at the same place.

    >>> closest_points([[0, 0], [5, 5], [3, 1]])
    10
    >>> closest_points([[1, 1], [2, 2], [1, 1]])
    0
    """
'''
SIZES = (10, 300, 1_000, 4_000)
EDGES: list[list[Any]] = [
    [[[0, 0], [0, 9]]],
    [[[4, 4], [4, 4]]],
    [[[0, 0], [2, 0], [4, 0], [7, 0]]],
    [[[-5, 1], [5, 1], [0, -9], [0, 9]]],
]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Scattered points, points on a vertical line, a grid and a few dense spots."""
    size = SIZES[level]
    far = 10**6
    spots = [(rng.randrange(far), rng.randrange(far)) for _ in range(size // 50 + 1)]
    side = int(size**0.5) + 1
    dense = []
    for _ in range(size):
        x, y = rng.choice(spots)
        dense.append([x + rng.randrange(5000), y + rng.randrange(5000)])
    grid = [[99 * (i % side), 99 * (i // side) + rng.randrange(3)] for i in range(size)]
    rng.shuffle(grid)
    cases = [
        [[[rng.randrange(far), rng.randrange(far)] for _ in range(size)]],
        [[[7, y] for y in rng.sample(range(far), size)]],
        [grid],
        [dense],
    ]
    return [*EDGES, *cases] if level == 0 else cases


def naive(points: list[list[int]]) -> int:
    """Compare every pair: O(n^2)."""
    best = -1
    for i, (x, y) in enumerate(points):
        for a, b in points[i + 1 :]:
            square = (x - a) ** 2 + (y - b) ** 2
            if best < 0 or square < best:
                best = square
    return best


def good(points: list[list[int]]) -> int:
    """Halve by x, then check the strip in the middle by y: O(n log n)."""
    ordered = sorted((x, y) for x, y in points)

    def search(low: int, high: int) -> tuple[int, list[tuple[int, int]]]:
        if high - low == 1:
            return 10**18, ordered[low:high]
        middle = (low + high) // 2
        centre = ordered[middle][0]
        left, lower = search(low, middle)
        right, upper = search(middle, high)
        best = min(left, right)
        by_height = sorted(lower + upper, key=lambda point: point[1])
        strip = [point for point in by_height if (point[0] - centre) ** 2 < best]
        for i, (x, y) in enumerate(strip):
            for a, b in strip[i + 1 : i + 8]:
                best = min(best, (x - a) ** 2 + (y - b) ** 2)
        return best, by_height

    return search(0, len(ordered))[0]


def expert(points: list[list[int]]) -> int:
    """Insert shuffled points into a grid as fine as the best distance: O(n) expected.

    Only the nine cells around a point matter; the grid is made anew when the best improves,
    which is rare among points in random order.
    """
    shuffled = [(x, y) for x, y in points]
    Random(1).shuffle(shuffled)
    (x, y), (a, b) = shuffled[:2]
    best = (x - a) ** 2 + (y - b) ** 2
    line = 1 << 40  # cells per row of the grid: one number is a cell's address
    around = [i * line + j for i in (-1, 0, 1) for j in (-1, 0, 1)]
    done = 0
    while done < len(shuffled) and best:
        width = isqrt(best - 1) + 1
        cells: dict[int, list[tuple[int, int]]] = {}
        for x, y in shuffled[:done]:
            cells.setdefault(x // width * line + y // width, []).append((x, y))
        start = best
        for x, y in shuffled[done:]:
            here = x // width * line + y // width
            for offset in around:
                if here + offset in cells:
                    for a, b in cells[here + offset]:
                        square = (x - a) * (x - a) + (y - b) * (y - b)
                        if square < best:
                            best = square
            done += 1
            if best < start:
                break
            if here in cells:
                cells[here].append((x, y))
            else:
                cells[here] = [(x, y)]
    return best
