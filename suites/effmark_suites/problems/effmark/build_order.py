"""An order in which everything can be built."""

from collections import deque
from random import Random
from typing import Any

TECHNIQUE = "topological order"
ENTRY_POINT = "build_order"
CHECK = "program"
PROMPT = '''\
def build_order(parts: int, needs: list[list[int]]) -> list[int]:
    """Return the parts 0 .. parts - 1 in an order in which they can be built.

    [a, b] in needs says that a can be built only after b; a pair may occur twice. Any order
    that respects all needs is right. If there is none, return an empty list. There are at
    most 5,000 parts and 15,000 needs.

    >>> build_order(3, [[0, 1], [1, 2]])
    [2, 1, 0]
    >>> build_order(2, [[0, 1], [1, 0]])
    []
    """
'''
SIZES = (8, 300, 1_200, 5_000)
EDGES: list[list[Any]] = [[0, []], [1, []], [1, [[0, 0]]], [4, [[3, 0], [3, 0], [0, 2]]]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Random needs, long chains, and one circle."""
    size = SIZES[level]
    cases: list[list[Any]] = []
    for reach in (size, 60, 30, size):
        names = rng.sample(range(size), size)
        needs = []
        for i in range(1, size):
            for _ in range(3):
                needs.append([names[i], names[rng.randrange(max(0, i - reach), i)]])
        rng.shuffle(needs)
        cases.append([size, needs])
    first, last = cases[3][1][0]
    cases[3][1].append([last, first])
    return [*EDGES, *cases] if level == 0 else cases


def check(args: list[Any], expected: Any, output: Any) -> bool:
    """Say whether the order holds every part once and respects every need."""
    parts, needs = args
    if not isinstance(output, list) or any(type(part) is not int for part in output):
        return False
    if not expected:
        return not output
    if sorted(output) != list(range(parts)):
        return False
    place = {part: i for i, part in enumerate(output)}
    return all(place[after] > place[before] for after, before in needs)


def naive(parts: int, needs: list[list[int]]) -> list[int]:
    """Go through the needs again for every generation of parts: O(depth * needs)."""
    order: list[int] = []
    left = set(range(parts))
    while left:
        waiting = {after for after, before in needs if before in left}
        ready = [part for part in left if part not in waiting]
        if not ready:
            return []
        order += ready
        left.difference_update(ready)
    return order


def good(parts: int, needs: list[list[int]]) -> list[int]:
    """Count what each part still waits for: O(parts + needs)."""
    waiting_for: dict[int, set[int]] = {part: set() for part in range(parts)}
    enables: dict[int, set[int]] = {part: set() for part in range(parts)}
    for after, before in needs:
        waiting_for[after].add(before)
        enables[before].add(after)
    queue = deque(part for part in range(parts) if not waiting_for[part])
    order = []
    while queue:
        part = queue.popleft()
        order.append(part)
        for after in enables[part]:
            waiting_for[after].remove(part)
            if not waiting_for[after]:
                queue.append(after)
    return order if len(order) == parts else []


def expert(parts: int, needs: list[list[int]]) -> list[int]:
    """Plain counters and lists, the order itself being the queue: O(parts + needs)."""
    enables: list[list[int]] = [[] for _ in range(parts)]
    missing = [0] * parts
    for after, before in needs:
        missing[after] += 1
        enables[before].append(after)
    order = [part for part in range(parts) if not missing[part]]
    add = order.append
    for part in order:
        for after in enables[part]:
            missing[after] -= 1
            if not missing[after]:
                add(after)
    return order if len(order) == parts else []
