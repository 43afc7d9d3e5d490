"""The longest stretch without a repeat."""

from random import Random
from typing import Any

TECHNIQUE = "sliding window"
ENTRY_POINT = "longest_without_repeat"
CHECK = "program"
PROMPT = '''\
def longest_without_repeat(items: list[int]) -> list[int]:
    """Return [start, stop] of a longest stretch items[start:stop] in which no item occurs twice.

    Where several stretches are equally long, any of them is right. An empty list gives
    [0, 0]. The list holds at most 50,000 items.

    >>> longest_without_repeat([7, 7, 8, 9, 8])
    [1, 4]
    >>> longest_without_repeat([])
    [0, 0]
    """
'''
SIZES = (12, 3_000, 15_000, 50_000)
EDGES: list[list[Any]] = [[[]], [[4]], [[3, 3, 3, 3]], [[1, 2, 3, 4, 5]]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Random items, two kinds of cycles and a long run of equal items."""
    size = SIZES[level]
    period = 5 if level == 0 else 250
    cycle = rng.sample(range(10 * period), period)
    noisy = [cycle[i % period] for i in range(size)]
    for _ in range(size // 1000):
        noisy[rng.randrange(size)] = rng.choice(cycle)
    cases = [
        [[rng.randrange(8 * period) for _ in range(size)]],
        [[cycle[i % period] for i in range(size)]],
        [noisy],
        [[0] * (size // 2) + [rng.randrange(size) for _ in range(size - size // 2)]],
    ]
    return [*EDGES, *cases] if level == 0 else cases


def check(args: list[Any], expected: Any, output: Any) -> bool:
    """Say whether the stretch exists, is as long as the reference's, and repeats nothing."""
    (items,) = args
    if not isinstance(output, list) or len(output) != 2 or {type(x) for x in output} != {int}:
        return False
    start, stop = output
    if not 0 <= start <= stop <= len(items):
        return False
    longest: int = expected[1] - expected[0]
    return stop - start == longest and len(set(items[start:stop])) == longest


def naive(items: list[int]) -> list[int]:
    """Start again at every item: O(n * length)."""
    best = [0, 0]
    for start in range(len(items)):
        seen = set()
        stop = start
        while stop < len(items) and items[stop] not in seen:
            seen.add(items[stop])
            stop += 1
        if stop - start > best[1] - best[0]:
            best = [start, stop]
    return best


def good(items: list[int]) -> list[int]:
    """A window that grows on the right and gives items up on the left: O(n)."""
    best = [0, 0]
    inside: dict[int, int] = {}
    start = 0
    for stop in range(len(items)):
        item = items[stop]
        inside[item] = inside.get(item, 0) + 1
        while inside[item] > 1:
            inside[items[start]] -= 1
            start += 1
        if stop + 1 - start > best[1] - best[0]:
            best = [start, stop + 1]
    return best


def expert(items: list[int]) -> list[int]:
    """Jump over the last place of the repeated item: O(n), one table look-up an item."""
    start = longest = best_start = 0
    after: dict[int, int] = {}
    place = after.get
    for stop, item in enumerate(items, 1):
        repeat = place(item, 0)
        if repeat > start:
            if stop - 1 - start > longest:
                longest, best_start = stop - 1 - start, start
            start = repeat
        after[item] = stop
    if len(items) - start > longest:
        longest, best_start = len(items) - start, start
    return [best_start, best_start + longest]
