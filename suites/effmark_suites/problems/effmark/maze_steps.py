"""Steps through a maze."""

from collections import deque
from random import Random
from typing import Any

TECHNIQUE = "breadth-first search"
ENTRY_POINT = "maze_steps"
CHECK = "exact"
PROMPT = '''\
def maze_steps(rows: list[str]) -> int:
    """Return the least number of steps from the top left to the bottom right cell of a maze.

    "." is free and "#" is wall; a step goes to a free neighbour above, below, left or
    right. All rows are equally long; both sides are at most 100. If there is no way, or an
    end is walled up, the answer is -1.

    >>> maze_steps(["..#", "#..", "#.."])
    4
    >>> maze_steps([".#."])
    -1
    """
'''
SIZES = (6, 30, 50, 100)
EDGES: list[list[Any]] = [[["."]], [["#"]], [["..", "##", ".."]], [["...#", ".#..", "...."]]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Open ground, scattered walls, and long walls with a gap at alternating ends."""
    side = SIZES[level]
    cases: list[list[Any]] = []
    for density, spacing in ((0.0, 0), (0.25, 0), (0.02, side // 4), (0.1, side // 6)):
        cells = [["#" if rng.random() < density else "." for _ in range(side)] for _ in range(side)]
        if spacing > 1:
            for turn, row in enumerate(range(spacing, side - 1, spacing)):
                cells[row] = ["#"] * side
                cells[row][-1 if turn % 2 == 0 else 0] = "."
        cells[0][0] = cells[-1][-1] = "."
        cases.append([["".join(row) for row in cells]])
    return [*EDGES, *cases] if level == 0 else cases


def naive(rows: list[str]) -> int:
    """Sweep over all cells until no distance shrinks: O(cells * turns)."""
    height, width = len(rows), len(rows[0])
    unknown = height * width
    steps = [[unknown] * width for _ in range(height)]
    if rows[0][0] == ".":
        steps[0][0] = 0
    changed = True
    while changed:
        changed = False
        for i in range(height):
            for j in range(width):
                if rows[i][j] == "#":
                    continue
                for y, x in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                    if 0 <= y < height and 0 <= x < width and steps[y][x] + 1 < steps[i][j]:
                        steps[i][j] = steps[y][x] + 1
                        changed = True
    return steps[-1][-1] if steps[-1][-1] < unknown else -1


def good(rows: list[str]) -> int:
    """Visit the cells in the order of their distance, from a queue: O(cells)."""
    height, width = len(rows), len(rows[0])
    if rows[0][0] == "#":
        return -1
    seen = {(0, 0)}
    queue = deque([(0, 0, 0)])
    while queue:
        i, j, steps = queue.popleft()
        if i == height - 1 and j == width - 1:
            return steps
        for y, x in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            if 0 <= y < height and 0 <= x < width and rows[y][x] == "." and (y, x) not in seen:
                seen.add((y, x))
                queue.append((y, x, steps + 1))
    return -1


def expert(rows: list[str]) -> int:
    """One flat array with a wall around it, walked ring by ring: O(cells), no tuples."""
    line = len(rows[0]) + 1
    wall = "#" * line
    framed = wall + "#".join(rows) + "#" + wall
    free = bytearray(framed.encode().translate(bytes.maketrans(b"#.", b"\0\1")))
    start, goal = line, line * len(rows) + line - 2
    if not free[start] or not free[goal]:
        return -1
    free[start] = 0
    ring = [start]
    steps = 0
    while ring:
        if not free[goal]:
            return steps
        steps += 1
        following = []
        for cell in ring:
            for near in (cell - line, cell - 1, cell + 1, cell + line):
                if free[near]:
                    free[near] = 0
                    following.append(near)
        ring = following
    return -1
