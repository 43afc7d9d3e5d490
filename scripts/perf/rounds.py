"""Rounds: everything that is compared runs once per round, in random order, side by side.

Load that comes and goes meets all alike, so ratios within rounds survive it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from effmark.stats import Estimate, median_interval

__all__ = ["known", "median_of", "ratio_of", "run_rounds"]


def run_rounds(
    tasks: Mapping[str, Callable[[int], float]], least: int, most: int = 0, budget_s: float = 0.0
) -> dict[str, list[float]]:
    """Return what each task measured, one number per round.

    Args:
        tasks: Measure and return a number, given the number of the round.
        least: Rounds that are run in any case.
        most: Rounds that are never exceeded; `least` where smaller.
        budget_s: Rounds begin until so many seconds have passed.
    """
    found: dict[str, list[float]] = {name: [] for name in tasks}
    order = random.Random(len(tasks))
    start = time.monotonic()
    number = 0
    while number < least or (number < most and time.monotonic() - start < budget_s):
        names = list(tasks)
        order.shuffle(names)
        for name in names:
            found[name].append(tasks[name](number))
        number += 1
    return found


def median_of(values: Sequence[float]) -> Estimate:
    """Return the median with its interval by order statistics; without one below 6 values."""
    return median_interval(values)


def ratio_of(above: Sequence[float], below: Sequence[float]) -> Estimate:
    """Return the median of the ratios of each round, with its interval."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    return replace(median_interval(ratios), method="median of paired ratios")


def known(value: float, n: int = 1) -> Estimate:
    """Return a number that has no interval: a count, or one that simulation gave."""
    return Estimate(value, None, None, n, "counted", 0.95)
