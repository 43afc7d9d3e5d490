"""Cost exponents: by how much cost grows when something doubles, as the slope of log cost.

Cost ~ size^exponent: 1 is proportional, 0 indifferent, 2 quadratic. A series changes one size only
(parameters, weight bytes, prompt, output, batch) and keeps runtime, precision and everything else.
From five points on the interval is that of the power law (`power_law.py`), which holds the scatter
around the line; with fewer it is propagated from the errors of the measured values, and
nothing says whether a power law holds in between. Never read beyond the sizes that were measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from effmark.analyses.field import Field
from effmark.analyses.finding import Cell, Finding, Quantity, Table, TooLittle
from effmark.analyses.power_law import FEWEST, fit_power_law, log_line
from effmark.metrics import METRICS
from effmark.record import Missing, ModelFacts
from effmark.report.standing import exclusion
from effmark.rows import Number, Row
from effmark.stats.distributions import normal_quantile

__all__ = ["SIZES", "Exponent", "exponent", "exponents"]

_Z = normal_quantile(0.975)
_OF_MODEL: dict[str, Callable[[ModelFacts], float]] = {
    "parameters": lambda facts: float(facts.parameters),
    "weights_b": lambda facts: float(facts.weights_b),
}
_OF_WORKLOAD = ("prompt_tokens", "new_tokens", "batch")
SIZES = (*_OF_MODEL, *_OF_WORKLOAD)
"""What may grow: of the model, or of the workload."""
_COSTS = {
    "parameters": ("tpot_s", "latency_s", "energy_j_per_output_token"),
    "weights_b": ("tpot_s", "latency_s", "energy_j_per_output_token"),
    "prompt_tokens": ("ttft_s", "energy_j_per_request"),
    "new_tokens": ("e2e_latency_s", "energy_j_per_request"),
    "batch": ("e2e_latency_s", "latency_s", "energy_j_per_output_token"),
}
_SCOPE = "The slope holds between the smallest and the largest size that were measured, not beyond."


@dataclass(frozen=True, slots=True)
class Exponent:
    """The slope of log cost against log size."""

    value: float
    low: float | None
    high: float | None
    sizes: int
    method: str


def exponent(sizes: Sequence[float], costs: Sequence[Number]) -> Exponent:
    """Return the exponent of costs at two or more different sizes.

    Args:
        sizes: above 0, one per cost.
        costs: above 0; their intervals serve where there are too few points for a scatter.
    """
    values = [c.value for c in costs]
    distinct = len(set(sizes))
    if len(sizes) >= FEWEST and distinct >= 3:
        law = fit_power_law(sizes, values)
        return Exponent(law.exponent, law.low, law.high, distinct, "scatter")
    u = [math.log(s) for s in sizes]
    line = log_line(u, [math.log(v) for v in values])
    errors = [_log_error(c) for c in costs]
    known = [e for e in errors if e is not None]
    if len(known) < len(errors):
        return Exponent(line.slope, None, None, distinct, "none")
    centre = math.fsum(u) / len(u)
    square = math.fsum((a - centre) ** 2 for a in u)
    error = math.sqrt(
        math.fsum(((a - centre) / square * e) ** 2 for a, e in zip(u, known, strict=True))
    )
    low, high = line.slope - _Z * error, line.slope + _Z * error
    return Exponent(line.slope, low, high, distinct, "errors")


def _log_error(number: Number) -> float | None:
    if number.low is None or number.high is None or number.low <= 0:
        return None
    return math.log(number.high / number.low) / (2 * _Z)


def exponents(
    field: Field, size: str | None = None, metric: str | None = None, *, everything: bool = False
) -> Finding:  # fmt: skip
    """Return the cost exponent of every series.

    Args:
        field: whose cells.
        size: one of `SIZES`; None for the first that was varied.
        metric: the cost; None for the usual one of that size.
        everything: whether numbers without a rank take part, too.
    """
    for wanted in [size] if size else SIZES:
        for name in [metric] if metric else _COSTS[wanted]:
            found = _found(field, wanted, name, everything=everything)
            if found:
                return _finding(field, wanted, name, found)
    raise TooLittle(
        f"exponents: needs the same runtime and precision at two or more values of "
        f"{size or 'parameters, prompt, output or batch'}, with {metric or 'a time'} measured at "
        "each"
    )


def _found(field: Field, size: str, name: str, *, everything: bool) -> dict[str, Exponent]:
    series: dict[tuple[str, ...], dict[float, Number]] = {}
    for row in field.rows:
        value, number = _size(row, size), row.number(name)
        good = number is not None and number.value > 0 and (everything or not exclusion(row, name))
        if value is not None and number is not None and good:
            series.setdefault(_series(row, size), {})[value] = number
    grown = {parts: points for parts, points in series.items() if len(points) > 1}
    names = _names(list(grown))
    return {
        names[parts]: exponent(list(points), list(points.values()))
        for parts, points in grown.items()
    }


def _names(series: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Return what tells series apart: parts that all have in common are left out."""
    differ = [len(set(column)) > 1 for column in zip(*series, strict=True)]
    found = {}
    for parts in series:
        told = [part for part, tells in zip(parts, differ, strict=True) if tells and part]
        found[parts] = " · ".join(told) or " · ".join(part for part in parts if part)
    return found


def _size(row: Row, size: str) -> float | None:
    if size in _OF_MODEL:
        facts = row.record.facts
        return None if facts is None else _OF_MODEL[size](facts)
    value = getattr(row.record.cell.workload, size, None)
    return None if value is None else float(value)


def _series(row: Row, size: str) -> tuple[str, ...]:
    """Return model, configuration and workload without what grows."""
    model, *rest, device = row.configuration
    workload = row.record.cell.workload
    kept = {k: v for k, v in workload.model_dump().items() if k in _OF_WORKLOAD and k != size}
    of = " ".join(f"{k.partition('_')[0]} {v}" for k, v in kept.items())
    configuration = " ".join(part for part in rest if part)
    known = "" if size in _OF_MODEL else model
    return known, configuration, device, f"{workload.kind} {of}".strip()


def _finding(field: Field, size: str, name: str, found: dict[str, Exponent]) -> Finding:
    order = sorted(found, key=lambda key: found[key].value)
    label, what = METRICS[name].label, size.replace("_", " ").removesuffix(" b")
    middle = median([e.value for e in found.values()])
    if len(order) == 1:
        only = found[order[0]]
        text = f"{label} grows as {what}^{_quantity(only).text} for {order[0]}."
    else:
        first, last = order[0], order[-1]
        text = (
            f"{label} grows as {what}^{middle:.2f} in the middle of {len(order)} series, from "
            f"{found[first].value:.2f} ({first}) to {found[last].value:.2f} ({last})."
        )
    rows = tuple(
        (key, _exponent_cell(found[key], name), f"× {2 ** found[key].value:.2f}",
         str(found[key].sizes), found[key].method)
        for key in order
    )  # fmt: skip
    few = any(e.method != "scatter" for e in found.values())
    caveats = (
        _SCOPE,
        *(["With fewer than five points nothing tests whether a power law holds."] if few else []),
    )
    return Finding(
        "exponents", f"How {label} grows with {what}", text, tuple(caveats),
        (Table(f"exponent of {label} in {what}",
               ("series", "exponent", "when doubled", "sizes", "interval of"), rows),),
        field.suite, field.machine, "",
        {"size": size, "metric": name, "exponents": {k: found[k].value for k in order}},
    )  # fmt: skip


def _quantity(found: Exponent) -> Quantity:
    return Quantity(found.value, "ratio", found.low, found.high)


def _exponent_cell(found: Exponent, name: str) -> Cell:
    if not math.isfinite(found.value):
        return Missing(metric=name, reason="undefined", detail="all sizes are equal")
    return _quantity(found)
