"""The few distributions that intervals need, in pure Python, exact to 1e-5 and mostly far better.

The regularised incomplete beta function (continued fraction, Lentz's method) gives the binomial
and Student's t distribution; the standard library gives the normal one.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

__all__ = [
    "beta_cdf",
    "binomial_cdf",
    "normal_cdf",
    "normal_quantile",
    "t_cdf",
    "t_quantile",
]

_NORMAL = NormalDist()
_TINY = 1e-300
_PRECISION = 1e-14
_MOST_TERMS = 100_000
_MOST_STEPS = 500
_NORMAL_FROM_DF = 1e6
"""From here on Student's t is the normal distribution in all printed digits."""


def normal_cdf(x: float) -> float:
    """Return P(Z <= x) of a standard normal Z."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def normal_quantile(p: float) -> float:
    """Return z with P(Z <= z) = p."""
    return _NORMAL.inv_cdf(p)


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), a and b above 0."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    return math.exp(log_front) * _continued_fraction(x, a, b) / a


def _continued_fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            result *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return result


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def binomial_cdf(k: int, n: int, p: float) -> float:
    """Return P(K <= k) of a binomial K with n draws of probability p."""
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    return beta_cdf(1 - p, n - k, k + 1)


def t_cdf(t: float, df: float) -> float:
    """Return P(T <= t) of Student's t with df degrees of freedom, df above 0."""
    if df >= _NORMAL_FROM_DF:
        return normal_cdf(t)
    tail = 0.5 * beta_cdf(df / (df + t * t), df / 2, 0.5)
    return 1 - tail if t > 0 else tail


@lru_cache(maxsize=4096)
def t_quantile(p: float, df: float) -> float:
    """Return t with P(T <= t) = p, for df above 0."""
    if df >= _NORMAL_FROM_DF:
        return normal_quantile(p)
    if p == 0.5:
        return 0.0
    if p < 0.5:
        return -t_quantile(1 - p, df)
    z = normal_quantile(p)
    # Cornish and Fisher's expansion lies close; Newton's steps end it. On the right of 0 the
    # distribution function is concave, so a step from the left never leaves the root behind.
    t = z + (z**3 + z) / (4 * df) if df >= 3 else z
    for _ in range(_MOST_STEPS):
        step = (p - t_cdf(t, df)) / _t_density(t, df)
        t += step
        if abs(step) <= 1e-11 * t:
            break
    return t


def _t_density(t: float, df: float) -> float:
    front = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    return math.exp(front - (df + 1) / 2 * math.log1p(t * t / df))
