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

__all__ = ["WORTHWHILE", "ascending", "co_moment", "numpy_for"]

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
