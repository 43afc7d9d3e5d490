"""Two sides, all metrics, four verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from effmark.compare.differences import Difference, comparable, scope_of
from effmark.compare.noise import Calibration, cell_name
from effmark.compare.tests import FEWEST_PROCESSES, ChosenTest, choose_test
from effmark.compare.units import by_process
from effmark.compare.verdicts import (
    MetricComparison,
    MetricMissing,
    Verdict,
    more_samples,
    two_sided_p,
    verdict_of,
)
from effmark.errors import SpecError
from effmark.metrics import METRICS, Direction, metric
from effmark.record import SCHEMA_VERSION, Record
from effmark.samples import Samples, metric_samples
from effmark.stats.decisions import RatioTest, check_margin, equivalence_p, holm

__all__ = ["Comparison", "check_alpha", "compare_records", "comparison_json"]

MARGIN = 0.02
"""Differences within 2 % count as the same unless told otherwise."""
ALPHA = 0.05

_TOO_FEW = (
    f"fewer than {FEWEST_PROCESSES} processes a side decide nothing: `effmark run SUITE "
    f"--repetitions {FEWEST_PROCESSES}` on both sides would, or `effmark gate --calibrate SUITE`"
)
_UNDECIDABLE = {
    "block": "one process a side, and the interval is of these two only; " + _TOO_FEW,
    "pair": "one process a side in turns, and the interval is of these two only; " + _TOO_FEW,
}
"""By what was compared: why there is no verdict, and what would give one."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Candidate b against baseline a."""

    a: str
    b: str
    margin: float
    alpha: float
    differences: tuple[Difference, ...]
    """Fields in which the sides differ, those that spoil metrics included."""
    metrics: tuple[MetricComparison, ...]
    missing: tuple[MetricMissing, ...]

    @property
    def refused(self) -> tuple[Difference, ...]:
        """Return the differences that spoil every metric; then `metrics` is empty."""
        return tuple(d for d in self.differences if d.scope == "all")

    def verdict(self, name: str) -> Verdict | None:
        """Return the verdict of one metric, None where it was not compared."""
        return next((m.verdict for m in self.metrics if m.metric == name), None)


def check_alpha(alpha: float) -> None:
    """Raise SpecError unless an error rate lies between 0 and 0.5."""
    if not 0 < alpha < 0.5:
        raise SpecError(f"alpha: {alpha!r} is not between 0 and 0.5, wants 0.05 for 5 %")


def compare_records(
    a: Record | Sequence[Record],
    b: Record | Sequence[Record],
    margin: float = MARGIN,
    *,
    alpha: float = ALPHA,
    metrics: Iterable[str] | None = None,
    paired: bool = False,
    allow: Iterable[str] = (),
    calibration: Calibration | None = None,
) -> Comparison:
    """Return how a candidate compares with a baseline, metric by metric.

    Args:
        a: the baseline: one record, or those of several processes of one cell.
        b: the candidate.
        margin: relative difference that does not matter.
        alpha: accepted rate of wrong verdicts over all metrics together.
        metrics: names to compare; None for all but percentiles, whose samples rarely suffice.
        paired: whether the blocks of the two records were interleaved.
        allow: fields that may differ although they spoil metrics (`model.sha256`, say).
        calibration: noise of this machine; without it, sides of fewer than three processes are
            undecided where chance is in a metric.

    Raises:
        SpecError: no records, a bad margin or alpha, or a record of another schema version.
    """
    sides = [_side(side, name) for side, name in ((a, "baseline"), (b, "candidate"))]
    try:
        check_margin(margin)
    except ValueError as error:
        raise SpecError(str(error)) from None
    check_alpha(alpha)
    differences = _differences(sides[0], sides[1], set(allow))
    shown = Comparison(
        cell_name(sides[0][-1]), cell_name(sides[1][-1]), margin, alpha, differences, (), ()
    )
    if shown.refused:
        return shown
    good = [by_process(side) for side in sides]
    chosen: dict[str, ChosenTest] = {}
    missing: list[MetricMissing] = []
    for name in _wanted(good, metrics):
        spoiled = [d for d in differences if d.scope in scope_of(name)]
        found = (
            MetricMissing(name, f"{spoiled[0].field} differs: {spoiled[0].a} and {spoiled[0].b}")
            if spoiled
            else choose_test(name, good[0], good[1], paired=paired, calibration=calibration)
        )
        if isinstance(found, MetricMissing):
            missing.append(found)
        else:
            chosen[name] = found
    compared = _judged(chosen, margin, alpha)
    return replace(shown, metrics=compared, missing=tuple(missing))


def _side(side: Record | Sequence[Record], name: str) -> list[Record]:
    records = [side] if isinstance(side, Record) else list(side)
    if not records:
        raise SpecError(f"{name}: no records, wants one or more")
    for record in records:
        if record.schema_version != SCHEMA_VERSION:
            raise SpecError(
                f"{name}: record {record.id} has schema version {record.schema_version!r}, "
                f"wants {SCHEMA_VERSION}"
            )
    cells = sorted({cell_name(record) for record in records})
    if len(cells) > 1:
        raise SpecError(f"{name}: records of several cells, {cells}, wants one")
    return records


def _differences(
    a: Sequence[Record], b: Sequence[Record], allowed: set[str]
) -> tuple[Difference, ...]:
    """Return the differences between and within the sides; allowed ones become the subject."""
    good = [by_process(side) or list(side) for side in (a, b)]
    first = good[0][-1]
    found: dict[tuple[str, str, str], Difference] = {}
    for record in good[1]:
        for difference in comparable(first, record):
            scope = "subject" if difference.field in allowed else difference.scope
            found[difference.field, difference.a, difference.b] = replace(difference, scope=scope)
    for record in good[0][:-1]:
        for difference in comparable(first, record):
            if difference.scope != "subject" and difference.field not in allowed:
                found[difference.field, difference.a, difference.b] = difference
    return tuple(found.values())


def _wanted(good: Sequence[Sequence[Record]], metrics: Iterable[str] | None) -> list[str]:
    if metrics is not None:
        names = list(metrics)
        for name in names:
            if name not in METRICS:
                raise SpecError(f"metric: {name!r} is unknown, wants one of the table of metrics")
        return names
    present = [metric_samples(side[-1]) for side in good]
    return [
        name
        for name, row in METRICS.items()
        if row.direction != "none"
        and any(isinstance(p.get(name), Samples) for p in present)
        and not _is_percentile(name)
    ]


def _is_percentile(name: str) -> bool:
    return any(f"_p{p}_" in name for p in (90, 95, 99))


def _judged(
    chosen: dict[str, ChosenTest], margin: float, alpha: float
) -> tuple[MetricComparison, ...]:
    """Return the comparisons with p-values adjusted for the number of hypotheses."""
    tested = {n: c for n, c in chosen.items() if c.decides and c.test is not None}
    raw = {n: two_sided_p(c.test) if c.p is None else c.p for n, c in tested.items() if c.test}
    same = {n: equivalence_p(c.test, margin) for n, c in tested.items() if c.test}
    adjusted, adjusted_same = _adjusted(raw), _adjusted(same)
    return tuple(
        _compared(
            name,
            one,
            (raw.get(name), adjusted.get(name), adjusted_same.get(name)),
            margin,
            alpha,
            alpha / max(1, len(raw)),
        )
        for name, one in chosen.items()
    )


def _compared(
    name: str,
    one: ChosenTest,
    p: tuple[float | None, float | None, float | None],
    margin: float,
    alpha: float,
    alpha_each: float,
) -> MetricComparison:
    row = metric(name)
    verdict = _verdict(one, row.direction, p, margin, alpha)
    low, high, more, notes = _precision(one, verdict, margin, alpha, alpha_each)
    return MetricComparison(
        name, row.unit, row.direction, *one.values, one.ratio, low, high, 1 - alpha, one.name,
        one.per, one.n_a, one.n_b, *p, verdict, more, (*one.notes, *notes),
    )  # fmt: skip


def _verdict(
    one: ChosenTest,
    direction: Direction,
    p: tuple[float | None, float | None, float | None],
    margin: float,
    alpha: float,
) -> Verdict:
    if not one.decides:
        return "undecided"
    _, differs, same = p
    if differs is None or same is None:  # exact: no chance in it
        differs, same = 0.0, 0.0 if _within(one.ratio, margin) else 1.0
    return verdict_of(one.ratio, direction, differs, same, alpha)


def _within(ratio: float, margin: float) -> bool:
    return 1 / (1 + margin) <= ratio <= 1 + margin


def _precision(
    one: ChosenTest, verdict: Verdict, margin: float, alpha: float, alpha_each: float
) -> tuple[float | None, float | None, int | None, tuple[str, ...]]:
    """Return the bounds of the ratio, and what an undecided one needs."""
    if one.test is None:
        return one.ratio, one.ratio, None, ()
    low, high = one.test.bounds(1 - alpha) or (None, None)
    if not one.decides:
        return low, high, None, (_UNDECIDABLE.get(one.per, _TOO_FEW),)
    if verdict != "undecided":
        return low, high, None, ()
    more = more_samples(one.test, min(one.n_a, one.n_b), margin, alpha_each)
    return low, high, more, _reach(one.test, alpha_each)


def _reach(test: RatioTest, alpha: float) -> tuple[str, ...]:
    if test.reachable_p > alpha:
        return (f"so few samples cannot give a p below {test.reachable_p:.2g}",)
    return ()


def _adjusted(p_values: dict[str, float]) -> dict[str, float]:
    """Return Holm-adjusted p-values."""
    return dict(zip(p_values, holm(list(p_values.values())), strict=True))


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON data: unknown numbers are null."""
    return {"schema_version": 1, **asdict(comparison)}
