"""Many binomial coefficients."""

from random import Random
from typing import Any

TECHNIQUE = "combinatorics"
ENTRY_POINT = "choose_all"
CHECK = "exact"
PROMPT = '''\
def choose_all(queries: list[list[int]]) -> list[int]:
    """Return for each query [n, k] the number of k-subsets of n things, modulo 1_000_000_007.

    0 <= n <= 12,000 and k >= 0; where k > n there is none. There are at most 6,000 queries.

    >>> choose_all([[5, 2], [3, 3], [2, 5], [0, 0]])
    [10, 1, 0, 1]
    """
'''
SIZES = ((12, 12), (1_000, 500), (4_000, 2_000), (12_000, 6_000))
EDGES: list[list[Any]] = [[[]], [[[0, 0]]], [[[1, 2], [9, 0]]], [[[10, 9], [10, 1], [10, 10]]]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Few and many things, small and middling subsets."""
    top, count = SIZES[level]
    cases: list[list[Any]] = []
    for share in (20, 12, 3, 1):
        queries = []
        for _ in range(count):
            n = rng.randint(top // 2, top)
            queries.append([n, rng.randint(0, n // share if share > 1 else top // 30)])
        cases.append([queries])
    cases[2][0] = [[n // 4, k // 2] for n, k in cases[2][0]]
    return [*EDGES, *cases] if level == 0 else cases


def naive(queries: list[list[int]]) -> list[int]:
    """Multiply up each coefficient: O(k) a query."""
    modulus = 1_000_000_007
    found = []
    for n, k in queries:
        above = below = 1
        for i in range(k):
            above = above * (n - i) % modulus
            below = below * (i + 1) % modulus
        found.append(above * pow(below, -1, modulus) % modulus)
    return found


def good(queries: list[list[int]]) -> list[int]:
    """A table of factorials and one modular division a query."""
    modulus = 1_000_000_007
    factorial = [1]
    for i in range(1, max((n for n, _ in queries), default=0) + 1):
        factorial.append(factorial[-1] * i % modulus)
    found = []
    for n, k in queries:
        if k > n:
            found.append(0)
        else:
            below = factorial[k] * factorial[n - k] % modulus
            found.append(factorial[n] * pow(below, modulus - 2, modulus) % modulus)
    return found


def expert(queries: list[list[int]]) -> list[int]:
    """Tables of factorials and of their inverses, from a single division."""
    modulus = 1_000_000_007
    top = max([n for n, _ in queries], default=0)
    last = 1
    factorial = [1]
    factorial += [last := last * i % modulus for i in range(1, top + 1)]
    last = pow(last, -1, modulus)
    inverse = [last]
    inverse += [last := last * i % modulus for i in range(top, 0, -1)]
    inverse.reverse()
    return [
        factorial[n] * inverse[k] % modulus * inverse[n - k] % modulus if k <= n else 0
        for n, k in queries
    ]
