"""Sums of two random things."""

from random import Random
from typing import Any

TECHNIQUE = "convolution"
ENTRY_POINT = "combine_counts"
CHECK = "exact"
PROMPT = '''\
def combine_counts(first: list[int], second: list[int]) -> list[int]:
    """Return in how many ways each total arises from one item of each of two collections.

    first[i] items of the first collection have the value i, second[j] of the second the
    value j; entry t of the answer counts the pairs whose values add up to t. Both lists
    have 1 to 3,000 entries from 0 to 10**6; the answer has one entry fewer than both
    together.

    >>> combine_counts([1, 1], [1, 2, 3])
    [1, 3, 5, 3]
    """
'''
SIZES = (8, 250, 900, 3_000)
EDGES: list[list[Any]] = [
    [[3], [4]],
    [[0], [1, 2]],
    [[1, 0, 0], [0, 1]],
    [[10**6] * 4, [10**6] * 4],
]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Full, sparse and unequal lists, and the largest counts."""
    size = SIZES[level]

    def counts(length: int, most: int) -> list[int]:
        return [rng.randint(0, most) for _ in range(length)]

    sparse = [rng.choice((0, 0, 0, 1, 7)) for _ in range(size)]
    cases = [
        [counts(size, 10**6), counts(size, 10**6)],
        [sparse, counts(size, 9)],
        [counts(size, 1000), counts(size // 3, 1000)],
        [[10**6] * size, [10**6] * size],
    ]
    return [*EDGES, *cases] if level == 0 else cases


def naive(first: list[int], second: list[int]) -> list[int]:
    """Every pair of values: O(n m)."""
    counts = [0] * (len(first) + len(second) - 1)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            counts[i + j] += a * b
    return counts


def good(first: list[int], second: list[int]) -> list[int]:
    """Three products of halves instead of four (Karatsuba): O(n^1.58)."""

    def product(a: list[int], b: list[int]) -> list[int]:
        size = len(a)
        if size <= 32:
            counts = [0] * (2 * size - 1)
            for i, x in enumerate(a):
                for j, y in enumerate(b, i):
                    counts[j] += x * y
            return counts
        half = size // 2
        low = product(a[:half], b[:half])
        high = product(a[half:], b[half:])
        both_a = [x + y for x, y in zip(a[:half], a[half:], strict=True)]
        both_b = [x + y for x, y in zip(b[:half], b[half:], strict=True)]
        both = product(both_a, both_b)
        counts = [*low, 0, *high]
        for i, x in enumerate(both):
            counts[i + half] += x - low[i] - high[i]
        return counts

    size = 1
    while size < max(len(first), len(second)):
        size *= 2
    padded = [values + [0] * (size - len(values)) for values in (first, second)]
    return product(*padded)[: len(first) + len(second) - 1]


def expert(first: list[int], second: list[int]) -> list[int]:
    """Pack each list into one integer, multiply once, and unpack (Kronecker)."""
    most = max(first) * max(second) * min(len(first), len(second))
    width = most.bit_length() // 8 + 1
    size = len(first) + len(second) - 1
    packed = [
        int.from_bytes(b"".join([value.to_bytes(width, "little") for value in values]), "little")
        for values in (first, second)
    ]
    digits = (packed[0] * packed[1]).to_bytes(size * width, "little")
    unpack = int.from_bytes
    return [unpack(digits[i : i + width], "little") for i in range(0, size * width, width)]
