"""From a test to one of four verdicts.

* `same`: equivalent within the margin (two one-sided tests);
* `better`, `worse`: different from 1, and not shown to lie within the margin;
* `undecided`: neither; it comes with the number of samples that would decide.

A difference that is not significant is never `same` by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from effmark.metrics import Direction
from effmark.stats.decisions import RatioTest

__all__ = [
    "MetricComparison",
    "MetricMissing",
    "Verdict",
    "more_samples",
    "two_sided_p",
    "verdict_of",
]

Verdict = Literal["better", "worse", "same", "undecided"]
Unit = Literal["process", "block", "pair", "item", "exact"]

_MOST_SAMPLES = 1_000_000


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """How candidate and baseline compare in one metric."""

    metric: str
    unit: str
    direction: Direction
    a: float
    """Value of the baseline, in the unit of the metric."""
    b: float
    """Value of the candidate."""
    ratio: float
    """Candidate / baseline, by the estimator that belongs to the test."""
    low: float | None
    """Bounds of the ratio; None where the samples support none."""
    high: float | None
    confidence: float
    test: str
    per: Unit
    """What counted as one independent observation."""
    n_a: int
    n_b: int
    p: float | None
    """Two-sided p of "the ratio is 1"; None for exact numbers."""
    p_adjusted: float | None
    """The same after Holm's correction for the number of metrics."""
    p_same: float | None
    """p of "within the margin", Holm-adjusted."""
    verdict: Verdict
    more: int | None = None
    """For `undecided`: how many more observations per side would decide; None if unknown."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricMissing:
    """A metric that cannot be compared, and why."""

    metric: str
    reason: str


def two_sided_p(test: RatioTest) -> float:
    """Return the two-sided p of the claim that the true ratio is not 1."""
    return min(1.0, 2 * min(test.p_above(1.0), test.p_below(1.0)))


def verdict_of(
    ratio: float, direction: Direction, p: float, p_same: float, alpha: float
) -> Verdict:
    """Return the verdict of adjusted p-values."""
    if p_same < alpha:
        return "same"
    if p >= alpha or direction == "none" or ratio == 1:
        return "undecided"
    return "better" if (ratio < 1) == (direction == "lower") else "worse"


def more_samples(test: RatioTest, n: int, margin: float, alpha: float) -> int | None:
    """Return how many more observations per side would decide, if the ratio is as it seems.

    Either the interval must leave out 1, or it must fit into the margin: whichever needs fewer.
    Its width falls with the root of the number of observations.
    """
    bounds = test.bounds(1 - alpha)
    if bounds is None or bounds[0] <= 0:
        return None
    half = math.log(bounds[1] / bounds[0]) / 2
    distance = abs(math.log(test.value)) if test.value > 0 else 0.0
    allowed = max(distance, math.log1p(margin) - distance)
    if half == 0 or allowed == 0:
        return 1
    needed = n * (half / allowed) ** 2
    return None if needed > _MOST_SAMPLES else max(1, math.ceil(needed) - n)
