"""Hits of a cache."""

from collections import OrderedDict
from random import Random
from typing import Any

TECHNIQUE = "data structures"
ENTRY_POINT = "cache_hits"
CHECK = "exact"
PROMPT = '''\
def cache_hits(requests: list[int], capacity: int) -> int:
    """Count the requests for a page that is in the cache at that time.

    The cache is empty at first and holds capacity >= 1 pages. Each requested page is in it
    afterwards; when it is full, the page whose last request is the longest ago makes room.
    There are at most 40,000 requests.

    >>> cache_hits([1, 2, 1, 3, 2], 2)
    1
    >>> cache_hits([5, 5, 5], 1)
    2
    """
'''
SIZES = ((15, 3), (2_000, 60), (9_000, 250), (40_000, 900))
EDGES: list[list[Any]] = [[[], 1], [[1, 2, 1, 2], 1], [[1, 2, 3, 1], 5], [[1, 1, 2, 2, 1], 2]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Even and skewed requests, a loop just too long, and a drifting set of pages."""
    count, capacity = SIZES[level]
    cases: list[list[Any]] = [
        [[rng.randrange(2 * capacity) for _ in range(count)], capacity],
        [[int(capacity * rng.paretovariate(0.8)) for _ in range(count)], capacity],
        [[i % (capacity + 1) for i in range(count)], capacity],
        [[i // 50 + rng.randrange(capacity) for i in range(count)], capacity],
    ]
    return [*EDGES, *cases] if level == 0 else cases


def naive(requests: list[int], capacity: int) -> int:
    """A list in the order of use, searched and shifted: O(capacity) a request."""
    pages: list[int] = []
    hits = 0
    for page in requests:
        if page in pages:
            hits += 1
            pages.remove(page)
        elif len(pages) == capacity:
            pages.pop(0)
        pages.append(page)
    return hits


def good(requests: list[int], capacity: int) -> int:
    """A table into a doubly linked list: O(1) a request."""
    links: dict[int, list[Any]] = {}
    ring: list[Any] = [None, None, None]  # page, older, newer; both ends meet here
    ring[1] = ring[2] = ring

    def leave(link: list[Any]) -> None:
        link[1][2], link[2][1] = link[2], link[1]

    def join(link: list[Any]) -> None:
        link[1], link[2] = ring[1], ring
        link[1][2] = link[2][1] = link

    hits = 0
    for page in requests:
        if page in links:
            hits += 1
            leave(links[page])
        else:
            if len(links) == capacity:
                oldest = ring[2]
                leave(oldest)
                del links[oldest[0]]
            links[page] = [page, None, None]
        join(links[page])
    return hits


def expert(requests: list[int], capacity: int) -> int:
    """The standard library's ordered table, whose links are kept outside the interpreter."""
    pages: OrderedDict[int, None] = OrderedDict()
    renew, expel = pages.move_to_end, pages.popitem
    hits = 0
    room = capacity
    for page in requests:
        if page in pages:
            hits += 1
            renew(page)
        else:
            pages[page] = None
            if room:
                room -= 1
            else:
                expel(False)
    return hits
