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

from effmark.analyses.field import Candidate, Field, entrants, most_entrants, told
from effmark.analyses.finding import Finding, Quantity, Table, TooLittle
from effmark.analyses.iso import QUALITIES
from effmark.analyses.worlds import central, world_values
from effmark.metrics import METRICS, metric
from effmark.ranking import DRAWS
from effmark.report.standing import family
from effmark.units import format_quantity

__all__ = ["hypervolume", "hypervolumes"]

_BEYOND = 0.1
_CUT = 0.1
"""On a log axis a world is cut at this share of the least value: errors may reach below zero."""
_COSTS = ("tpot_s", "latency_s", "ttft_s")
_NARROW = ("A share without an interval: in more than 5 % of the possible worlds nothing is better "
           "than the reference.")  # fmt: skip
_MOST_POINTS = 60
"""Exact volumes of more points in three or more dimensions take too long."""
Point = tuple[float, ...]


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Return the volume that points dominate above a reference; larger is better on every axis."""
    inside = [p for p in points if all(v > r for v, r in zip(p, reference, strict=True))]
    if len(reference) == 2:
        return _area([(p[0], p[1]) for p in inside], (reference[0], reference[1]))
    total = 0.0
    rest = sorted(_undominated(inside), reverse=True)
    while rest:
        first, *rest = rest
        limited = [tuple(map(min, first, other)) for other in rest]
        box = math.prod(v - r for v, r in zip(first, reference, strict=True))
        total += box - hypervolume(limited, reference)
    return total


def _area(points: Sequence[tuple[float, float]], reference: tuple[float, float]) -> float:
    """Return the area under the steps of a front: one sweep from the best in x."""
    total, height = 0.0, reference[1]
    for x, y in sorted(points, reverse=True):
        if y > height:
            total += (x - reference[0]) * (y - height)
            height = y
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
    return list(most_entrants(field, pairs, everything=everything)[0])


class _Axis:
    """One metric as a scale from 0 at the reference to 1 at the best value seen."""

    def __init__(self, name: str, candidates: Sequence[Candidate], reference: float | None) -> None:
        self.name = name
        self._sign = 1.0 if metric(name).direction == "higher" else -1.0
        values = [c.numbers[name].value for c in candidates]
        self._log = family(name) in ("cost", "energy", "size") and min(values) > 0
        self._least = min(values) * _CUT
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
        return self._sign * math.log(max(value, self._least))


def _finding(
    field: Field, caveats: tuple[str, ...], candidates: Sequence[Candidate],
    axes: Sequence[_Axis], series: str,
) -> Finding:  # fmt: skip
    values = [_points(c, axes) for c in candidates]
    groups: dict[str, list[int]] = {}
    for index, candidate in enumerate(candidates):
        groups.setdefault(candidate.series[series], []).append(index)
    total, volumes, shares, firsts = _volumes(
        values, [_worlds(c, axes) for c in candidates], groups
    )
    order = sorted(volumes, key=lambda name: -volumes[name])
    zero = tuple(0.0 for _ in axes)
    alone = [total - hypervolume(values[:i] + values[i + 1 :], zero) for i in range(len(values))]
    needed = sorted((i for i in range(len(values)) if alone[i] > 0), key=lambda i: -alone[i])
    narrow = [_NARROW] if any(s.low is None for s in shares.values()) else []
    return Finding(
        "hypervolume", f"Hypervolume of {' and '.join(METRICS[a.name].label for a in axes)}",
        _conclusion(order, shares, firsts, [candidates[i].name for i in needed]),
        (_reference(axes), *narrow, *caveats),
        (
            Table("how much of the trade-off is covered",
                  (series, "configurations", "hypervolume", "share of all", "P(covers most)"),
                  tuple((n, str(len(groups[n])), Quantity(volumes[n]), shares[n],
                         f"{100 * firsts[n]:.0f} %") for n in order)),
            Table("what the front would lose without it", ("configuration", "contribution"),
                  tuple((candidates[i].name, Quantity(alone[i])) for i in needed)),
        ),
        field.suite, field.machine, field.workload,
        {"metrics": [a.name for a in axes], "reference": {a.name: a.reference for a in axes},
         "volumes": volumes, "all": total},
    )  # fmt: skip


def _volumes(
    values: Sequence[Point], worlds: Sequence[Sequence[Point]], groups: Mapping[str, Sequence[int]]
) -> tuple[float, dict[str, float], dict[str, Quantity], dict[str, float]]:
    """Return the volume of all, then of each group its own, its share, and how often it is first.

    Shares stay between 0 and 1 where the errors move all points together, volumes do not.
    """
    zero = tuple(0.0 for _ in values[0])
    total = hypervolume(values, zero)
    volumes = {n: hypervolume([values[i] for i in g], zero) for n, g in groups.items()}
    drawn: dict[str, list[float | None]] = {name: [] for name in groups}
    firsts = dict.fromkeys(groups, 0)
    for draw in range(DRAWS):
        world = [w[draw] for w in worlds]
        whole = hypervolume(world, zero)
        each = {n: hypervolume([world[i] for i in g], zero) for n, g in groups.items()}
        for name, volume in each.items():
            drawn[name].append(volume / whole if whole > 0 else None)
            firsts[name] += volume == max(each.values()) > 0
    shares = {
        name: Quantity(volumes[name] / total, "ratio", *(central(drawn[name]) or (None, None)))
        for name in groups
    }
    return total, volumes, shares, {name: count / DRAWS for name, count in firsts.items()}


def _points(candidate: Candidate, axes: Sequence[_Axis]) -> Point:
    return tuple(axis.scaled(candidate.numbers[axis.name].value) for axis in axes)


def _worlds(candidate: Candidate, axes: Sequence[_Axis]) -> list[Point]:
    drawn = [
        [axis.scaled(v) for v in world_values(candidate.numbers[axis.name],
                                              f"{candidate.name} {axis.name}")]
        for axis in axes
    ]  # fmt: skip
    return list(zip(*drawn, strict=True))


def _reference(axes: Sequence[_Axis]) -> str:
    each = ", ".join(
        f"{METRICS[a.name].label} {format_quantity(a.reference, METRICS[a.name].unit)}"
        for a in axes
    )
    return (f"Relative to the reference point {each}; volumes of another reference or field do not "
            "compare.")  # fmt: skip


def _conclusion(
    order: Sequence[str], shares: Mapping[str, Quantity], firsts: Mapping[str, float],
    needed: Sequence[str],
) -> str:  # fmt: skip
    first = order[0]
    text = (f"{first} alone covers {shares[first].text} of what all {len(order)} cover together, "
            f"the most with probability {100 * firsts[first]:.0f} %")  # fmt: skip
    return f"{text}; the front would lose most without {needed[0]}." if needed else f"{text}."
