"""Medians and percentiles with intervals from order statistics: no assumption on the shape.

The number of samples below the true q-quantile is binomial, so a pair of order statistics bounds
it with a known probability, whatever the distribution. Interpolation between neighbours brings
that probability close to the stated one (Hettmansperger and Sheather 1986; Nyblom 1992, for any
quantile). Dependence enters where it matters: the indicator "sample <= quantile" decides, so the
distance of the ranks from the middle grows with the root of the inflation of that indicator
(Woodruff 1952).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from functools import lru_cache

from effmark.stats.arrays import ascending
from effmark.stats.dependence import FEWEST, group_inflation, quantile_inflation
from effmark.stats.distributions import binomial_cdf, normal_quantile, t_quantile
from effmark.stats.estimate import Estimate, TooFew, check_confidence, check_samples

__all__ = ["median_interval", "needed_samples", "percentile_interval", "quantile"]


def quantile(ordered: Sequence[float], q: float) -> float:
    """Return the q-quantile of samples in rising order, interpolated linearly (numpy's default)."""
    return _at_rank(ordered, 1 + q * (len(ordered) - 1))


def _at_rank(ordered: Sequence[float], rank: float) -> float:
    """Return the order statistic at a rank from 1 to n, between neighbours on a line."""
    below = min(max(math.floor(rank), 1), len(ordered))
    above = min(below + 1, len(ordered))
    low, high = float(ordered[below - 1]), float(ordered[above - 1])
    return low if low == high else low + (rank - below) * (high - low)


@lru_cache(maxsize=1024)
def needed_samples(q: float, confidence: float = 0.95) -> int:
    """Return from how many samples on a two-sided order-statistic interval of a quantile exists.

    36 for p90, 72 for p95, 368 for p99, 3,688 for p99.9 and 6 for the median, at 95 %.
    """
    if not 0 < q < 1:
        raise ValueError(f"quantile: {q!r} is not between 0 and 1")
    check_confidence(confidence)
    tail = (1 - confidence) / 2
    return math.ceil(math.log(tail) / math.log(max(q, 1 - q)))


def percentile_interval(
    samples: Sequence[float],
    q: float,
    confidence: float = 0.95,
    *,
    groups: Sequence[Hashable] | None = None,
    serial: bool = False,
) -> Estimate | TooFew:
    """Return a quantile with its interval, or how many samples it would need.

    Args:
        samples: finite numbers; in time order where `serial` is set.
        q: 0.9 for p90.
        confidence: of the two-sided interval.
        groups: what each sample belongs to, where samples of a group are alike (tokens of a
            request).
        serial: whether to allow for dependence between neighbours in time.
    """
    check_samples(samples)
    needed = needed_samples(q, confidence)
    name = f"p{100 * q:g}"
    if len(samples) < needed:
        return TooFew(len(samples), needed, name)
    estimate = _interval(samples, q, confidence, groups, serial)
    if estimate.low is None or estimate.high is None:
        worth = int(estimate.n_effective or len(samples))
        return TooFew(worth, max(needed, worth + 1), name)
    return estimate


def median_interval(
    samples: Sequence[float],
    confidence: float = 0.95,
    *,
    groups: Sequence[Hashable] | None = None,
    serial: bool = False,
) -> Estimate:
    """Return the median with an order-statistic interval; bounds are None below 6 samples.

    Args:
        samples: one or more finite numbers; in time order where `serial` is set.
        confidence: of the two-sided interval.
        groups: what each sample belongs to, where samples of a group are alike.
        serial: whether to allow for dependence between neighbours in time.
    """
    check_samples(samples)
    check_confidence(confidence)
    return _interval(samples, 0.5, confidence, groups, serial)


def cautious_half_width(samples: Sequence[float], confidence: float = 0.95) -> float | None:
    """Return a relative half-width of the median to stop by: no smaller than the reported one.

    Dependence is taken to be one standard error stronger than it seems; where samples are too few
    to see it, half their whole range counts. None where there are too few, or the median is 0.
    """
    ordered = ascending(samples)
    n, value = len(ordered), quantile(ordered, 0.5)
    if n < needed_samples(0.5, confidence) or value <= 0:
        return None
    if n < FEWEST:
        return float(ordered[-1] - ordered[0]) / 2 / value
    inflation = quantile_inflation(samples, value, caution=1.0)
    bounds = _stretched(ordered, 0.5, confidence, inflation, n / inflation)
    return None if bounds is None else (bounds[1] - bounds[0]) / 2 / value


def _interval(
    samples: Sequence[float],
    q: float,
    confidence: float,
    groups: Sequence[Hashable] | None,
    serial: bool,
) -> Estimate:
    ordered = ascending(samples)
    n, value = len(ordered), quantile(ordered, q)
    inflation, units = _inflation(samples, value, groups, serial)
    worth = n / inflation if groups is not None or serial else None
    method = "order statistics" + (", dependence allowed for" if worth is not None else "")
    needed = needed_samples(q, confidence)

    def without(reason: str) -> Estimate:
        return Estimate(value, None, None, n, method, confidence, worth, reason)

    if n == 1:
        return without(f"one sample; an interval needs {needed}")
    if n < needed:
        return without(f"{n} samples; an interval needs {needed}")
    if ordered[0] == ordered[-1]:
        bound = float(ordered[0])
        return Estimate(bound, bound, bound, n, method, confidence, worth, "constant samples")
    bounds = _stretched(ordered, q, confidence, inflation, units)
    if bounds is None:
        return without(f"{n} dependent samples are worth {n / inflation:.1f}; too few")
    return Estimate(value, *bounds, n, method, confidence, worth)


def _stretched(
    ordered: Sequence[float], q: float, confidence: float, inflation: float, units: float
) -> tuple[float, float] | None:
    """Return the bounds of a quantile of dependent samples, None where ranks leave the range."""
    n = len(ordered)
    low, high = _ranks(n, q, confidence)
    if inflation > 1:
        stretch = math.sqrt(inflation) * _student_stretch(confidence, units)
        centre = n * q + 0.5
        low, high = centre - (centre - low) * stretch, centre + (high - centre) * stretch
    if low < 1 or high > n:
        return None
    return _at_rank(ordered, low), _at_rank(ordered, high)


def _inflation(
    samples: Sequence[float], value: float, groups: Sequence[Hashable] | None, serial: bool
) -> tuple[float, float]:
    """Return the inflation of the indicator of a quantile, and the independent units behind it."""
    if groups is None and not serial:
        return 1.0, math.inf
    if groups is not None:
        below = [1.0 if sample <= value else 0.0 for sample in samples]
        return group_inflation(below, groups), float(len(set(groups)))
    inflation = quantile_inflation(samples, value)
    return inflation, len(samples) / inflation


def _student_stretch(confidence: float, units: float) -> float:
    """Return by how much an estimated inflation widens the interval: Student's t over normal."""
    p = (1 + confidence) / 2
    return t_quantile(p, max(1.0, units - 1)) / normal_quantile(p)


@lru_cache(maxsize=8192)
def _ranks(n: int, q: float, confidence: float) -> tuple[float, float]:
    """Return the interpolated lower and upper rank, 1 to n, that bound a quantile."""
    tail = (1 - confidence) / 2
    return _lower_rank(n, q, tail), n + 1 - _lower_rank(n, 1 - q, tail)


def _lower_rank(n: int, q: float, tail: float) -> float:
    """Return the rank below which the quantile lies with probability `tail` (Nyblom 1992)."""
    rank = _largest_rank(n, q, tail)
    below, above = binomial_cdf(rank - 1, n, q), binomial_cdf(rank, n, q)
    if tail <= below or rank >= n:
        return float(rank)
    odds = rank * (1 - q) * (above - tail) / ((n - rank) * q * (tail - below))
    return rank + 1 / (1 + odds)


def _largest_rank(n: int, q: float, tail: float) -> int:
    """Return the largest rank r >= 1 with P(fewer than r samples below the quantile) <= tail."""
    low, high = 1, n
    while low < high:
        middle = (low + high + 1) // 2
        if binomial_cdf(middle - 1, n, q) <= tail:
            low = middle
        else:
            high = middle - 1
    return low
