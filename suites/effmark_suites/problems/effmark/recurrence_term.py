"""A far term of a recurrence."""

from operator import mul
from random import Random
from typing import Any

TECHNIQUE = "matrix exponentiation"
ENTRY_POINT = "recurrence_term"
CHECK = "exact"
PROMPT = '''\
def recurrence_term(weights: list[int], first: list[int], n: int, modulus: int) -> int:
    """Return term n of a linear recurrence, modulo modulus.

    With k = len(weights) = len(first), the terms 0 .. k - 1 are given by first; every later
    one is weights[0] times the term before it, plus weights[1] times the one before that,
    and so on up to weights[k - 1]. 1 <= k <= 40, 0 <= n <= 400,000, modulus >= 1.

    >>> recurrence_term([1, 1], [0, 1], 10, 1000)
    55
    >>> recurrence_term([2], [3], 4, 7)
    6
    """
'''
SIZES = ((3, 40), (10, 20_000), (20, 100_000), (36, 400_000))
EDGES: list[list[Any]] = [
    [[5], [4], 0, 3],
    [[1, 1], [9, 8], 1, 5],
    [[0, 0, 1], [1, 2, 3], 7, 10],
    [[1, 2], [3, 4], 9, 1],
]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Random weights and sparse ones, at positions with few and many binary ones."""
    order, top = SIZES[level]
    modulus = 1_000_000_007
    cases: list[list[Any]] = []
    for n in (
        top - rng.randrange(9),
        top // 2 + rng.randrange(99),
        2 ** (top.bit_length() - 1) - 1,
    ):
        weights = [rng.randrange(modulus) for _ in range(order)]
        cases.append([weights, [rng.randrange(modulus) for _ in range(order)], n, modulus])
    sparse = [rng.choice((0, 0, 1)) for _ in range(order - 1)] + [1]
    cases.append([sparse, [1] * order, top - 1, 998_244_353])
    return [*EDGES, *cases] if level == 0 else cases


def naive(weights: list[int], first: list[int], n: int, modulus: int) -> int:
    """Compute every term on the way: O(n k)."""
    order = len(weights)
    terms = [term % modulus for term in first]
    newest = weights[::-1]
    for i in range(order, n + 1):
        terms.append(sum(map(mul, newest, terms[i - order :])) % modulus)
    return terms[n]


def good(weights: list[int], first: list[int], n: int, modulus: int) -> int:
    """Raise the companion matrix to the power n: O(k^3 log n)."""
    order = len(weights)

    def product(a: list[list[int]], b: list[list[int]]) -> list[list[int]]:
        columns = list(zip(*b, strict=True))
        return [[sum(map(mul, row, column)) % modulus for column in columns] for row in a]

    step = [[int(j == i + 1) for j in range(order)] for i in range(order - 1)]
    step.append(weights[::-1])
    state = [[term] for term in first]
    while n:
        if n % 2:
            state = product(step, state)
        step = product(step, step)
        n //= 2
    return state[0][0] % modulus


def expert(weights: list[int], first: list[int], n: int, modulus: int) -> int:
    """Raise x to the power n modulo the characteristic polynomial: O(k^2 log n)."""
    order = len(weights)
    newest = weights[::-1]
    power: list[int] = [1]  # coefficients, the constant first
    for bit in bin(n)[2:]:
        size = len(power)
        padded = [0] * (size - 1) + power[::-1] + [0] * (size - 1)
        # The square; its coefficient i pairs power with its own reverse.
        square = [sum(map(mul, power, padded[2 * size - 2 - i :])) for i in range(2 * size - 1)]
        if bit == "1":
            square.insert(0, 0)
        while len(square) > order:
            top = square.pop() % modulus
            if top:
                end = len(square)
                start = end - order
                square[start:] = [s + top * w for s, w in zip(square[start:], newest, strict=True)]
        power = [coefficient % modulus for coefficient in square]
    result: int = sum(map(mul, power, first)) % modulus
    return result
