"""Queens on a board with holes."""

from itertools import permutations
from random import Random
from typing import Any

TECHNIQUE = "backtracking"
ENTRY_POINT = "count_boards"
CHECK = "exact"
PROMPT = '''\
def count_boards(size: int, holes: list[list[int]]) -> int:
    """Count the ways to place size queens on a board of size rows and columns.

    No two queens may share a row, a column or a diagonal, and none may stand on a hole
    [row, column]; queens see across holes. 1 <= size <= 9.

    >>> count_boards(4, [])
    2
    >>> count_boards(4, [[0, 1]])
    1
    """
'''
SIZES = (5, 7, 8, 9)
EDGES: list[list[Any]] = [[1, []], [1, [[0, 0]]], [3, []], [6, []]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Boards with no hole to a few."""
    size = SIZES[level]
    fields = [[row, column] for row in range(size) for column in range(size)]
    cases: list[list[Any]] = [[size, rng.sample(fields, count)] for count in (0, 1, 3, 6)]
    return [*EDGES, *cases] if level == 0 else cases


def naive(size: int, holes: list[list[int]]) -> int:
    """Try every arrangement with one queen in each row and column: O(size!)."""
    count = 0
    for columns in permutations(range(size)):
        if any(columns[row] == column for row, column in holes):
            continue
        rising = {row + column for row, column in enumerate(columns)}
        falling = {row - column for row, column in enumerate(columns)}
        count += len(rising) == len(falling) == size
    return count


def good(size: int, holes: list[list[int]]) -> int:
    """Place row by row and go back as soon as queens meet."""
    closed = {(row, column) for row, column in holes}
    columns: set[int] = set()
    rising: set[int] = set()
    falling: set[int] = set()

    def place(row: int) -> int:
        if row == size:
            return 1
        count = 0
        for column in range(size):
            if (
                (row, column) in closed
                or column in columns
                or row + column in rising
                or row - column in falling
            ):
                continue
            columns.add(column)
            rising.add(row + column)
            falling.add(row - column)
            count += place(row + 1)
            columns.remove(column)
            rising.remove(row + column)
            falling.remove(row - column)
        return count

    return place(0)


def expert(size: int, holes: list[list[int]]) -> int:
    """Row by row for all boards at once: equal attacks on the rest are counted together."""
    free = [(1 << size) - 1] * size
    for row, column in holes:
        free[row] &= ~(1 << column)
    boards = {(0, 0, 0): 1}
    for fields in free:
        following: dict[tuple[int, int, int], int] = {}
        for (columns, left, right), count in boards.items():
            choices = fields & ~(columns | left | right)
            while choices:
                queen = choices & -choices
                choices ^= queen
                state = (columns | queen, (left | queen) << 1, (right | queen) >> 1)
                following[state] = following.get(state, 0) + count
        boards = following
    return sum(boards.values())
