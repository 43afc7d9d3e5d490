"""A ring of cells that follow a rule."""

from random import Random
from typing import Any

TECHNIQUE = "bit-parallel simulation"
ENTRY_POINT = "rule_steps"
CHECK = "exact"
PROMPT = '''\
def rule_steps(cells: str, rule: int, steps: int) -> str:
    """Return the ring of cells after the given number of steps.

    A cell is "0" or "1". In a step every cell looks at itself and its two neighbours, reads
    left-own-right as a binary number v from 0 to 7, and becomes bit v (of value 2**v) of
    rule, 0 <= rule < 256. The first and the last cell are neighbours. There are 3 to 80
    cells and at most 12,000 steps.

    >>> rule_steps("00100", 90, 1)
    '01010'
    >>> rule_steps("0010011", 204, 9)
    '0010011'
    """
'''
SIZES = ((9, 5), (30, 500), (50, 2_000), (80, 12_000))
EDGES: list[list[Any]] = [["000", 1, 1], ["101", 30, 0], ["111", 128, 4], ["1000", 2, 6]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Rules that grow, mix and move patterns, on random and almost empty rings."""
    size, steps = SIZES[level]
    cases: list[list[Any]] = []
    for rule in (30, 110, 150, rng.randrange(256)):
        ring = "".join(rng.choices("01", k=size))
        cases.append([ring, rule, steps - rng.randrange(3)])
    cases[0][0] = "1" + "0" * (size - 1)
    return [*EDGES, *cases] if level == 0 else cases


def naive(cells: str, rule: int, steps: int) -> str:
    """Build each ring as a text, cell by cell."""
    size = len(cells)
    for _ in range(steps):
        following = ""
        for i in range(size):
            view = cells[i - 1] + cells[i] + cells[(i + 1) % size]
            following += "1" if rule >> int(view, 2) & 1 else "0"
        cells = following
    return cells


def good(cells: str, rule: int, steps: int) -> str:
    """The same on numbers, with a table of the rule and a sliding view."""
    table = [rule >> view & 1 for view in range(8)]
    ring = [int(cell) for cell in cells]
    for _ in range(steps):
        view = 2 * ring[-1] + ring[0]
        following = []
        for cell in [*ring[1:], ring[0]]:
            view = (2 * view + cell) & 7
            following.append(table[view])
        ring = following
    return "".join(map(str, ring))


def expert(cells: str, rule: int, steps: int) -> str:
    """All cells at once, as the bits of one integer: O(steps * size / 64).

    The rule is written as a sum (exclusive or) of products of the three neighbours.
    """
    size = len(cells)
    full = (1 << size) - 1
    # Coefficient v of the sum of products: the exclusive or of the rule below v.
    terms = [sum(rule >> view & 1 for view in range(8) if view & ~v == 0) % 2 for v in range(8)]
    constant = full if terms[0] else 0
    own = int(cells, 2)
    for _ in range(steps):
        left = own >> 1 | (own & 1) << size - 1
        right = (own << 1 | own >> size - 1) & full
        following = constant
        if terms[1]:
            following ^= right
        if terms[2]:
            following ^= own
        if terms[3]:
            following ^= own & right
        if terms[4]:
            following ^= left
        if terms[5]:
            following ^= left & right
        if terms[6]:
            following ^= left & own
        if terms[7]:
            following ^= left & own & right
        own = following
    return format(own, f"0{size}b")
