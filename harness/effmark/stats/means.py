"""Means and rates: Student's t across independent units, Wilson's interval for shares."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from effmark.stats.arrays import co_moment
from effmark.stats.dependence import group_inflation, serial_inflation
from effmark.stats.distributions import normal_quantile, t_quantile
from effmark.stats.estimate import Estimate, check_confidence, check_samples

__all__ = ["mean_interval", "proportion_interval"]


def mean_interval(
    samples: Sequence[float],
    confidence: float = 0.95,
    *,
    groups: Sequence[Hashable] | None = None,
    serial: bool = False,
) -> Estimate:
    """Return the mean with Student's t interval; bounds are None for one sample.

    Args:
        samples: one or more finite numbers, in time order where `serial` is set; the means of
            processes where there are several processes.
        confidence: of the two-sided interval.
        groups: what each sample belongs to, where samples of a group are alike.
        serial: whether to allow for dependence between neighbours in time.
    """
    check_samples(samples)
    check_confidence(confidence)
    n = len(samples)
    mean = math.fsum(samples) / n
    if n == 1:
        return Estimate(
            mean, None, None, 1, "mean", confidence, None, "one sample; an interval needs 2"
        )
    inflation, units, dependent = 1.0, float(n), groups is not None or serial
    if groups is not None:
        inflation, units = group_inflation(samples, groups), float(len(set(groups)))
    elif serial:
        inflation = serial_inflation(samples)
        units = n / inflation
    worth = n / inflation if dependent else None
    variance = co_moment(samples, samples, mean, mean) / (n - 1)
    method = "Student's t" + (", dependence allowed for" if dependent else "")
    if units < 2:
        reason = f"{n} samples in one group; an interval needs 2 groups"
        return Estimate(mean, None, None, n, method, confidence, worth, reason)
    half = t_quantile((1 + confidence) / 2, units - 1) * math.sqrt(variance * inflation / n)
    reason = "constant samples" if variance == 0 else ""
    return Estimate(mean, mean - half, mean + half, n, method, confidence, worth, reason)


def proportion_interval(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """Return a share with Wilson's score interval (JASA 22, 1927); defined at 0 and n, too."""
    check_confidence(confidence)
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"proportion: {successes!r} of {n!r}, wants 0 <= successes <= n, n >= 1")
    share = successes / n
    z = normal_quantile((1 + confidence) / 2)
    shrink = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Estimate(share, low, high, n, "Wilson", confidence)
