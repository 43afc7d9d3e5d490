"""Quantiles in the three definitions that serving benchmarks use, and the summary of a sample.

- ``linear``: between the two order statistics around (n - 1) q, as numpy (aiperf, genai-perf, vLLM)
- ``inverse_cdf``: least value whose cumulative share reaches q (GuideLLM), with 1e-9 of slack, so
  that p90 of 1..10 is 9; GuideLLM sums shares in floats and says 10 there
- ``loadgen``: ascending[floor(n q)], at most the last (MLPerf LoadGen)

The standard deviation is the population's (divisor n), as everywhere in this field. Name the
definition next to every number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from effmark.scores import _average, _check

METHODS = ("linear", "inverse_cdf", "loadgen")
SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Distribution:
    """Summary of a sample, in its unit; None where there is no value to summarise."""

    count: int
    """Number of values."""
    mean: float | None
    """Arithmetic mean."""
    std: float | None
    """Population standard deviation."""
    minimum: float | None
    """Smallest value."""
    maximum: float | None
    """Largest value."""
    total: float
    """Sum; 0 for no values."""


def quantile(
    values: Sequence[float],
    q: float,
    *,
    method: str = "linear",
    weights: Sequence[float] | None = None,
) -> float | None:
    """Return the ``q`` quantile, q in 0..1, in the unit of the values.

    Only ``inverse_cdf`` takes weights; items of weight 0 are dropped, and a total of 0 gives None.
    """
    _check.number("q", q, least=0, most=1)
    _check.option("method", method, METHODS)
    found = _check.numbers("values", values)
    if method == "inverse_cdf":
        return _inverse_cdf(found, q, weights)
    if weights is not None:
        raise ValueError(f"weights must be None unless method is 'inverse_cdf', got {method!r}")
    ascending = sorted(found)
    if method == "loadgen":
        return float(ascending[min(int(len(ascending) * q), len(ascending) - 1)])
    position = (len(ascending) - 1) * q
    below = int(position)
    above = min(below + 1, len(ascending) - 1)
    low, high = ascending[below], ascending[above]
    return float(low + (high - low) * (position - below))


def distribution(values: Sequence[float]) -> Distribution:
    """Return count, mean, spread, extremes and total; of nothing, a count of 0 and no values."""
    found = _check.numbers("values", values, empty=True)
    if not found:
        return Distribution(0, None, None, None, None, 0.0)
    return Distribution(
        count=len(found),
        mean=_average.mean(found),
        std=_average.population_std(found),
        minimum=float(min(found)),
        maximum=float(max(found)),
        total=math.fsum(found),
    )


def _inverse_cdf(
    values: Sequence[float], q: float, weights: Sequence[float] | None
) -> float | None:
    shares = [1.0] * len(values) if weights is None else weights
    _check.same_length("values", values, "weights", shares)
    heavy = _check.numbers("weights", shares, least=0)
    pairs = sorted((v, w) for v, w in zip(values, heavy, strict=True) if w > 0)
    total = math.fsum(weight for _, weight in pairs)
    reached = 0.0
    for value, weight in pairs:
        reached += weight
        if reached / total >= q - SLACK:
            return float(value)
    return float(pairs[-1][0]) if pairs else None
