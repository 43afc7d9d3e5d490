"""MLPerf LoadGen's early stopping: how many queries a percentile claim needs.

With t queries over the bound (strictly), n = h + t queries are needed, h the least number with
P[Binomial(h + t, 1 - q + d) <= t] <= 1 - c (confidence c, tolerance d; LoadGen: 0.99 and 0). Needed
at t = 0, 1: p90 44, 64; p95 90, 130; p99 459, 662; p99.9 4603, 6636. A server run passes iff it has
that many for its t. The estimate of a single-stream percentile is ascending[n - t] for the largest
t >= 1 that n allows: the t - 1 highest are dropped.

Source: mlcommons/inference @ b66003e10e2d, ``early_stopping.cc`` and ``results.cc``. The binomial
terms are computed as by Loader 2000, "Fast and accurate computation of binomial probabilities":
differences of log-gammas lose the digits that decide n for millions of queries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from effmark.scores import _check


def early_stopping_queries(
    over_limit: int, q: float, *, confidence: float = 0.99, tolerance: float = 0.0
) -> int:
    """Return the least number of queries of which ``over_limit`` may exceed the bound."""
    t = _check.whole("over_limit", over_limit)
    share = _over_share(q, tolerance)
    doubt = 1 - _check.number("confidence", confidence, above=0, below=1)
    return _first(lambda n: _binomial_cdf(t, n, share) <= doubt, t + 1)


def early_stopping_passes(
    queries: int,
    over_limit: int,
    q: float,
    *,
    confidence: float = 0.99,
    tolerance: float = 0.0,
) -> bool:
    """Return whether so many queries, ``over_limit`` of them over the bound, prove the claim."""
    n = _check.whole("queries", queries)
    t = _check.whole("over_limit", over_limit, most=n)
    share = _over_share(q, tolerance)
    doubt = 1 - _check.number("confidence", confidence, above=0, below=1)
    return _binomial_cdf(t, n, share) <= doubt


def early_stopping_estimate(
    latencies_s: Sequence[float], q: float, *, confidence: float = 0.99
) -> float | None:
    """Return the upper estimate, in seconds, of the ``q`` percentile; None for too few queries."""
    ascending = sorted(_check.numbers("latencies_s", latencies_s, least=0))
    n = len(ascending)
    share = _over_share(q, 0.0)
    doubt = 1 - _check.number("confidence", confidence, above=0, below=1)
    refused = _first(lambda t: t > n or _binomial_cdf(t, n, share) > doubt, 1)
    allowed = refused - 1
    return float(ascending[n - allowed]) if allowed else None


def _over_share(q: float, tolerance: float) -> float:
    _check.number("q", q, above=0, below=1)
    _check.number("tolerance", tolerance, least=0)
    share = 1 - q + tolerance
    if share >= 1:
        raise ValueError(f"tolerance must be below q = {q!r}, got {tolerance!r}")
    return share


def _first(holds: Callable[[int], bool], least: int) -> int:
    """Return the least integer from ``least`` on for which a monotone condition holds."""
    step = 1
    while not holds(least + step - 1):
        step *= 2
    low, high = least + step // 2, least + step - 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _binomial_cdf(most: int, n: int, share: float) -> float:
    """Return P[Binomial(n, share) <= most], summed outwards from its largest term."""
    if most >= n:
        return 1.0
    odds = share / (1 - share)
    peak = min(most, int((n + 1) * share))
    largest = math.exp(_log_pmf(peak, n, share))
    terms = [largest]
    term = largest
    for k in range(peak, 0, -1):
        term *= k / ((n - k + 1) * odds)
        terms.append(term)
        if term <= largest * 1e-18:
            break
    term = largest
    for k in range(peak + 1, most + 1):
        term *= (n - k + 1) * odds / k
        terms.append(term)
        if term <= largest * 1e-18:
            break
    return math.fsum(terms)


def _log_pmf(k: int, n: int, share: float) -> float:
    if k == 0:
        return n * math.log1p(-share)
    if k == n:
        return n * math.log(share)
    excess = k - n * share
    deviance = k * math.log(k / (n * share)) + (n - k) * math.log1p(-excess / (n * (1 - share)))
    stirling = _stirling_error(n) - _stirling_error(k) - _stirling_error(n - k)
    return stirling - deviance + math.log(n / (2 * math.pi * k * (n - k))) / 2


def _stirling_error(n: int) -> float:
    """Return ln(n!) minus Stirling's approximation of it."""
    if n < 16:
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - math.log(2 * math.pi) / 2
    square = n * n
    return (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / square) / square) / square) / n
