"""A number that wants a rank: its value, its error, and draws that compare with those of others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from effmark.samples import Samples
from effmark.stats.distributions import normal_quantile, t_quantile

__all__ = ["CONFIDENCE", "Contender", "few_samples", "sampling_error", "spread"]

CONFIDENCE = 0.95
_Z = normal_quantile((1 + CONFIDENCE) / 2)


@dataclass(frozen=True, slots=True)
class Contender:
    """A number that wants a rank."""

    value: float
    error: float | None = None
    """Standard error in the unit of the value; None where nothing is known of it."""
    draws: Sequence[float] = ()
    """Bootstrap draws of the value, comparable draw by draw with others of the same `items`."""
    items: str = ""
    """What the draws resampled: a text, a task; empty where the number stands alone."""


def sampling_error(
    low: float | None, high: float | None, samples: Samples | None, *, exact: bool = False
) -> float | None:
    """Return the standard error of a number in its unit, or None where nothing is known of it.

    Args:
        low: bound of the 95 % interval, where there is one; it already knows of dependence.
        high: the other bound.
        samples: raw samples, for numbers with too few of them for an interval of their own; the
            error is then that of their mean, widened as Student's t wants.
        exact: whether the number was counted, not sampled.
    """
    if low is not None and high is not None and math.isfinite(high - low):
        return (high - low) / (2 * _Z)
    if exact:
        return 0.0
    if samples is None or samples.estimator == "max" or len(samples.values) < 2:
        return None
    values = samples.per_sample
    return spread(values, 1) / math.sqrt(len(values)) * few_samples(len(values))


def spread(values: Sequence[float], fewer: int = 0) -> float:
    """Return the standard deviation; `statistics` has the same 50 times slower, by fractions.

    Args:
        values: more than `fewer` numbers.
        fewer: what the sum of squares is divided by less than their number.
    """
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - fewer))


def few_samples(n: int) -> float:
    """Return by how much n samples widen a normal interval."""
    return t_quantile((1 + CONFIDENCE) / 2, n - 1) / _Z
