"""How many independent samples a series is worth.

Blocks of one process, requests in a queue and tokens of a stream are not independent: the
variance of their mean is `inflation` times that of independent samples, and n samples are worth
n / inflation. Two estimates see different kinds of dependence, and the larger one counts:

* 1 + 2 x the sum of the autocorrelations (Geyer's initial positive sequence, Statistical Science
  7(4), 1992): any shape, but noisy;
* a first-order autoregression fitted to the ranks: little noise, right for short memory.

Both correct for the bias of a finite series. For samples in groups it is the variance of group
sums over that of as many independent samples (the design effect; Kish 1965).
Below `FEWEST` samples dependence cannot be told from chance, and independence is assumed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence

__all__ = [
    "batch_means",
    "effective_n",
    "group_inflation",
    "quantile_inflation",
    "serial_inflation",
]

FEWEST = 20
"""With fewer samples a test of dependence has no power, and allowing for it costs too much."""
_NEGLIGIBLE = 1e-3
_LAGS_PER_SAMPLE = 1 / 3
"""Autocorrelations beyond a third of the series are noise."""
_MOST_LAGS = 200
_MOST_VALUES = 20_000
"""Longer series are averaged in batches first; the inflation is then read from the batches."""


def serial_inflation(values: Sequence[float]) -> float:
    """Return the variance inflation of the mean of a series in time order, 1 or more."""
    n = len(values)
    if n < FEWEST:
        return 1.0
    if n > _MOST_VALUES:
        return _of_long(values)
    rho = rank_autocorrelation(values)
    return max(autocorrelation_sum(values), min((1 + rho) / (1 - rho), n / 2))


def quantile_inflation(values: Sequence[float], quantile: float, caution: float = 0.0) -> float:
    """Return the variance inflation of the share of samples up to a quantile, 1 or more.

    For normal scores of correlation rho, being on the same side of the median correlates by
    2 / pi x arcsin(rho); for other quantiles by less, so this errs on the wide side.

    Args:
        values: in time order.
        quantile: where the samples are divided.
        caution: standard errors by which the correlation is taken to be stronger than it seems.
    """
    n = len(values)
    if n < FEWEST:
        return 1.0
    below = [1.0 if value <= quantile else 0.0 for value in values]
    if n > _MOST_VALUES:
        return _of_long(below)
    rho = power = min(rank_autocorrelation(values) + caution / math.sqrt(n), 0.99)
    total = 1.0
    while power > _NEGLIGIBLE:
        total += 4 / math.pi * math.asin(power)
        power *= rho
    return max(autocorrelation_sum(below), min(total, n / 2))


def rank_autocorrelation(values: Sequence[float]) -> float:
    """Return the lag-1 autocorrelation of the ranks, corrected for bias, from 0 to 0.99."""
    n = len(values)
    order = sorted(range(n), key=values.__getitem__)
    ranks = [0.0] * n
    for rank, index in enumerate(order):
        ranks[index] = rank - (n - 1) / 2
    if values[order[0]] == values[order[-1]]:
        return 0.0
    square = n * (n * n - 1) / 12
    rho = math.fsum(a * b for a, b in itertools.pairwise(ranks)) / square
    return min(max(rho + (1 + 4 * max(rho, 0.0)) / n, 0.0), 0.99)


def autocorrelation_sum(values: Sequence[float]) -> float:
    """Return 1 + 2 x the sum of the autocorrelations that belong to the signal, 1 or more."""
    n = len(values)
    mean = math.fsum(values) / n
    centred = [v - mean for v in values]
    variance = math.fsum(c * c for c in centred) / n
    if variance <= 0:
        return 1.0
    return max(1.0, min(_initial_positive_sum(centred, variance), n / 2))


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
    """Return the variance inflation of the mean of samples that come in groups, 1 or more.

    Groups are in time order and may depend on their neighbours; one group is taken as a series.
    """
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
    if square <= 0:
        return 1.0
    if count < 2:
        return serial_inflation(values)
    between = math.fsum(s * s for s in sums.values()) * count / (count - 1)
    return max(1.0, between / square) * serial_inflation(list(sums.values()))


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
