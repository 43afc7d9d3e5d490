"""Iso-quality and iso-budget: what runtimes cost at equal quality, what they give for equal cost.

Levels come from `curves.py` by interpolation, never by extrapolation. Without a wish the level is
the middle of the range that all curves of two or more points share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from effmark.analyses.curves import Curve, series_of
from effmark.analyses.field import Entrants, Field, entrants, most_entrants
from effmark.analyses.finding import Cell, Finding, Quantity, Table, TooLittle
from effmark.analyses.worlds import central
from effmark.metrics import METRICS, metric
from effmark.record import Missing
from effmark.units import format_quantity

__all__ = ["QUALITIES", "iso_budget", "iso_quality"]

QUALITIES = ("accuracy", "bits_per_byte", "quality_retention", "top1_agreement")
"""What quality is, the first that enough configurations have."""
_COSTS = ("tpot_s", "latency_s", "ttft_s", "peak_memory_b")
_NARROW = ("A value without an interval: in more than 5 % of the possible worlds its curve does "
           "not reach the level.")  # fmt: skip
_LINES = ("Between two configurations nothing was measured: the value is read off a line "
          "between them.")  # fmt: skip
SeriesBy = Literal["adapter", "model", "precision"]


def iso_quality(
    field: Field, quality: str | None = None, cost: str | None = None, at: float | None = None,
    *, series: SeriesBy = "adapter", everything: bool = False,
) -> Finding:  # fmt: skip
    """Return what each series costs at equal quality."""
    q, c = _metrics(field, quality, cost, everything=everything)
    return _iso(field, "iso-quality", q, c, axis=q, other=c, at=at, series=series,
                everything=everything)  # fmt: skip


def iso_budget(
    field: Field, quality: str | None = None, cost: str | None = None, at: float | None = None,
    *, series: SeriesBy = "adapter", everything: bool = False,
) -> Finding:  # fmt: skip
    """Return what quality each series gives for equal cost."""
    q, c = _metrics(field, quality, cost, everything=everything)
    return _iso(field, "iso-budget", q, c, axis=c, other=q, at=at, series=series,
                everything=everything)  # fmt: skip


def _metrics(
    field: Field, quality: str | None, cost: str | None, *, everything: bool
) -> tuple[str, str]:
    """Return the metrics that were asked for, or the usual ones that most configurations have."""
    pairs = [
        (q, c) for q in ([quality] if quality else QUALITIES) for c in ([cost] if cost else _COSTS)
    ]
    found, _ = most_entrants(field, pairs, everything=everything)
    return found[0], found[1]


def _iso(
    field: Field, name: str, quality: str, cost: str, *, axis: str, other: str,
    at: float | None, series: SeriesBy, everything: bool,
) -> Finding:  # fmt: skip
    found = entrants(field, [quality, cost], everything=everything)
    curves = series_of(found.candidates, quality, cost, series)
    level = _shared_level(name, curves, axis, found) if at is None else at
    rows = [_row(curve, axis, other, level) for curve in curves]
    good = [(c, r[1]) for c, r in zip(curves, rows, strict=True) if isinstance(r[1], Quantity)]
    if not good:
        raise TooLittle(
            f"{name}: no {series} reaches {_level(axis, level)} from both sides; "
            + "; ".join(f"{c.name} covers {_span(c, axis)}" for c in curves)
        )
    sign = -1.0 if metric(other).direction == "higher" else 1.0
    good.sort(key=lambda pair: sign * pair[1].value)
    best = good[0][0]
    table = Table(
        f"{METRICS[other].label} at {_level(axis, level)}",
        (series, METRICS[other].label, f"relative to {best.name}", "where"),
        tuple(_compared(row, curve, best, axis, level)
              for row, curve in sorted(zip(rows, curves, strict=True),
                                       key=lambda pair: _order(pair[0][1], sign))),
    )  # fmt: skip
    values = {"level": level, "axis": axis, "of": other, "best": best.name,
              "values": {c.name: q.value for c, q in good}}  # fmt: skip
    return Finding(
        name, f"{METRICS[other].label} at equal {METRICS[axis].label}",
        _conclusion(good, axis, other, level, len(curves)), _caveats(good, found), (table,),
        field.suite, field.machine, field.workload, values,
    )  # fmt: skip


def _caveats(good: Sequence[tuple[Curve, Quantity]], found: Entrants) -> tuple[str, ...]:
    narrow = [_NARROW] if any(q.low is None for _, q in good) else []
    return (_LINES, *narrow, *found.caveats)


def _order(cell: Cell, sign: float) -> tuple[bool, float]:
    return (False, sign * cell.value) if isinstance(cell, Quantity) else (True, 0.0)


def _shared_level(name: str, curves: Sequence[Curve], axis: str, found: Entrants) -> float:
    """Return the middle of what two or more curves share."""
    spans = [c.span(axis) for c in curves if len(c.points) > 1]
    low = max((s[0] for s in spans), default=math.inf)
    high = min((s[1] for s in spans), default=-math.inf)
    if len(spans) < 2 or low > high:
        have = "; ".join(
            f"{c.name}: {len(c.points)} on its front, {_span(c, axis)}" for c in curves
        )
        raise TooLittle(
            f"{name}: needs two series of two or more configurations that trade quality against "
            f"cost over a common range; there are {have or 'none'}"
            + "".join(f"; {n} × {reason}" for reason, n in found.left_out.most_common(2))
        )
    return math.sqrt(low * high) if axis == curves[0].cost else (low + high) / 2


def _row(curve: Curve, axis: str, other: str, level: float) -> tuple[Cell, Cell, str]:
    value = curve.at(axis, level)
    if value is None:
        detail = f"{_level(axis, level)} lies outside of {_span(curve, axis)}; never extrapolated"
        return curve.name, Missing(metric=other, reason="undefined", detail=detail), detail
    bounds = central(curve.draws(axis, level)) or (None, None)
    return curve.name, Quantity(value, METRICS[other].unit, *bounds), curve.neighbours(axis, level)


def _compared(
    row: tuple[Cell, Cell, str], curve: Curve, best: Curve, axis: str, level: float
) -> tuple[Cell, ...]:
    """Return a row with the ratio to the best series, in the worlds that both have a value in."""
    name, cell, where = row
    if not isinstance(cell, Quantity):
        return name, cell, cell, where
    if curve is best:
        return name, cell, "1", where
    mine, theirs = curve.draws(axis, level), best.draws(axis, level)
    ratios = [m / t if m is not None and t else None for m, t in zip(mine, theirs, strict=True)]
    base = best.at(axis, level)
    assert base is not None
    bounds = central(ratios) or (None, None)
    return name, cell, Quantity(cell.value / base, "ratio", *bounds), where


def _conclusion(
    good: Sequence[tuple[Curve, Quantity]], axis: str, other: str, level: float, total: int
) -> str:
    best, top = good[0]
    text = f"At {_level(axis, level)}, {best.name} has the best {METRICS[other].label}, {top.text}"
    if len(good) > 1:
        text += f"; next is {good[1][0].name} with {good[1][1].text}"
    outside = total - len(good)
    return text + (
        f"; {outside} of {total} do not reach that level from both sides." if outside else "."
    )


def _level(axis: str, level: float) -> str:
    return f"{METRICS[axis].label} {format_quantity(level, METRICS[axis].unit)}"


def _span(curve: Curve, axis: str) -> str:
    low, high = (format_quantity(v, METRICS[axis].unit) for v in curve.span(axis))
    return f"{low} to {high}" if len(curve.points) > 1 else f"{low} only"
