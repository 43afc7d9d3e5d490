"""Primes in a range."""

from math import isqrt
from random import Random
from typing import Any

TECHNIQUE = "sieve"
ENTRY_POINT = "count_primes"
CHECK = "exact"
PROMPT = '''\
def count_primes(low: int, high: int) -> int:
    """Count the primes p with low <= p <= high.

    0 <= low <= high <= 10**10, and the range holds at most 50,000 numbers.

    >>> count_primes(10, 20)
    4
    >>> count_primes(0, 2)
    1
    """
'''
SIZES = ((200, 40), (10**6, 6_000), (10**8, 12_000), (10**10, 22_000))
EDGES: list[list[Any]] = [[0, 0], [2, 2], [24, 28], [1, 100]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Ranges just below a bound, at random places, and right behind a square."""
    top, width = SIZES[level]
    root = isqrt(top) - 3
    while any(root % d == 0 for d in range(2, isqrt(root) + 1)):
        root -= 1
    starts = (
        top - width,
        root * root - width // 2,
        root * root,
        rng.randrange(top // 2, top // 3 * 2),
    )
    cases: list[list[Any]] = []
    for start in starts:
        low = max(0, min(start, top - width))
        cases.append([low, low + width - rng.randrange(width // 10)])
    return [*EDGES, *cases] if level == 0 else cases


def naive(low: int, high: int) -> int:
    """Divide every number by the primes up to its root: O(width * root / log root)."""
    primes: list[int] = []
    count = 0
    for number in (*range(2, min(isqrt(high) + 1, low)), *range(max(low, 2), high + 1)):
        for prime in primes:
            if prime * prime > number or number % prime == 0:
                break
        else:
            prime = number
        if prime * prime > number or number == prime:
            count += number >= low
            if number * number <= high:
                primes.append(number)
    return count


def good(low: int, high: int) -> int:
    """Strike out the multiples of the primes up to the root, one by one."""
    root = isqrt(high)
    small = [True] * (root + 1)
    marks = [number > 1 for number in range(low, high + 1)]
    for prime in range(2, root + 1):
        if small[prime]:
            for multiple in range(prime * prime, root + 1, prime):
                small[multiple] = False
            first = max(prime * prime, -(-low // prime) * prime)
            for multiple in range(first, high + 1, prime):
                marks[multiple - low] = False
    return sum(marks)


def expert(low: int, high: int) -> int:
    """Strike out by slices of bytes, odd numbers only; nothing where no multiple falls."""
    if high < 2:
        return 0
    count = int(low <= 2)
    low = max(low, 3) | 1
    width = (high - low) // 2 + 1
    if width <= 0:
        return count
    root = isqrt(high)
    half = root // 2 + 1
    small = bytearray(b"\1") * half
    marks = bytearray(b"\1") * width
    for i in range(1, isqrt(root) // 2 + 1):
        if small[i]:
            start = 2 * i * (i + 1)
            small[start :: 2 * i + 1] = bytes(len(range(start, half, 2 * i + 1)))
    zeros = bytes(width)
    nearby = isqrt(low)
    for i in range(1, half):
        if small[i]:
            prime = 2 * i + 1
            square = (prime * prime - low) // 2
            # Index of the first odd multiple at or above low, but not before the square.
            first = square if prime > nearby else (i - low // 2) % prime
            if first < width:
                marks[first::prime] = zeros[: (width - 1 - first) // prime + 1]
    return count + marks.count(1)
