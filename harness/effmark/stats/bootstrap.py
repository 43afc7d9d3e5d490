"""Resampling with reproducible draws, in pure Python; numpy does the same draws faster.

Seeds come from the data, so that a record always gets the same interval. Statistics are functions
of indices, so that pairs, ratios and groups resample together. `bca` corrects the percentile
interval for bias and skew (Efron 1987); `expanded` widens it for few units (Hesterberg, The
American Statistician 69(4), 2015), which two-level resampling of few processes needs.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Callable, Sequence
from random import Random
from statistics import fmean, median
from typing import Literal

from effmark.stats.arrays import numpy_for
from effmark.stats.dependence import batch_means, serial_inflation
from effmark.stats.distributions import normal_cdf, normal_quantile, t_quantile
from effmark.stats.estimate import Estimate, as_bytes, check_confidence, check_samples
from effmark.stats.quantiles import quantile

__all__ = [
    "block_bootstrap_interval",
    "bootstrap_interval",
    "hierarchical_interval",
    "seed_of",
]

RESAMPLES = 2000
_MOST_UNITS = 1000
"""Longer series are condensed to so many batch means first: cost bounded, dependence kept."""

Statistic = Callable[[Sequence[float]], float]


def seed_of(*samples: Sequence[float]) -> int:
    """Return a seed that only the samples decide."""
    return int.from_bytes(hashlib.sha256(as_bytes(*samples)).digest()[:8], "big")


def _indices(random: Random, n: int, count: int) -> list[int]:
    """Return `count` uniform indices below n (multiply-shift of 32 random bits)."""
    words = array("I", random.randbytes(4 * count))
    return [(word * n) >> 32 for word in words]


def _drawn_means(samples: Sequence[float], random: Random, resamples: int) -> list[float]:
    """Return the means of resamples: the same draws with numpy as without."""
    n = len(samples)
    numpy = numpy_for(n * resamples)
    if numpy is None:
        return [fmean([samples[i] for i in _indices(random, n, n)]) for _ in range(resamples)]
    values = numpy.asarray(samples, dtype=float)
    means = []
    for _ in range(resamples):
        words = numpy.frombuffer(random.randbytes(4 * n), dtype=numpy.uint32)
        means.append(float(values[(words.astype(numpy.uint64) * n) >> 32].mean()))
    return means


def bootstrap_interval(
    samples: Sequence[float],
    statistic: Statistic = fmean,
    confidence: float = 0.95,
    method: Literal["bca", "percentile", "expanded"] = "bca",
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return a statistic of independent samples with its bootstrap interval.

    Args:
        samples: finite numbers; more than 1,000 are condensed to batch means, which only suits
            means.
        statistic: of a sequence; `bca` wants a smooth one (a mean, a ratio), not a percentile.
        confidence: of the two-sided interval.
        method: `bca`, `percentile` or, for few samples, `expanded`.
        resamples: draws.
    """
    check_samples(samples)
    check_confidence(confidence)
    n, value = len(samples), statistic(samples)
    if n > _MOST_UNITS and statistic is fmean:
        samples = batch_means(samples, math.ceil(n / _MOST_UNITS))
    name = f"bootstrap, {method}"
    if n == 1:
        reason = "one sample; an interval needs 2"
        return Estimate(value, None, None, 1, name, confidence, None, reason)
    if min(samples) == max(samples):
        return Estimate(value, value, value, n, name, confidence, None, "constant samples")
    random = Random(seed_of(samples))
    size = len(samples)
    if statistic is fmean:
        draws = _drawn_means(samples, random, resamples)
    else:
        draws = [
            statistic([samples[i] for i in _indices(random, size, size)]) for _ in range(resamples)
        ]
    low, high = _tails(confidence, size, method, draws, value, samples, statistic)
    draws.sort()
    return Estimate(value, quantile(draws, low), quantile(draws, high), n, name, confidence)


def _tails(
    confidence: float,
    n: int,
    method: str,
    draws: Sequence[float],
    value: float,
    samples: Sequence[float],
    statistic: Statistic,
) -> tuple[float, float]:
    """Return the two quantiles of the draws that bound the interval."""
    tail = (1 - confidence) / 2
    if method == "percentile":
        return tail, 1 - tail
    if method == "expanded":
        tail = normal_cdf(math.sqrt(n / (n - 1)) * t_quantile(tail, n - 1))
        return tail, 1 - tail
    below = sum(d < value for d in draws) + 0.5 * sum(d == value for d in draws)
    share = min(max(below / len(draws), 1 / len(draws)), 1 - 1 / len(draws))
    bias, acceleration = normal_quantile(share), _acceleration(samples, statistic)

    def corrected(p: float) -> float:
        z = bias + normal_quantile(p)
        return normal_cdf(bias + z / max(1 - acceleration * z, 1e-9))

    return corrected(tail), corrected(1 - tail)


def _acceleration(samples: Sequence[float], statistic: Statistic) -> float:
    """Return BCa's acceleration: a sixth of the skewness of the jackknife values."""
    rows = list(samples)
    values = [statistic(rows[:i] + rows[i + 1 :]) for i in range(len(rows))]
    centre = fmean(values)
    cubes = math.fsum((centre - v) ** 3 for v in values)
    squares = math.fsum((centre - v) ** 2 for v in values)
    return cubes / (6 * squares**1.5) if squares > 0 else 0.0


def hierarchical_interval(
    processes: Sequence[Sequence[float]],
    statistic: Statistic = median,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return the mean over processes of a statistic of their blocks, resampled on both levels.

    The process is the independent unit (Kalibera and Jones, ISMM 2013): processes are drawn first,
    then blocks within each. Few processes get the expanded percentile interval; one gets none.

    Args:
        processes: the blocks of each process.
        statistic: of the blocks of one process.
        confidence: of the two-sided interval.
        resamples: draws.
    """
    check_confidence(confidence)
    if not processes:
        raise ValueError("processes: none, wants one or more")
    for index, blocks in enumerate(processes):
        check_samples(blocks, f"process {index}")
    value = fmean([statistic(blocks) for blocks in processes])
    n, name = len(processes), "hierarchical bootstrap over processes and blocks"
    if n == 1:
        reason = "one process; an interval over processes needs 2"
        return Estimate(value, None, None, 1, name, confidence, None, reason)
    random = Random(seed_of(*processes))
    draws = []
    for _ in range(resamples):
        chosen = [processes[i] for i in _indices(random, n, n)]
        draws.append(
            fmean(
                [
                    statistic([blocks[i] for i in _indices(random, len(blocks), len(blocks))])
                    for blocks in chosen
                ]
            )
        )
    draws.sort()
    tail = normal_cdf(math.sqrt(n / (n - 1)) * t_quantile((1 - confidence) / 2, n - 1))
    low, high = quantile(draws, tail), quantile(draws, 1 - tail)
    reason = "constant samples" if low == high else ""
    return Estimate(value, low, high, n, name, confidence, None, reason)


def block_bootstrap_interval(
    samples: Sequence[float],
    statistic: Statistic = fmean,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return a statistic of a series in time order with a circular moving-block bootstrap.

    Blocks are as long as the dependence: the variance inflation, rounded up, at least n^(1/3).
    """
    check_samples(samples)
    check_confidence(confidence)
    n, value = len(samples), statistic(samples)
    name = "moving-block bootstrap"
    if n < 2:
        reason = "one sample; an interval needs 2"
        return Estimate(value, None, None, n, name, confidence, None, reason)
    inflation = serial_inflation(samples)
    length = min(max(math.ceil(inflation), round(n ** (1 / 3)), 1), n)
    count = math.ceil(n / length)
    ring = [*samples, *samples[: length - 1]]
    random = Random(seed_of(samples))
    draws = []
    for _ in range(resamples):
        starts = _indices(random, n, count)
        drawn = [value for start in starts for value in ring[start : start + length]]
        draws.append(statistic(drawn[:n]))
    draws.sort()
    units = max(n / length, 2.0)
    tail = normal_cdf(math.sqrt(units / (units - 1)) * t_quantile((1 - confidence) / 2, units - 1))
    low, high = quantile(draws, tail), quantile(draws, 1 - tail)
    reason = "constant samples" if low == high else ""
    return Estimate(value, low, high, n, name, confidence, n / inflation, reason)
