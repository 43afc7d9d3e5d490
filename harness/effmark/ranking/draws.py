"""Paired bootstrap over the raw samples: the same resampled items for all that shared them.

Two models that answered the same questions share the questions, and two configurations whose
blocks took turns share the moments: what is hard, or slow, for both then cancels. Blocks of time
are drawn in runs of neighbours, because neighbours resemble each other (circular block bootstrap;
Politis and Romano 1992).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from functools import lru_cache
from random import Random
from statistics import median
from typing import Any

from effmark.ranking.contender import few_samples
from effmark.samples import Samples
from effmark.stats.arrays import numpy_for

__all__ = ["DRAWS", "paired_draws"]

DRAWS = 200
"""Paired draws per number: the standard error of a difference is then known to 5 %."""
_MOST_ITEMS = 1000
"""More items are pooled in neighbouring groups first, the same groups for all rows."""
_MOST_TABLE_B = 2**24


def paired_draws(samples: Samples, items: str, draws: int = DRAWS) -> list[float]:
    """Return bootstrap draws of the value of samples; equal `items` draw the same indices.

    The spread of the draws is widened for few items (Hesterberg, The American Statistician 69(4),
    2015), which a bootstrap of n items otherwise understates by sqrt((n - 1) / n) and the tails.

    Args:
        samples: of a median, a mean or a ratio of sums; one per item, in order.
        items: what identifies the items.
        draws: how many.
    """
    if samples.estimator == "median":
        return _drawn_medians(samples, items, draws)
    found = _drawn_ratios(samples, items, draws)
    return [math.exp(d) for d in found] if samples.estimator == "exp_ratio" else found


def _drawn_medians(samples: Samples, items: str, draws: int) -> list[float]:
    values = [median(chunk) for chunk in _pooled(samples.values)]
    drawn = _resamples(items, len(values), draws, _run(samples, len(values)))
    medians = [median([values[i] for i in indices]) for indices in drawn]
    return _widened(median(samples.values), medians, len(values))


def _drawn_ratios(samples: Samples, items: str, draws: int) -> list[float]:
    weights = samples.weights if samples.weights is not None else [1.0] * len(samples.values)
    above = [math.fsum(chunk) for chunk in _pooled(samples.values)]
    below = [math.fsum(chunk) for chunk in _pooled(weights)]
    how = (items, len(above), draws, _run(samples, len(above)))
    ratios = [a / b for a, b in zip(_sums(above, how), _sums(below, how), strict=True)]
    return _widened(_ratio(above, below), ratios, len(above))


def _widened(value: float, drawn: Sequence[float], n: int) -> list[float]:
    if n < 2:
        return [value] * len(drawn)
    stretch = math.sqrt(n / (n - 1)) * few_samples(n)
    return [value + (d - value) * stretch for d in drawn]


def _pooled(values: Sequence[float]) -> list[Sequence[float]]:
    size = max(1, math.ceil(len(values) / _MOST_ITEMS))
    return [values[i : i + size] for i in range(0, len(values), size)]


def _run(samples: Samples, n: int) -> int:
    """Return how many neighbours are drawn together: one where order means nothing."""
    return max(1, round(n ** (1 / 3))) if samples.serial else 1


def _ratio(values: Sequence[float], weights: Sequence[float]) -> float:
    below = math.fsum(weights)
    return math.fsum(values) / below if below else 0.0


_How = tuple[str, int, int, int]
"""Items, their number, the number of draws, neighbours drawn together."""


def _sums(values: Sequence[float], how: _How) -> list[float]:
    """Return the sum of every resample of the values."""
    _, n, draws, _ = how
    numpy = numpy_for(n * draws)
    if numpy is None or n * draws * 8 > _MOST_TABLE_B:
        return [sum(map(values.__getitem__, drawn)) for drawn in _resamples(*how)]
    sums: list[float] = (_counts(how) @ numpy.asarray(values, dtype=float)).tolist()
    return sums


@lru_cache(maxsize=8)
def _counts(how: _How) -> Any:
    """Return how often each resample drew each item, as an array [draws, n]."""
    _, n, draws, _ = how
    numpy = numpy_for(n * draws)
    assert numpy is not None
    drawn = (numpy.bincount(row, minlength=n) for row in _resamples(*how))
    return numpy.stack(list(drawn)).astype(float)


@lru_cache(maxsize=32)
def _resamples(items: str, n: int, draws: int, run: int) -> list[list[int]]:
    """Return the indices of every draw: uniform starts below n, from 32 random bits each."""
    random = Random(f"{items} {n}")
    starts_count = -(-n // run)
    found = []
    for _ in range(draws):
        words = array("I", random.randbytes(4 * starts_count))
        starts = [(word * n) >> 32 for word in words]
        found.append([(start + k) % n for start in starts for k in range(run)][:n])
    return found
