"""The coldest day of many periods."""

from random import Random
from typing import Any

TECHNIQUE = "range queries"
ENTRY_POINT = "range_minima"
CHECK = "exact"
PROMPT = '''\
def range_minima(values: list[int], ranges: list[list[int]]) -> list[int]:
    """Return the smallest of values[start:stop] for each range [start, stop].

    0 <= start < stop <= len(values), and there are at most 20,000 values and 12,000 ranges.

    >>> range_minima([5, 2, 8, 1], [[0, 2], [2, 3], [0, 4]])
    [2, 8, 1]
    >>> range_minima([4], [])
    []
    """
'''
SIZES = ((10, 8), (1_000, 600), (4_000, 2_500), (20_000, 12_000))
EDGES: list[list[Any]] = [[[], []], [[4], [[0, 1]]], [[1, 2], [[0, 2], [1, 2]]], [[3, 3], [[0, 1]]]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Random, rising and falling values; short and long ranges."""
    size, count = SIZES[level]
    cases: list[list[Any]] = []
    for turn, longest in enumerate((size // 8, size // 3, size // 40 + 2, size // 4)):
        values = [rng.randint(-(10**6), 10**6) for _ in range(size)]
        if turn % 2:
            values.sort(reverse=turn == 3)
        ranges = []
        for _ in range(count):
            start = rng.randrange(size)
            ranges.append([start, min(size, start + rng.randint(1, longest))])
        cases.append([values, ranges])
    return [*EDGES, *cases] if level == 0 else cases


def naive(values: list[int], ranges: list[list[int]]) -> list[int]:
    """Look through every range: O(length)."""
    return [min(values[start:stop]) for start, stop in ranges]


def good(values: list[int], ranges: list[list[int]]) -> list[int]:
    """A tree of minima over halves: O(log n) a range."""
    size = len(values)
    tree = values + values
    for i in range(size - 1, 0, -1):
        tree[i] = min(tree[2 * i], tree[2 * i + 1])
    found = []
    for start, stop in ranges:
        low, high = start + size, stop + size
        least = values[start]
        while low < high:
            if low % 2:
                least = min(least, tree[low])
                low += 1
            if high % 2:
                high -= 1
                least = min(least, tree[high])
            low //= 2
            high //= 2
        found.append(least)
    return found


def expert(values: list[int], ranges: list[list[int]]) -> list[int]:
    """Minima to both ends of blocks of 64, and of 1, 2, 4 ... blocks: O(1) a range."""
    heads: list[int] = []  # least from the block's start to here
    tails: list[int] = []  # least from here to the block's end
    for start in range(0, len(values), 64):
        block = values[start : start + 64]
        least = block[0]
        heads += [least := value if value < least else least for value in block]
        block.reverse()
        least = block[0]
        back = [least := value if value < least else least for value in block]
        back.reverse()
        tails += back
    table = [tails[::64]]
    step = 1
    while 2 * step <= len(table[0]):
        last = table[-1]
        table.append([a if a < b else b for a, b in zip(last, last[step:], strict=False)])
        step *= 2
    found = []
    for start, stop in ranges:
        first, last_block = start >> 6, (stop - 1) >> 6
        if first == last_block:
            found.append(min(values[start:stop]))
            continue
        least = tails[start]
        other = heads[stop - 1]
        if other < least:
            least = other
        blocks = last_block - first - 1
        if blocks:
            power = blocks.bit_length() - 1
            row = table[power]
            other = row[first + 1]
            if other < least:
                least = other
            other = row[last_block - (1 << power)]
            if other < least:
                least = other
        found.append(least)
    return found
