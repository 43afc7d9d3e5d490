"""Ratios of two series by rank tests: Mann-Whitney for independent ones, Wilcoxon for pairs.

Both tests are inverted to an interval (Hodges and Lehmann 1963), on the log scale, so the estimate
is a ratio and the interval leaves out r precisely when the test rejects the ratio r. Few samples
have the exact distribution, ties included; more have the normal approximation with ties and
continuity corrected. `reachable_p` says which p the numbers of samples allow at best.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from functools import lru_cache

from effmark.stats.arrays import ascending
from effmark.stats.distributions import normal_cdf, normal_quantile, t_cdf, t_quantile
from effmark.stats.estimate import check_samples

__all__ = ["RankRatio", "SignedRankRatio", "StudentRatio", "brunner_munzel", "mann_whitney"]

_EXACT_UP_TO = 24
"""Samples of both sides together up to which the permutation distribution is enumerated."""
_EXACT_PAIRS = 30
_MOST_PER_SIDE = 500
"""Longer series must be condensed first: the number of pairwise ratios is the product."""


class RankRatio:
    """The typical ratio b / a of two independent series (Hodges-Lehmann), and tests of it."""

    name = "Mann-Whitney"

    def __init__(self, a: Sequence[float], b: Sequence[float]) -> None:
        self.a, self.b = logs(a, "a"), logs(b, "b")
        if max(len(a), len(b)) > _MOST_PER_SIDE:
            raise ValueError(
                f"ranks: {max(len(a), len(b))} samples, wants {_MOST_PER_SIDE} at most"
            )
        self.shifts = ascending([y - x for x in self.a for y in self.b])

    @property
    def value(self) -> float:
        """Return the median of all pairwise ratios."""
        return math.exp(_middle(self.shifts))

    @property
    def reachable_p(self) -> float:
        """Return the smallest two-sided p that these numbers of samples can give."""
        return min(1.0, 2 / math.comb(len(self.a) + len(self.b), len(self.a)))

    def p_above(self, ratio: float) -> float:
        """Return the one-sided p of the claim that the true ratio is above `ratio`."""
        shift = math.log(ratio)
        return mann_whitney([x + shift for x in self.a], self.b)

    def p_below(self, ratio: float) -> float:
        """Return the one-sided p of the claim that the true ratio is below `ratio`."""
        shift = math.log(ratio)
        return mann_whitney(self.b, [x + shift for x in self.a])

    def bounds(self, confidence: float) -> tuple[float, float] | None:
        """Return the bounds that invert the test, or None where no p is small enough."""
        n, m = len(self.a), len(self.b)
        k = _smaller_tail(n, m, (1 - confidence) / 2)
        if k < 0:
            return None
        return math.exp(float(self.shifts[k])), math.exp(float(self.shifts[n * m - 1 - k]))


class SignedRankRatio:
    """The typical ratio b / a of pairs (Hodges-Lehmann of the log ratios), and tests of it."""

    name = "Wilcoxon signed-rank"

    def __init__(self, a: Sequence[float], b: Sequence[float]) -> None:
        if len(a) != len(b):
            raise ValueError(f"pairs: {len(a)} and {len(b)} samples, wants equally many")
        if len(a) > _MOST_PER_SIDE:
            raise ValueError(f"ranks: {len(a)} pairs, wants {_MOST_PER_SIDE} at most")
        pairs = zip(logs(a, "a"), logs(b, "b"), strict=True)
        self.differences = [y - x for x, y in pairs]
        d = self.differences
        self.walsh = ascending([(d[i] + d[j]) / 2 for i in range(len(d)) for j in range(i + 1)])

    @property
    def value(self) -> float:
        """Return the median of the pairwise averages, as a ratio."""
        return math.exp(_middle(self.walsh))

    @property
    def reachable_p(self) -> float:
        """Return the smallest two-sided p that this number of pairs can give."""
        return min(1.0, 2.0 ** (1 - len(self.differences)))

    def p_above(self, ratio: float) -> float:
        """Return the one-sided p of the claim that the true ratio is above `ratio`."""
        shift = math.log(ratio)
        return _signed_rank([d - shift for d in self.differences])

    def p_below(self, ratio: float) -> float:
        """Return the one-sided p of the claim that the true ratio is below `ratio`."""
        shift = math.log(ratio)
        return _signed_rank([shift - d for d in self.differences])

    def bounds(self, confidence: float) -> tuple[float, float] | None:
        """Return the bounds that invert the test, or None where no p is small enough."""
        n, tail = len(self.differences), (1 - confidence) / 2
        k = _signed_tail(n, tail)
        if k < 0:
            return None
        return math.exp(float(self.walsh[k])), math.exp(float(self.walsh[len(self.walsh) - 1 - k]))


class StudentRatio:
    """A ratio whose logarithm has a known standard error: Student's t, for processes and noise.

    Args:
        value: the ratio, above 0.
        error: standard error of its logarithm.
        df: degrees of freedom of the error.
        name: where the error comes from.
    """

    def __init__(self, value: float, error: float, df: float, name: str) -> None:
        self.value, self.error, self.df, self.name = value, error, df, name
        self.reachable_p = 0.0

    def p_above(self, ratio: float) -> float:
        """Return the one-sided p of the claim that the true ratio is above `ratio`."""
        distance = math.log(self.value / ratio)
        if self.error == 0:
            return 0.0 if distance > 0 else 1.0
        return t_cdf(-distance / self.error, self.df)

    def p_below(self, ratio: float) -> float:
        """Return the one-sided p of the claim that the true ratio is below `ratio`."""
        distance = math.log(self.value / ratio)
        if self.error == 0:
            return 0.0 if distance < 0 else 1.0
        return t_cdf(distance / self.error, self.df)

    def bounds(self, confidence: float) -> tuple[float, float] | None:
        """Return the bounds of Student's t."""
        half = t_quantile((1 + confidence) / 2, self.df) * self.error
        return self.value * math.exp(-half), self.value * math.exp(half)


def logs(samples: Sequence[float], what: str) -> list[float]:
    """Return the natural logarithms of finite numbers above 0."""
    check_samples(samples, what)
    if min(samples) <= 0:
        raise ValueError(f"{what}: {float(min(samples))!r}, a ratio wants numbers above 0")
    return [math.log(s) for s in samples]


def _middle(ordered: Sequence[float]) -> float:
    n = len(ordered)
    return (float(ordered[(n - 1) // 2]) + float(ordered[n // 2])) / 2


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the one-sided p of the claim that b tends to be larger than a."""
    n, m = len(a), len(b)
    doubled = _doubled_ranks([*a, *b])
    total = sum(doubled[n:])
    if n + m <= _EXACT_UP_TO:
        counts = _rank_sums(tuple(sorted(doubled)), m)
        return sum(c for s, c in counts.items() if s >= total) / math.comb(n + m, m)
    mean, size = m * (n + m + 1), n + m
    ties = sum(t**3 - t for t in _tie_sizes(doubled))
    variance = n * m / 12 * (size + 1 - ties / (size * (size - 1)))
    if variance <= 0:
        return 1.0
    z = ((total - mean) / 2 - 0.5) / math.sqrt(variance)
    return 1 - normal_cdf(z)


def brunner_munzel(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the two-sided p of "P(a < b) = P(a > b)": no equal shapes or spreads assumed.

    Brunner and Munzel, Biometrical Journal 42(1), 2000, with Student's t; wants 10 per side.
    """
    check_samples(a, "a", 2)
    check_samples(b, "b", 2)
    n, m = len(a), len(b)
    pooled = [r / 2 for r in _doubled_ranks([*a, *b])]
    own_a, own_b = ([r / 2 for r in _doubled_ranks(side)] for side in (a, b))
    spread_a = _placement_variance(pooled[:n], own_a)
    spread_b = _placement_variance(pooled[n:], own_b)
    shift = math.fsum(pooled[n:]) / m - math.fsum(pooled[:n]) / n
    square = n * spread_a + m * spread_b
    if square == 0:
        return 1.0 if shift == 0 else 0.0
    statistic = n * m * shift / ((n + m) * math.sqrt(square))
    df = square**2 / ((n * spread_a) ** 2 / (n - 1) + (m * spread_b) ** 2 / (m - 1))
    return 2 * t_cdf(-abs(statistic), df)


def _placement_variance(pooled: Sequence[float], own: Sequence[float]) -> float:
    placements = [p - o for p, o in zip(pooled, own, strict=True)]
    mean = math.fsum(placements) / len(placements)
    return math.fsum((p - mean) ** 2 for p in placements) / (len(placements) - 1)


def _doubled_ranks(values: Sequence[float]) -> list[int]:
    """Return twice the mid-ranks, which are whole numbers with ties, too."""
    ordered = sorted(values)
    return [bisect.bisect_left(ordered, v) + bisect.bisect_right(ordered, v) + 1 for v in values]


def _tie_sizes(doubled: Sequence[int]) -> list[int]:
    sizes: dict[int, int] = {}
    for rank in doubled:
        sizes[rank] = sizes.get(rank, 0) + 1
    return list(sizes.values())


@lru_cache(maxsize=256)
def _rank_sums(doubled: tuple[int, ...], chosen: int) -> dict[int, int]:
    """Return how many choices of that many ranks have which sum."""
    counts: list[dict[int, int]] = [{0: 1}] + [{} for _ in range(chosen)]
    for rank in doubled:
        for size in range(chosen, 0, -1):
            target = counts[size]
            for total, ways in counts[size - 1].items():
                target[total + rank] = target.get(total + rank, 0) + ways
    return counts[chosen]


@lru_cache(maxsize=1024)
def _smaller_tail(n: int, m: int, tail: float) -> int:
    """Return the largest k with P(U <= k) <= tail, -1 where there is none."""
    if n + m > _EXACT_UP_TO:
        spread = math.sqrt(n * m * (n + m + 1) / 12)
        return math.floor(n * m / 2 - 0.5 + normal_quantile(tail) * spread)
    counts = _rank_sums(tuple(range(2, 2 * (n + m) + 1, 2)), m)
    allowed, seen, k = tail * math.comb(n + m, m), 0, -1
    for u in range(n * m + 1):
        seen += counts.get(m * (m + 1) + 2 * u, 0)
        if seen > allowed:
            return k
        k = u
    return k


def _signed_rank(differences: Sequence[float]) -> float:
    """Return the one-sided p of the claim that differences tend to be above 0; zeros left out."""
    rows = [d for d in differences if d != 0]
    n = len(rows)
    if n == 0:
        return 1.0
    doubled = _doubled_ranks([abs(d) for d in rows])
    total = sum(r for r, d in zip(doubled, rows, strict=True) if d > 0)
    if n <= _EXACT_PAIRS:
        counts = _signed_sums(tuple(sorted(doubled)))
        return sum(c for s, c in counts.items() if s >= total) / math.pow(2, n)
    mean, variance = n * (n + 1) / 2, math.fsum(r * r for r in doubled) / 4
    z = (total - mean - 1) / math.sqrt(variance)
    return 1 - normal_cdf(z)


@lru_cache(maxsize=256)
def _signed_sums(doubled: tuple[int, ...]) -> dict[int, int]:
    """Return how many choices of signs have which sum of positive ranks."""
    counts = {0: 1}
    for rank in doubled:
        grown = dict(counts)
        for total, ways in counts.items():
            grown[total + rank] = grown.get(total + rank, 0) + ways
        counts = grown
    return counts


@lru_cache(maxsize=1024)
def _signed_tail(n: int, tail: float) -> int:
    """Return the largest k with P(W <= k) <= tail, -1 where there is none."""
    if n > _EXACT_PAIRS:
        spread = math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return math.floor(n * (n + 1) / 4 - 0.5 + normal_quantile(tail) * spread)
    counts = _signed_sums(tuple(range(2, 2 * n + 1, 2)))
    allowed, seen, k = tail * 2**n, 0, -1
    for w in range(n * (n + 1) // 2 + 1):
        seen += counts.get(2 * w, 0)
        if seen > allowed:
            return k
        k = w
    return k
