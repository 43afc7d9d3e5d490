"""How many independent samples a series is worth.

Blocks of one process, requests in a queue and tokens of a stream are not independent: the
variance of their mean is `inflation` times that of independent samples, and n samples are worth
n / inflation. For a series in time order the inflation is 1 + 2 x the sum of the autocorrelations
(Geyer's initial positive sequence, Statistical Science 7(4), 1992), each corrected for the bias
of a finite series; for samples in groups it is the variance of group sums over that of as many
independent samples (the design effect; Kish 1965).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

__all__ = ["batch_means", "effective_n", "group_inflation", "serial_inflation"]

_LAGS_PER_SAMPLE = 1 / 3
"""Autocorrelations beyond a third of the series are noise."""
_MOST_LAGS = 200
_MOST_VALUES = 20_000
"""Longer series are averaged in batches first; the inflation is then read from the batches."""


def serial_inflation(values: Sequence[float]) -> float:
    """Return the variance inflation of the mean of a series in time order, 1 or more."""
    n = len(values)
    if n < 4:
        return 1.0
    if n > _MOST_VALUES:
        return _of_long(values)
    mean = math.fsum(values) / n
    centred = [v - mean for v in values]
    variance = math.fsum(c * c for c in centred) / n
    if variance <= 0:
        return 1.0
    total = _initial_positive_sum(centred, variance)
    return max(1.0, min(total, n / 2))


def _initial_positive_sum(centred: Sequence[float], variance: float) -> float:
    """Return 1 + 2 sum rho_k, summed over pairs of lags until a pair is not positive."""
    n = len(centred)
    lags = min(_MOST_LAGS, max(2, int(n * _LAGS_PER_SAMPLE)))
    rho = [1.0]
    total, previous = -1.0, math.inf
    for lag in range(1, lags + 1, 2):
        rho.append(_autocorrelation(centred, variance, lag))
        pair = min(rho[lag - 1] + rho[lag], previous)
        if pair <= 0:
            break
        total, previous = total + 2 * pair, pair
        rho.append(_autocorrelation(centred, variance, lag + 1))
    # An estimated mean pulls every autocorrelation down by about inflation / n (Marriott and
    # Pope 1954); undone on the sum, of which about sqrt(n) lags took part.
    return total / max(0.2, 1 - total / n)


def _autocorrelation(centred: Sequence[float], variance: float, lag: int) -> float:
    n = len(centred)
    products = math.fsum(a * b for a, b in zip(centred, centred[lag:], strict=False))
    rho = products / (n * variance)
    return rho + (1 + 4 * max(rho, 0.0)) / n if lag == 1 else rho + 1 / n


def _of_long(values: Sequence[float]) -> float:
    """Return the inflation of a long series from the spread of its batch means."""
    size = math.ceil(len(values) / _MOST_VALUES)
    means = batch_means(values, size)
    mean = math.fsum(values) / len(values)
    variance = math.fsum((v - mean) * (v - mean) for v in values) / len(values)
    if variance <= 0:
        return 1.0
    of_means = math.fsum((m - mean) ** 2 for m in means) / len(means)
    return max(1.0, serial_inflation(means) * of_means * size / variance)


def group_inflation(values: Sequence[float], groups: Sequence[Hashable]) -> float:
    """Return the variance inflation of the mean of samples that come in groups, 1 or more."""
    if len(values) != len(groups):
        raise ValueError(f"groups: {len(groups)} for {len(values)} samples, wants one each")
    n = len(values)
    mean = math.fsum(values) / n
    sums: dict[Hashable, float] = {}
    square = 0.0
    for value, group in zip(values, groups, strict=True):
        sums[group] = sums.get(group, 0.0) + value - mean
        square += (value - mean) ** 2
    count = len(sums)
    if count < 2 or square <= 0:
        return 1.0
    between = math.fsum(s * s for s in sums.values()) * count / (count - 1)
    return max(1.0, between / square)


def effective_n(values: Sequence[float]) -> float:
    """Return how many independent samples a series in time order is worth, at most n."""
    return len(values) / serial_inflation(values)


def batch_means(values: Sequence[float], size: int) -> list[float]:
    """Return the means of consecutive batches of `size`; what is left over at the end is dropped.

    Dropping keeps the batches equally precise; a series shorter than one batch gives none.
    """
    if size < 1:
        raise ValueError(f"batch size: {size!r}, wants 1 or more")
    whole = len(values) // size
    return [math.fsum(values[i * size : (i + 1) * size]) / size for i in range(whole)]
