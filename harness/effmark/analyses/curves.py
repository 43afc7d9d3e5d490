"""Curves through configurations: what a runtime would cost at a quality between two of its points.

A series (by default a runtime) is its Pareto front of quality and cost: points that another point
of the same series beats in both are no part of it. Between neighbours quality is a line against the
logarithm of cost. Nothing is ever extrapolated: beyond the ends a value is Missing, with the range.

The interval redraws every point in possible worlds (`worlds.py`); it does not know how far the true
curve bends between two points. Comparing codecs at equal quality on a log axis goes back to
Bjontegaard, VCEG-M33, 2001; he fits a cubic and integrates, here the points stay where they are.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

from effmark.analyses.field import Candidate
from effmark.analyses.worlds import world_values
from effmark.metrics import metric

__all__ = ["Curve", "interpolated", "series_of"]


def interpolated(x: float, knots: Sequence[tuple[float, float]]) -> float | None:
    """Return y at x on the lines between knots in rising order of x; None outside of them."""
    if not knots or not knots[0][0] <= x <= knots[-1][0]:
        return None
    above = max(1, bisect.bisect_left([k[0] for k in knots], x))
    if above >= len(knots):
        return knots[-1][1]
    (x0, y0), (x1, y1) = knots[above - 1], knots[above]
    return y1 if x1 == x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)


@dataclass(frozen=True)
class Curve:
    """The front of one series, in rising order of cost."""

    name: str
    quality: str
    cost: str
    points: tuple[Candidate, ...]

    def span(self, name: str) -> tuple[float, float]:
        """Return the lowest and the highest value of a metric on the curve."""
        values = [c.numbers[name].value for c in self.points]
        return min(values), max(values)

    def at(self, axis: str, level: float) -> float | None:
        """Return the other metric where one has a level; None outside of the curve.

        Args:
            axis: the metric whose level is given, quality or cost.
            level: in its unit.
        """
        rows = [(c.numbers[self.quality].value, c.numbers[self.cost].value) for c in self.points]
        return self._at(axis, level, rows)

    def draws(self, axis: str, level: float) -> list[float | None]:
        """Return the same in every possible world."""
        worlds = [
            [
                world_values(c.numbers[name], f"{c.name} {name}")
                for name in (self.quality, self.cost)
            ]
            for c in self.points
        ]
        count = len(worlds[0][0])
        return [self._at(axis, level, [(q[i], c[i]) for q, c in worlds]) for i in range(count)]

    def neighbours(self, axis: str, level: float) -> str:
        """Return between which configurations a level lies."""
        ordered = sorted(self.points, key=lambda c: c.numbers[axis].value)
        above = next(i for i, c in enumerate(ordered) if c.numbers[axis].value >= level)
        if ordered[above].numbers[axis].value == level:
            return f"at {ordered[above].name}"
        return f"between {ordered[above - 1].name} and {ordered[above].name}"

    def _at(self, axis: str, level: float, rows: Sequence[tuple[float, float]]) -> float | None:
        if any(cost <= 0 for _, cost in rows):
            return None
        if axis == self.quality:
            found = interpolated(level, sorted((q, math.log(c)) for q, c in rows))
            return None if found is None else math.exp(found)
        return interpolated(math.log(level), sorted((math.log(c), q) for q, c in rows))


def series_of(candidates: Sequence[Candidate], quality: str, cost: str, by: str) -> list[Curve]:
    """Return the curve of every series, those of one point included."""
    groups: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.series[by], []).append(candidate)
    return [Curve(name, quality, cost, _front(g, quality, cost)) for name, g in groups.items()]


def _front(points: Sequence[Candidate], quality: str, cost: str) -> tuple[Candidate, ...]:
    """Return the points that no other beats or equals in both, in rising order of cost."""
    better, cheaper = (1.0 if metric(n).direction == "higher" else -1.0 for n in (quality, cost))

    def merit(candidate: Candidate) -> tuple[float, float]:
        numbers = candidate.numbers
        return cheaper * numbers[cost].value, better * numbers[quality].value

    kept: list[Candidate] = []
    for candidate in sorted(points, key=merit, reverse=True):
        if not kept or merit(candidate)[1] > merit(kept[-1])[1]:
            kept.append(candidate)
    return tuple(sorted(kept, key=lambda c: c.numbers[cost].value))
