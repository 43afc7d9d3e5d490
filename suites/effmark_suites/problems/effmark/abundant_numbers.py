"""Numbers smaller than the sum of their divisors."""

from random import Random
from typing import Any

TECHNIQUE = "number theory"
ENTRY_POINT = "abundant_gap"
CHECK = "exact"
PROMPT = '''\
def abundant_gap(low: int, high: int) -> int:
    """Return the sum of s(n) - n over all n in low <= n <= high with s(n) > n.

    s(n) is the sum of the divisors of n that are smaller than n itself; 12, for instance,
    has s(12) = 1 + 2 + 3 + 4 + 6 = 16 and contributes 4. 1 <= low <= high <= 60,000.

    >>> abundant_gap(1, 18)
    7
    >>> abundant_gap(13, 17)
    0
    """
'''
SIZES = (60, 4_000, 15_000, 60_000)
EDGES: list[list[Any]] = [[1, 1], [1, 12], [12, 12], [6, 6]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Ranges from a low start to the largest number of the level, more or less."""
    top = SIZES[level]
    cases: list[list[Any]] = []
    for start in (1, top // 10, top // 3, top // 2):
        cases.append([start + rng.randrange(5), top - rng.randrange(top // 20)])
    return [*EDGES, *cases] if level == 0 else cases


def naive(low: int, high: int) -> int:
    """Try the divisors of each number up to its root: O(n sqrt n)."""
    total = 0
    for number in range(max(low, 2), high + 1):
        divisors = 1
        divisor = 2
        while divisor * divisor <= number:
            if number % divisor == 0:
                divisors += divisor
                if divisor * divisor != number:
                    divisors += number // divisor
            divisor += 1
        total += max(0, divisors - number)
    return total


def good(low: int, high: int) -> int:
    """Add each divisor to all its multiples: O(n log n)."""
    sums = [0] * (high + 1)
    for divisor in range(1, high // 2 + 1):
        for multiple in range(2 * divisor, high + 1, divisor):
            sums[multiple] += divisor
    return sum(sums[number] - number for number in range(low, high + 1) if sums[number] > number)


def expert(low: int, high: int) -> int:
    """Multiply in one prime at a time, s being multiplicative: O(n log log n)."""
    sums = [1] * (high + 1)
    for prime in range(2, high + 1):
        if sums[prime] == 1:
            factor, power = 1 + prime, prime
            sums[prime::prime] = [s * factor for s in sums[prime::prime]]
            while (power := power * prime) <= high:
                # These multiples carry the factor of the power below; exchange it.
                below, factor = factor, factor + power
                sums[power::power] = [s // below * factor for s in sums[power::power]]
    doubles = range(2 * low, 2 * high + 1, 2)
    return sum([s - n for n, s in zip(doubles, sums[low:], strict=True) if s > n])
