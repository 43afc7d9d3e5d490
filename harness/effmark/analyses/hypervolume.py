"""Hypervolume: how much of the trade-off between several metrics a set of configurations covers.

The hypervolume of a set is the volume of what at least one member dominates, down to a reference
point (Zitzler and Thiele, PPSN 1998). It is the one number for fronts that grows whenever a front
gets better. Costs and sizes are on a log scale, so that halving counts the same everywhere; each
axis is scaled to run from 0 at the reference to 1 at the best value seen, so that the whole box is
1. The reference lies a tenth of the range below the worst value, so that extreme points count
(Ishibuchi et al., GECCO 2018). It moves with the field: give reference points to compare two runs.

Computed exactly, by exclusive volumes (While, Bradstreet and Barone, IEEE TEC 16(1), 2012).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from effmark.analyses.field import Candidate, Field, entrants, told
from effmark.analyses.finding import Finding, Quantity, Table, TooLittle
from effmark.analyses.iso import QUALITIES
from effmark.analyses.worlds import central, world_values
from effmark.metrics import METRICS, metric
from effmark.ranking import DRAWS
from effmark.report.standing import family
from effmark.units import format_quantity

__all__ = ["hypervolume", "hypervolumes"]

_BEYOND = 0.1
_COSTS = ("tpot_s", "latency_s", "ttft_s")
_MOST_POINTS = 60
"""Exact volumes of more points in three or more dimensions take too long."""
Point = tuple[float, ...]


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Return the volume that points dominate above a reference; larger is better on every axis."""
    inside = [p for p in points if all(v > r for v, r in zip(p, reference, strict=True))]
    total = 0.0
    rest = sorted(_undominated(inside), reverse=True)
    while rest:
        first, *rest = rest
        limited = [tuple(map(min, first, other)) for other in rest]
        box = math.prod(v - r for v, r in zip(first, reference, strict=True))
        total += box - hypervolume(limited, reference)
    return total


def _undominated(points: Sequence[Point]) -> list[Point]:
    distinct = list(dict.fromkeys(points))
    return [p for p in distinct if not any(q != p and _covers(q, p) for q in distinct)]


def _covers(a: Point, b: Point) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True))


def hypervolumes(
    field: Field, metrics: Sequence[str] = (), *, series: str = "adapter",
    reference: Mapping[str, float] | None = None, everything: bool = False,
) -> Finding:  # fmt: skip
    """Return the hypervolume of each series and what each configuration alone contributes.

    Args:
        field: who takes part.
        metrics: the axes, two or more; none for quality against cost.
        series: what configurations are grouped by: `adapter`, `model` or `precision`.
        reference: the worst value of an axis, in its unit, where it should be fixed.
        everything: whether numbers without a rank take part, too.
    """
    names = list(metrics) or _usual(field, everything=everything)
    if len(names) < 2 or any(metric(n).direction == "none" for n in names):
        raise TooLittle(f"hypervolume: needs two metrics that have a direction, got {names!r}")
    found = entrants(field, names, everything=everything)
    candidates = told(found, 2, "hypervolume", " and ".join(METRICS[n].label for n in names))
    if len(names) > 2 and len(candidates) > _MOST_POINTS:
        raise TooLittle(
            f"hypervolume: {len(candidates)} configurations in {len(names)} dimensions; wants "
            f"{_MOST_POINTS} at most, choose a suite or two metrics"
        )
    axes = [_Axis(name, candidates, (reference or {}).get(name)) for name in names]
    return _finding(field, found.caveats, candidates, axes, series)


def _usual(field: Field, *, everything: bool) -> list[str]:
    pairs = [[q, c] for q in QUALITIES for c in _COSTS]
    counts = [len(entrants(field, p, everything=everything).candidates) for p in pairs]
    return pairs[counts.index(max(counts))]


class _Axis:
    """One metric as a scale from 0 at the reference to 1 at the best value seen."""

    def __init__(self, name: str, candidates: Sequence[Candidate], reference: float | None) -> None:
        self.name = name
        self._sign = 1.0 if metric(name).direction == "higher" else -1.0
        values = [c.numbers[name].value for c in candidates]
        self._log = family(name) in ("cost", "energy", "size") and min(values) > 0
        merits = [self._merit(v) for v in values]
        best, worst = max(merits), min(merits)
        if best == worst:
            raise TooLittle(f"hypervolume: all configurations have the same {METRICS[name].label}; "
                            "an axis needs two different values")  # fmt: skip
        self._zero = (
            worst - _BEYOND * (best - worst) if reference is None else self._merit(reference)
        )
        if self._zero >= best:
            raise TooLittle(f"hypervolume: nothing is better than the reference of {name}")
        self._length = best - self._zero

    @property
    def reference(self) -> float:
        """Return the reference in the unit of the metric."""
        merit = self._sign * self._zero
        return math.exp(merit) if self._log else merit

    def scaled(self, value: float) -> float:
        """Return a value on the scale; a world may go beyond 1."""
        return (self._merit(value) - self._zero) / self._length

    def _merit(self, value: float) -> float:
        if not self._log:
            return self._sign * value
        return self._sign * math.log(value) if value > 0 else -math.inf * self._sign


def _finding(
    field: Field, caveats: tuple[str, ...], candidates: Sequence[Candidate],
    axes: Sequence[_Axis], series: str,
) -> Finding:  # fmt: skip
    values = [_points(c, axes) for c in candidates]
    worlds = [_worlds(c, axes) for c in candidates]
    zero = tuple(0.0 for _ in axes)
    groups: dict[str, list[int]] = {}
    for index, candidate in enumerate(candidates):
        groups.setdefault(candidate.series[series], []).append(index)
    volumes = {
        name: _with_interval([values[i] for i in members], [worlds[i] for i in members], zero)
        for name, members in groups.items()
    }
    everyone = _with_interval(values, worlds, zero)
    order = sorted(volumes, key=lambda name: -volumes[name].value)
    alone = [everyone.value - hypervolume(values[:i] + values[i + 1 :], zero)
             for i in range(len(values))]  # fmt: skip
    best = sorted(range(len(values)), key=lambda i: -alone[i])
    labels = " and ".join(METRICS[a.name].label for a in axes)
    return Finding(
        "hypervolume", f"Hypervolume of {labels}",
        _conclusion(order, volumes, everyone, [candidates[i].name for i in best if alone[i] > 0]),
        (_reference(axes), *caveats),
        (
            Table("share of the box that is covered", (series, "configurations", "hypervolume"),
                  (*((n, str(len(groups[n])), volumes[n]) for n in order),
                   ("all together", str(len(candidates)), everyone))),
            Table("what the front would lose without it", ("configuration", "contribution"),
                  tuple((candidates[i].name, Quantity(alone[i])) for i in best if alone[i] > 0)),
        ),
        field.suite, field.machine, field.workload,
        {"metrics": [a.name for a in axes], "reference": {a.name: a.reference for a in axes},
         "volumes": {n: volumes[n].value for n in order}, "all": everyone.value},
    )  # fmt: skip


def _points(candidate: Candidate, axes: Sequence[_Axis]) -> Point:
    return tuple(axis.scaled(candidate.numbers[axis.name].value) for axis in axes)


def _worlds(candidate: Candidate, axes: Sequence[_Axis]) -> list[Point]:
    drawn = [
        [axis.scaled(v) for v in world_values(candidate.numbers[axis.name],
                                              f"{candidate.name} {axis.name}")]
        for axis in axes
    ]  # fmt: skip
    return list(zip(*drawn, strict=True))


def _with_interval(
    values: Sequence[Point], worlds: Sequence[Sequence[Point]], zero: Point
) -> Quantity:
    drawn = [hypervolume([w[i] for w in worlds], zero) for i in range(DRAWS)]
    bounds = central(drawn) or (None, None)
    return Quantity(hypervolume(values, zero), "ratio", *bounds)


def _reference(axes: Sequence[_Axis]) -> str:
    each = ", ".join(
        f"{METRICS[a.name].label} {format_quantity(a.reference, METRICS[a.name].unit)}"
        for a in axes
    )
    return (f"Relative to the reference point {each}; volumes of another reference or field do not "
            "compare.")  # fmt: skip


def _conclusion(
    order: Sequence[str], volumes: Mapping[str, Quantity], everyone: Quantity,
    contributors: Sequence[str],
) -> str:  # fmt: skip
    first = order[0]
    text = (f"{first} alone covers {volumes[first].text} of the trade-off; all "
            f"{len(order)} together cover {everyone.text}")  # fmt: skip
    return (
        f"{text}, and most would be lost without {contributors[0]}." if contributors else f"{text}."
    )
