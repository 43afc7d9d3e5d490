"""Speed-up tables: configurations against the baseline on every workload, and the geometric mean.

The geometric mean is the only mean of ratios that does not depend on which side is the baseline
(Fleming and Wallace, CACM 29(3), 1986). It has two intervals, because there are two questions:

* these workloads: the errors of the measured ratios alone, added in quadrature on the log scale;
* other workloads like these: Student's t over the logs, if these were drawn at random (3 or more).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from effmark.analyses.field import Field, configuration_names
from effmark.analyses.finding import Cell, Finding, Quantity, Table, TooLittle
from effmark.record import Missing
from effmark.report.standing import exclusion
from effmark.rows import Number
from effmark.stats import mean_interval
from effmark.stats.distributions import normal_quantile

__all__ = ["GeometricMean", "geometric_mean", "speedups"]

_Z = normal_quantile(0.975)
_METRIC = "speedup"
_SAME = "A speed-up compares time per unit of work with the suite's baseline on the same machine."
_FEW = "The interval over other workloads takes these to be a random choice of them."


@dataclass(frozen=True, slots=True)
class GeometricMean:
    """A geometric mean of ratios with its two intervals, where there are."""

    value: float
    measured: tuple[float, float] | None
    """For exactly these workloads; None where the error of one ratio is not known."""
    others: tuple[float, float] | None
    """For other workloads of the kind; None below three."""


def geometric_mean(ratios: Sequence[Number]) -> GeometricMean:
    """Return the geometric mean of ratios above 0."""
    logs = [math.log(r.value) for r in ratios]
    value = math.exp(math.fsum(logs) / len(logs))
    errors = [e for r in ratios if (e := _log_error(r)) is not None]
    measured = others = None
    if len(errors) == len(ratios):
        half = _Z * math.sqrt(math.fsum(e * e for e in errors)) / len(errors)
        measured = (value * math.exp(-half), value * math.exp(half))
    if len(logs) >= 3:
        spread = mean_interval(logs).exponentiated()
        if spread.low is not None and spread.high is not None:
            others = (spread.low, spread.high)
    return GeometricMean(value, measured, others)


def _log_error(ratio: Number) -> float | None:
    if ratio.low is None or ratio.high is None or ratio.low <= 0:
        return None
    return math.log(ratio.high / ratio.low) / (2 * _Z)


def speedups(field: Field, *, everything: bool = False) -> Finding:
    """Return the speed-up of every configuration on every workload, and its geometric mean."""
    table, left_out = _collected(field, everything=everything)
    if not table:
        reasons = ", ".join(dict.fromkeys(left_out)) or "no record of the suite's baseline"
        raise TooLittle(
            "speedups: needs the suite's baseline and one other configuration, both timed on the "
            f"same workload ({reasons})"
        )
    workloads = list(dict.fromkeys(label for cells in table.values() for label in cells))
    means = {name: geometric_mean(list(cells.values())) for name, cells in table.items()}
    order = sorted(means, key=lambda name: -means[name].value)
    shown = Table(
        "speed-up against the baseline",
        ("configuration", *workloads, "geometric mean", "other workloads"),
        tuple(_row(name, table[name], workloads, means[name]) for name in order),
    )
    values = {"geometric_means": {name: means[name].value for name in order}}
    caveats = [_SAME, *([_FEW] if any(m.others for m in means.values()) else [])]
    if left_out:
        caveats.append(f"Left out: {len(left_out)} cells ({', '.join(dict.fromkeys(left_out))}).")
    return Finding(
        "speedups", "Speed-up against the baseline", _conclusion(order, means, table),
        tuple(caveats), (shown,), field.suite, field.machine, "", values,
    )  # fmt: skip


def _collected(field: Field, *, everything: bool) -> tuple[dict[str, dict[str, Number]], list[str]]:
    """Return the speed-ups by configuration and workload, and why others have none."""
    timed, left_out = [], []
    for row in field.rows:
        number = row.number(_METRIC)
        if number is None or row.record.is_baseline:
            continue
        reason = "" if everything else exclusion(row, _METRIC)
        if reason:
            left_out.append(reason)
        else:
            timed.append((row, number))
    names = configuration_names([row for row, _ in timed])
    found: dict[str, dict[str, Number]] = {}
    for name, (row, number) in zip(names, timed, strict=True):
        found.setdefault(name, {})[row.record.cell.workload.label] = number
    return found, left_out


def _row(
    name: str, cells: Mapping[str, Number], workloads: Sequence[str], mean: GeometricMean
) -> tuple[Cell, ...]:
    each = [_ratio(cells.get(label)) for label in workloads]
    total = Quantity(mean.value, "ratio", *(mean.measured or (None, None)))
    return name, *each, total, _others(mean)


def _ratio(number: Number | None) -> Cell:
    if number is None:
        return Missing(metric=_METRIC, reason="not_present", detail="not timed on this workload")
    return Quantity(number.value, "ratio", number.low, number.high)


def _others(mean: GeometricMean) -> Cell:
    if mean.others is None:
        return Missing(metric=_METRIC, reason="too_few_samples", detail="needs 3 workloads")
    return f"{mean.others[0]:.2f}–{mean.others[1]:.2f}"


def _conclusion(
    order: Sequence[str], means: Mapping[str, GeometricMean],
    table: Mapping[str, Mapping[str, Number]],
) -> str:  # fmt: skip
    first = order[0]
    mean, count = means[first], len(table[first])
    text = Quantity(mean.value, "ratio", *(mean.measured or (None, None))).text
    over = "one workload" if count == 1 else f"{count} workloads (geometric mean)"
    slower = sum(1 for m in means.values() if m.measured is not None and m.measured[1] < 1)
    tail = f"; {slower} of {len(order)} are slower than the baseline." if slower else "."
    return f"{first} is the fastest: {text} times the baseline over {over}{tail}"
