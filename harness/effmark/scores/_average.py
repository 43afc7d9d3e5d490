"""Mean, median and spread with exactly rounded sums; the callers have refused empty input."""

from __future__ import annotations

import math
from collections.abc import Collection


def mean(values: Collection[float]) -> float:
    """Return the arithmetic mean."""
    return math.fsum(values) / len(values)


def median(values: Collection[float]) -> float:
    """Return the middle value, or the mean of the two middle ones."""
    ascending = sorted(values)
    half = len(ascending) // 2
    if len(ascending) % 2:
        return float(ascending[half])
    return (ascending[half - 1] + ascending[half]) / 2


def population_std(values: Collection[float]) -> float:
    """Return the standard deviation with divisor n."""
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / len(values))
