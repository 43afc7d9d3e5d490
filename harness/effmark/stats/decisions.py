"""Tests combined to decisions: equivalence within a margin, many metrics at once, shared items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from effmark.stats.distributions import binomial_cdf

__all__ = [
    "RatioTest",
    "benjamini_hochberg",
    "check_margin",
    "equivalence_p",
    "holm",
    "mcnemar",
]


class RatioTest(Protocol):
    """A ratio that can be tested against any other: what rank and t tests have in common."""

    name: str

    @property
    def value(self) -> float:
        """Return the estimated ratio."""

    @property
    def reachable_p(self) -> float:
        """Return the smallest two-sided p that these numbers of samples can give."""

    def p_above(self, ratio: float) -> float:
        """Return the one-sided p of the claim that the true ratio is above `ratio`."""

    def p_below(self, ratio: float) -> float:
        """Return the one-sided p of the claim that the true ratio is below `ratio`."""

    def bounds(self, confidence: float) -> tuple[float, float] | None:
        """Return the two-sided interval that inverts the test."""


def check_margin(margin: float) -> None:
    """Raise ValueError unless a relative margin lies above 0 and below 1."""
    if not (math.isfinite(margin) and 0 < margin < 1):
        raise ValueError(f"margin: {margin!r} is not between 0 and 1, wants 0.02 for 2 %")


def equivalence_p(test: RatioTest, margin: float) -> float:
    """Return the p of the claim that the ratio lies within 1 / (1 + margin) and 1 + margin.

    Two one-sided tests (Schuirmann 1987): the larger p of "above the lower" and "below the upper".
    """
    check_margin(margin)
    return max(test.p_above(1 / (1 + margin)), test.p_below(1 + margin))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that the chance of any false alarm is kept (Holm 1979)."""
    count, order = len(p_values), _rising(p_values)
    adjusted, largest = [0.0] * count, 0.0
    for position, index in enumerate(order):
        largest = max(largest, min(1.0, (count - position) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that the share of false alarms is kept (1995)."""
    count, order = len(p_values), _rising(p_values)
    adjusted, smallest = [0.0] * count, 1.0
    for position in range(count - 1, -1, -1):
        index = order[position]
        smallest = min(smallest, p_values[index] * count / (position + 1))
        adjusted[index] = smallest
    return adjusted


def _rising(p_values: Sequence[float]) -> list[int]:
    for p in p_values:
        if not 0 <= p <= 1:
            raise ValueError(f"p-value: {p!r} is not between 0 and 1")
    return sorted(range(len(p_values)), key=p_values.__getitem__)


def mcnemar(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the exact two-sided p of equal shares on shared items, 1 for right and 0 for wrong."""
    if len(a) != len(b):
        raise ValueError(f"pairs: {len(a)} and {len(b)} items, wants equally many")
    gained = sum(x < y for x, y in zip(a, b, strict=True))
    lost = sum(x > y for x, y in zip(a, b, strict=True))
    if gained + lost == 0:
        return 1.0
    return min(1.0, 2 * binomial_cdf(min(gained, lost), gained + lost, 0.5))
