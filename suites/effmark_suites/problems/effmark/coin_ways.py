"""Ways to pay an amount."""

from itertools import accumulate
from random import Random
from typing import Any

TECHNIQUE = "dynamic programming"
ENTRY_POINT = "coin_ways"
CHECK = "exact"
PROMPT = '''\
def coin_ways(coins: list[int], amount: int) -> int:
    """Count the multisets of coins that add up to amount.

    The coins are distinct positive values, each available without limit; the order in
    which they are paid does not matter, and amount 0 (at most 7,500) is paid in one way.

    >>> coin_ways([1, 2, 5], 5)
    4
    >>> coin_ways([4, 6], 7)
    0
    """
'''
SIZES = (30, 800, 2_500, 7_500)
EDGES: list[list[Any]] = [[[], 0], [[], 3], [[5], 0], [[7, 3], 11]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Coin systems from a few small coins to many middling ones."""
    amount = SIZES[level]
    kinds = 3 if level == 0 else 14
    cases: list[list[Any]] = []
    for least in (1, 2, 5, 9):
        coins = rng.sample(range(least, least + 6 * kinds), kinds)
        cases.append([coins, amount - rng.randrange(5)])
    return [*EDGES, *cases] if level == 0 else cases


def naive(coins: list[int], amount: int) -> int:
    """Try every number of copies of every coin for every amount: O(k * amount^2)."""
    ways = [1] + [0] * amount
    for coin in coins:
        following = [0] * (amount + 1)
        for total in range(amount + 1):
            for paid in range(0, total + 1, coin):
                following[total] += ways[total - paid]
        ways = following
    return ways[amount]


def good(coins: list[int], amount: int) -> int:
    """Add one coin to the ways of a smaller amount: O(k * amount)."""
    ways = [1] + [0] * amount
    for coin in coins:
        for total in range(coin, amount + 1):
            ways[total] += ways[total - coin]
    return ways[amount]


def expert(coins: list[int], amount: int) -> int:
    """The same sums as running sums over each remainder; done outside the interpreter.

    For the last coin only the amounts that its multiples complete are added up.
    """
    if not coins:
        return int(amount == 0)
    ways = [1] + [0] * amount
    last, *others = sorted(coins)
    for coin in reversed(others):
        for remainder in range(min(coin, amount + 1)):
            ways[remainder::coin] = accumulate(ways[remainder::coin])
    return sum(ways[amount % last :: last])
