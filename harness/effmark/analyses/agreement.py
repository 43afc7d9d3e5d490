"""Rank agreement of two lists, with intervals: Spearman's rho and Kendall's tau-b.

Intervals are Fisher's transform with the standard errors of Bonett and Wright (Psychometrika 65(1),
2000): sqrt((1 + r^2 / 2) / (n - 3)) for Spearman, sqrt(0.437 / (n - 4)) for Kendall. They are good
to about 0.95 for |rho| < 0.95, |tau| < 0.8 and n >= 10; below `FEWEST` points there is none.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

from effmark.scores import kendall_tau_b
from effmark.stats import Estimate
from effmark.stats.distributions import normal_quantile

__all__ = ["FEWEST", "kendall", "spearman"]

FEWEST = 6


def spearman(x: Sequence[float], y: Sequence[float], confidence: float = 0.95) -> Estimate | None:
    """Return Spearman's rho, ties at their mean rank; None where either side is constant."""
    rho = _pearson(_mid_ranks(x), _mid_ranks(y))
    if rho is None:
        return None
    n = len(x)
    error = math.sqrt((1 + rho * rho / 2) / (n - 3)) if n >= FEWEST else None
    return _with_interval(rho, error, n, "Fisher's z, Bonett and Wright", confidence)


def kendall(x: Sequence[float], y: Sequence[float], confidence: float = 0.95) -> Estimate | None:
    """Return Kendall's tau-b; None where either side is constant."""
    tau = kendall_tau_b(x, y)
    if tau is None:
        return None
    error = math.sqrt(0.437 / (len(x) - 4)) if len(x) >= FEWEST else None
    return _with_interval(tau, error, len(x), "Fisher's z, Bonett and Wright", confidence)


def _with_interval(
    value: float, error: float | None, n: int, method: str, confidence: float
) -> Estimate:
    if error is None:
        reason = f"{n} points; an interval needs {FEWEST}"
        return Estimate(value, None, None, n, method, confidence, None, reason)
    if abs(value) >= 1:
        # Fisher's z is infinite: what is left is that fewer than all orders were seen.
        return Estimate(value, None, None, n, method, confidence, None, "a perfect order")
    z, half = math.atanh(value), normal_quantile((1 + confidence) / 2) * error
    return Estimate(value, math.tanh(z - half), math.tanh(z + half), n, method, confidence)


def _mid_ranks(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    return [(bisect.bisect_left(ordered, v) + bisect.bisect_right(ordered, v) + 1) / 2
            for v in values]  # fmt: skip


def _pearson(x: Sequence[float], y: Sequence[float]) -> float | None:
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    xx = math.fsum((a - mean_x) ** 2 for a in x)
    yy = math.fsum((b - mean_y) ** 2 for b in y)
    if xx == 0 or yy == 0:
        return None
    xy = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return max(-1.0, min(1.0, xy / math.sqrt(xx * yy)))
