"""Kendall's tau-b: how far two rankings agree, with ties.

tau_b = (C - D) / sqrt((n0 - n1) (n0 - n2)): C concordant and D discordant of the n0 = n (n - 1) / 2
pairs, n1 and n2 the pairs tied in either ranking. All counts are integers, so equal rankings give
exactly 1. Source: Kendall 1945, Biometrika 33(3); counted in O(n log n) as by Knight 1966.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Sequence

from effmark.scores import _check


def kendall_tau_b(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return tau-b in -1..1; None where either side is constant. Infinity ranks like a value."""
    _check.same_length("first", first, "second", second)
    x = _check.numbers("first", first, infinite=True)
    y = _check.numbers("second", second, infinite=True)
    points = sorted(zip(x, y, strict=True))
    pairs = math.comb(len(points), 2)
    untied_x, untied_y = pairs - _tied(x), pairs - _tied(y)
    if not untied_x or not untied_y:
        return None
    ordered = untied_x + untied_y - pairs + _tied(points)
    discordant = _inversions([value for _, value in points])
    return (ordered - 2 * discordant) / math.sqrt(untied_x * untied_y)


def _tied(values: Iterable[object]) -> int:
    return sum(math.comb(count, 2) for count in Counter(values).values())


def _inversions(values: Sequence[float]) -> int:
    seen: list[float] = []
    found = 0
    for value in values:
        found += len(seen) - bisect_right(seen, value)
        insort(seen, value)
    return found
