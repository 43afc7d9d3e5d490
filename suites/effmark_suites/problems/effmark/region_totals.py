"""Totals of rectangular regions."""

from itertools import accumulate
from random import Random
from typing import Any

TECHNIQUE = "prefix sums"
ENTRY_POINT = "region_totals"
CHECK = "exact"
PROMPT = '''\
def region_totals(grid: list[list[int]], regions: list[list[int]]) -> list[int]:
    """Return the sum of the grid's cells in each region.

    A region [top, left, bottom, right] holds the cells with top <= row < bottom and
    left <= column < right; it lies inside the grid and may be empty. The grid has at most
    180 rows and columns, and there are at most 9,000 regions.

    >>> region_totals([[1, 2], [3, 4]], [[0, 0, 2, 2], [1, 0, 2, 1], [0, 1, 0, 2]])
    [10, 3, 0]
    """
'''
SIZES = ((5, 12), (40, 400), (80, 2_000), (180, 9_000))
EDGES: list[list[Any]] = [
    [[[5]], [[0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]]],
    [[[1, 2, 3]], [[0, 0, 1, 3], [0, 1, 1, 2]]],
    [[[1], [2], [-3]], [[0, 0, 3, 1], [1, 0, 2, 1]]],
    [[[4, 4]], []],
]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Square and oblong grids with random regions."""
    side, count = SIZES[level]
    cases: list[list[Any]] = []
    for rows, columns in ((side, side), (side, side // 2), (side // 2, side), (side, side)):
        grid = [[rng.randint(-99, 99) for _ in range(columns)] for _ in range(rows)]
        regions = []
        for _ in range(count):
            top, bottom = sorted((rng.randint(0, rows), rng.randint(0, rows)))
            left, right = sorted((rng.randint(0, columns), rng.randint(0, columns)))
            regions.append([top, left, bottom, right])
        cases.append([grid, regions])
    return [*EDGES, *cases] if level == 0 else cases


def naive(grid: list[list[int]], regions: list[list[int]]) -> list[int]:
    """Add up the cells of every region: O(area) each."""
    totals = []
    for top, left, bottom, right in regions:
        totals.append(sum(sum(row[left:right]) for row in grid[top:bottom]))
    return totals


def good(grid: list[list[int]], regions: list[list[int]]) -> list[int]:
    """Sum every corner rectangle once, cell by cell; four look-ups a region."""
    rows, columns = len(grid), len(grid[0])
    corner = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows):
        for j in range(columns):
            corner[i + 1][j + 1] = grid[i][j] + corner[i][j + 1] + corner[i + 1][j] - corner[i][j]
    totals = []
    for top, left, bottom, right in regions:
        total = corner[bottom][right] - corner[top][right]
        total += corner[top][left] - corner[bottom][left]
        totals.append(total)
    return totals


def expert(grid: list[list[int]], regions: list[list[int]]) -> list[int]:
    """The same corner sums, row by row with running sums made outside the interpreter."""
    above = [0] * (len(grid[0]) + 1)
    corner = [above]
    for row in grid:
        above = [a + b for a, b in zip(above, accumulate(row, initial=0), strict=True)]
        corner.append(above)
    return [
        (low := corner[bottom])[right] - low[left] - (high := corner[top])[right] + high[left]
        for top, left, bottom, right in regions
    ]
