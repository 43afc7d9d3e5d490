"""Large inputs through numpy where it is installed; the only door to it in this package.

Everything works without numpy. From `WORTHWHILE` numbers on, the import (about 0.1 s, once) pays.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

__all__ = ["WORTHWHILE", "ascending", "co_moment", "numpy_after", "numpy_for"]

WORTHWHILE = 50_000


@cache
def _installed() -> bool:
    return find_spec("numpy") is not None


def numpy_for(numbers_count: int) -> Any | None:
    """Return numpy where it pays for that many numbers and is there, else None."""
    if numbers_count < WORTHWHILE or not (("numpy" in sys.modules) or _installed()):
        return None
    import numpy

    return numpy


class _Wanted:
    """Counts the numbers that were to be drawn in this process."""

    count = 0


def numpy_after(numbers_count: int) -> Any | None:
    """Return numpy once what was asked for in this process adds up to where its import pays.

    For work that gives the same bits without numpy, so that nobody can tell when it was loaded.
    """
    _Wanted.count += numbers_count
    return numpy_for(max(_Wanted.count, WORTHWHILE if "numpy" in sys.modules else 0))


def ascending(samples: Sequence[float]) -> Sequence[float]:
    """Return the samples in rising order, as a new sequence of floats."""
    numpy = numpy_for(len(samples))
    if numpy is None:
        return sorted(samples)
    ordered: Sequence[float] = numpy.sort(numpy.asarray(samples, dtype=float))
    return ordered


def co_moment(a: Sequence[float], b: Sequence[float], mean_a: float, mean_b: float) -> float:
    """Return the sum of (a - mean of a) x (b - mean of b)."""
    numpy = numpy_for(len(a))
    if numpy is None:
        return math.fsum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    left, right = (numpy.asarray(side, dtype=float) for side in (a, b))
    return float(((left - mean_a) * (right - mean_b)).sum())
