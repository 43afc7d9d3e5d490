"""Ratios with intervals: of sums, of medians, of pairs.

A ratio of sums R = sum(a) / sum(b) has Fieller's interval (J. R. Stat. Soc. B 16, 1954): all r for
which Student's t does not reject mean(a - r b) = 0. It is the exact inversion of that test, so the
interval leaves out 1 precisely when the paired test rejects equality. A ratio of medians of two
independent series has the exact bootstrap: the median of a resample is an order statistic whose
rank is known in distribution, so no resample is ever drawn (smoothed between neighbours).
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Hashable, Sequence
from random import Random

from effmark.stats.arrays import ascending, co_moment
from effmark.stats.bootstrap import seed_of
from effmark.stats.dependence import serial_inflation
from effmark.stats.distributions import t_cdf, t_quantile
from effmark.stats.estimate import Estimate, check_confidence, check_samples
from effmark.stats.quantile_draws import ratio_draws
from effmark.stats.quantiles import needed_samples, quantile

__all__ = [
    "PairedRatio",
    "QuantileRatio",
    "paired_ratio_interval",
    "ratio_interval",
    "ratio_of_medians_interval",
]

RESAMPLES = 2000
"""Bootstrap draws: the share outside each bound is then 2.5 % +- 0.35 %."""


class PairedRatio:
    """The ratio sum(numerators) / sum(denominators) of pairs, and tests of its value.

    Args:
        numerators: one number per pair; pairs in time order where `serial` is set.
        denominators: as many, with a sum above 0.
        groups: what each pair belongs to; pairs of a group are summed first.
        serial: whether to allow for dependence between neighbours in time.
    """

    name = "paired Student's t (Fieller)"
    reachable_p = 0.0

    def __init__(
        self,
        numerators: Sequence[float],
        denominators: Sequence[float],
        groups: Sequence[Hashable] | None = None,
        serial: bool = False,
    ) -> None:
        check_samples(numerators, "numerators")
        check_samples(denominators, "denominators")
        if len(numerators) != len(denominators):
            raise ValueError(
                f"ratio: {len(numerators)} numerators for {len(denominators)} denominators"
            )
        self.n = len(numerators)
        self.numerators, self.denominators = _summed(numerators, denominators, groups)
        self.units = len(self.numerators)
        self.top = math.fsum(self.numerators) / self.units
        self.bottom = math.fsum(self.denominators) / self.units
        if self.bottom <= 0:
            raise ValueError(f"ratio: denominators sum to {self.bottom!r}, wants above 0")
        self.value = self.top / self.bottom
        self._tops, self._bottoms, self._both = self._moments()
        self.inflation = serial_inflation(self._residuals()) if serial else 1.0

    def _moments(self) -> tuple[float, float, float]:
        tops, bottoms = self.numerators, self.denominators
        return (
            co_moment(tops, tops, self.top, self.top),
            co_moment(bottoms, bottoms, self.bottom, self.bottom),
            co_moment(tops, bottoms, self.top, self.bottom),
        )

    def _residuals(self) -> list[float]:
        pairs = zip(self.numerators, self.denominators, strict=True)
        return [a - self.value * b for a, b in pairs]

    @property
    def df(self) -> float:
        """Return the degrees of freedom of the test: independent units less one."""
        return max(self.units / self.inflation - 1, 1.0)

    def error(self, ratio: float) -> float:
        """Return the standard error of mean(numerator - ratio x denominator)."""
        square = self._tops - 2 * ratio * self._both + ratio * ratio * self._bottoms
        return math.sqrt(max(square, 0.0) * self.inflation / (self.units * (self.units - 1)))

    def p_above(self, ratio: float) -> float:
        """Return the one-sided p of the claim that the true ratio is above `ratio`."""
        difference, error = self.top - ratio * self.bottom, self.error(ratio)
        if error == 0:
            return 0.0 if difference > 0 else 1.0
        return 1 - t_cdf(difference / error, self.df)

    def p_below(self, ratio: float) -> float:
        """Return the one-sided p of the claim that the true ratio is below `ratio`."""
        difference, error = self.top - ratio * self.bottom, self.error(ratio)
        if error == 0:
            return 0.0 if difference < 0 else 1.0
        return t_cdf(difference / error, self.df)

    def bounds(self, confidence: float) -> tuple[float, float] | None:
        """Return Fieller's bounds, or None where the denominator is not clearly above 0."""
        if self.units < 2:
            return None
        t = t_quantile((1 + confidence) / 2, self.df)
        scale = t * t * self.inflation / (self.units * (self.units - 1))
        a = self.bottom**2 - scale * self._bottoms
        b = self.top * self.bottom - scale * self._both
        c = self.top**2 - scale * self._tops
        if a <= 0:
            return None
        root = math.sqrt(max(b * b - a * c, 0.0))
        return (b - root) / a, (b + root) / a


def _summed(
    numerators: Sequence[float],
    denominators: Sequence[float],
    groups: Sequence[Hashable] | None,
) -> tuple[Sequence[float], Sequence[float]]:
    if groups is None:
        return numerators, denominators
    if len(groups) != len(numerators):
        raise ValueError(f"groups: {len(groups)} for {len(numerators)} pairs, wants one each")
    tops: dict[Hashable, float] = {}
    bottoms: dict[Hashable, float] = {}
    for top, bottom, group in zip(numerators, denominators, groups, strict=True):
        tops[group] = tops.get(group, 0.0) + top
        bottoms[group] = bottoms.get(group, 0.0) + bottom
    return list(tops.values()), list(bottoms.values())


def ratio_interval(
    numerators: Sequence[float],
    denominators: Sequence[float],
    confidence: float = 0.95,
    *,
    groups: Sequence[Hashable] | None = None,
    serial: bool = False,
) -> Estimate:
    """Return sum(numerators) / sum(denominators) with Fieller's interval; None bounds for one pair.

    Args:
        numerators: tokens, say, one per block.
        denominators: seconds, say, as many.
        confidence: of the two-sided interval.
        groups: what each pair belongs to, where pairs of a group are alike.
        serial: whether to allow for dependence between neighbours in time.
    """
    check_confidence(confidence)
    ratio = PairedRatio(numerators, denominators, groups, serial)
    worth = ratio.units / ratio.inflation if serial or groups is not None else None
    method = "ratio of sums, Fieller" + (", dependence allowed for" if worth is not None else "")
    bounds = ratio.bounds(confidence)
    if bounds is None:
        reason = (
            "one independent unit; an interval needs 2"
            if ratio.units < 2
            else "the denominator is not clearly above 0"
        )
        return Estimate(ratio.value, None, None, ratio.n, method, confidence, worth, reason)
    reason = "constant samples" if bounds[0] == bounds[1] else ""
    return Estimate(ratio.value, *bounds, ratio.n, method, confidence, worth, reason)


def paired_ratio_interval(
    a: Sequence[float], b: Sequence[float], confidence: float = 0.95, *, serial: bool = False
) -> Estimate:
    """Return the ratio b / a of interleaved pairs: geometric mean of the ratios, Student's t.

    Args:
        a: one positive number per pair, the baseline's.
        b: as many, the candidate's, measured next to those of `a`.
        confidence: of the two-sided interval.
        serial: whether to allow for dependence between neighbouring pairs.
    """
    check_confidence(confidence)
    logs = [y - x for x, y in zip(_logs(a, "a"), _logs(b, "b"), strict=True)]
    n, mean = len(logs), math.fsum(logs) / len(logs)
    method = "paired log ratios, Student's t"
    if n == 1:
        reason = "one pair; an interval needs 2"
        return Estimate(math.exp(mean), None, None, n, method, confidence, None, reason)
    inflation = serial_inflation(logs) if serial else 1.0
    variance = math.fsum((x - mean) ** 2 for x in logs) / (n - 1)
    half = t_quantile((1 + confidence) / 2, max(n / inflation - 1, 1.0))
    half *= math.sqrt(variance * inflation / n)
    reason = "constant samples" if variance == 0 else ""
    worth = n / inflation if serial else None
    low, high = math.exp(mean - half), math.exp(mean + half)
    return Estimate(math.exp(mean), low, high, n, method, confidence, worth, reason)


def _logs(samples: Sequence[float], what: str) -> list[float]:
    check_samples(samples, what)
    if min(samples) <= 0:
        raise ValueError(f"{what}: {float(min(samples))!r}, a ratio wants numbers above 0")
    return [math.log(s) for s in samples]


def ratio_of_medians_interval(
    a: Sequence[float], b: Sequence[float], confidence: float = 0.95
) -> Estimate:
    """Return median(b) / median(a) of independent series, with the exact percentile bootstrap.

    Args:
        a: positive numbers, the baseline's; an interval needs 6 at 95 %.
        b: positive numbers, the candidate's.
        confidence: of the two-sided interval.
    """
    check_confidence(confidence)
    _logs(a, "a"), _logs(b, "b")
    bottom, top = ascending(a), ascending(b)
    n = min(len(a), len(b))
    value = quantile(top, 0.5) / quantile(bottom, 0.5)
    method = "ratio of medians, bootstrap"
    needed = needed_samples(0.5, confidence)
    if n < needed:
        reason = f"{n} samples; an interval needs {needed} on both sides"
        return Estimate(value, None, None, n, method, confidence, None, reason)
    low, high = QuantileRatio(bottom, top, 0.5).bounds(confidence) or (value, value)
    reason = "constant samples" if low == high else ""
    return Estimate(value, low, high, n, method, confidence, None, reason)


class QuantileRatio:
    """The ratio of one quantile of two independent series, b / a, and bootstrap tests of it.

    Args:
        a: positive numbers, the baseline's.
        b: positive numbers, the candidate's.
        q: which quantile.
        worth: independent samples that a and b are worth; their numbers where None.
    """

    name = "bootstrap of quantiles"

    def __init__(
        self,
        a: Sequence[float],
        b: Sequence[float],
        q: float,
        worth: tuple[float, float] | None = None,
    ) -> None:
        bottom, top = ascending(a), ascending(b)
        self.value = quantile(top, q) / quantile(bottom, q)
        self.reachable_p = 2 / RESAMPLES
        sizes = worth or (float(len(a)), float(len(b)))
        random = Random(seed_of(bottom, top))
        self.draws = ratio_draws(top, bottom, q, sizes, random, RESAMPLES)

    def p_above(self, ratio: float) -> float:
        """Return the one-sided p of the claim that the true ratio is above `ratio`."""
        return (bisect.bisect_right(self.draws, ratio) + 1) / (RESAMPLES + 1)

    def p_below(self, ratio: float) -> float:
        """Return the one-sided p of the claim that the true ratio is below `ratio`."""
        return (RESAMPLES - bisect.bisect_left(self.draws, ratio) + 1) / (RESAMPLES + 1)

    def bounds(self, confidence: float) -> tuple[float, float] | None:
        """Return the percentile interval."""
        tail = (1 - confidence) / 2
        return quantile(self.draws, tail), quantile(self.draws, 1 - tail)
