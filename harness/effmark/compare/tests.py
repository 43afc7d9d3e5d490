"""Which test answers for a metric, and the one quantity that is shown, bounded and tested.

The two values of a comparison are those that a report shows of each side (a ratio of sums for
throughput and cost, a median for latencies), over several processes their geometric mean; the ratio
is their quotient, and interval and p-value are about that quotient and no other. What differs
between equal processes (addresses, neighbours, the time of day) is not in the blocks of one: a test
decides only where processes are the unit, three or more a side or calibrated noise, where items are
shared, or where nothing is left to chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from effmark.compare.noise import Calibration, Noise, against_noise
from effmark.compare.units import block_values, process_value, shared_items
from effmark.compare.verdicts import MetricMissing, Unit
from effmark.record import Measured, Missing, Record
from effmark.samples import Samples, metric_samples
from effmark.stats.decisions import RatioTest, mcnemar
from effmark.stats.pairs import PairedQuantileRatio
from effmark.stats.ranks import StudentRatio, logs
from effmark.stats.ratios import PairedRatio, QuantileRatio

__all__ = ["FEWEST_PROCESSES", "ChosenTest", "choose_test"]

EXACT_SOURCES = ("tensors", "analytic")
"""Numbers that are computed or counted, without noise: one sample says all."""

COUNTED_SOURCES = ("bytecode",)
"""Counts that repeat exactly if what is counted is deterministic; where they do, one says all."""

FEWEST_PROCESSES = 3
"""Per side, without calibration: two degrees of freedom each."""

_OF_ITEMS = ("mean", "ratio", "exp_ratio")


@dataclass(frozen=True, slots=True)
class ChosenTest:
    """A test with what it counts as one observation."""

    test: RatioTest | None
    """About the quotient of the values; None for exact numbers."""
    values: tuple[float, float]
    """Of baseline and candidate, in the unit of the metric."""
    per: Unit
    n_a: int
    n_b: int
    p: float | None = None
    """Two-sided p where the test of equality is another one than the interval's (McNemar)."""
    name: str = ""
    notes: tuple[str, ...] = ()
    decides: bool = True
    """Whether a verdict may rest on it: not on the blocks of one process a side."""

    @property
    def ratio(self) -> float:
        """Return candidate / baseline."""
        return self.values[1] / self.values[0]


def choose_test(
    metric: str,
    a: Sequence[Record],
    b: Sequence[Record],
    *,
    paired: bool,
    calibration: Calibration | None,
) -> ChosenTest | MetricMissing:
    """Return the test that suits what two sides measured of a metric.

    Args:
        metric: its name.
        a: good records of the baseline, one per process.
        b: good records of the candidate.
        paired: whether block i of one side was measured next to block i of the other.
        calibration: the noise between processes of this machine, where it was measured.
    """
    one, two = (metric_samples(side[-1]).get(metric) for side in (a, b))
    for samples in (one, two):
        if samples is None:
            return MetricMissing(metric, "one side does not have it")
        if isinstance(samples, Missing):
            return MetricMissing(metric, f"{samples.reason}: {samples.detail}")
    assert isinstance(one, Samples)
    assert isinstance(two, Samples)
    items = shared_items(a[-1], b[-1], metric)
    try:
        if isinstance(items, str):
            return MetricMissing(metric, items)
        if items is not None and items[0].estimator in _OF_ITEMS:
            return _of_items(*items, (_value(metric, a[-1]), _value(metric, b[-1])))
        if one.source in EXACT_SOURCES and two.source in EXACT_SOURCES:
            return _exact(metric, one, two)
        if one.source in COUNTED_SOURCES and len(versions := _interpreters((*a, *b))) > 1:
            return MetricMissing(metric, f"counted on {' and '.join(versions)}, which differ in it")
        if _agree(metric, a) and _agree(metric, b):
            return _exact(metric, one, two)
        noise = calibration.of(metric) if calibration else None
        if noise is not None or min(len(a), len(b)) > 1:
            return _of_processes(metric, a, b, noise, interleaved=paired)
        values = _value(metric, a[-1]), _value(metric, b[-1])
        return _within(one, two, values, paired=paired and len(a) == len(b) == 1)
    except (ValueError, OverflowError) as error:
        return MetricMissing(metric, str(error))


def _value(metric: str, record: Record) -> float:
    """Return what a report shows of a metric."""
    value = process_value(record, metric)
    if value is None:
        raise ValueError("too few samples in a process")
    if not math.isfinite(value):
        raise ValueError("a value is infinite; no ratio")
    return value


def _interpreters(records: Sequence[Record]) -> list[str]:
    """Return the interpreters of records, `CPython 3.11` say: each compiles in its own way."""
    names = {r.environment.python.rpartition(".")[0] for r in records if r.environment}
    return sorted(names)


def _agree(metric: str, side: Sequence[Record]) -> bool:
    """Return whether a side was counted in each of its processes, to the same number always."""
    found = [metric_samples(record).get(metric) for record in side]
    counts = [s for s in found if isinstance(s, Samples) and s.source in COUNTED_SOURCES]
    return len(counts) == len(side) and len({v for s in counts for v in s.per_sample}) == 1


def _exact(metric: str, one: Samples, two: Samples) -> ChosenTest | MetricMissing:
    below, above = one.per_sample[0], two.per_sample[0]
    if below <= 0:
        return MetricMissing(metric, f"baseline is {below!r}; a ratio wants more than 0")
    return ChosenTest(None, (below, above), "exact", 1, 1, name="exact")


def _of_items(one: Measured, two: Measured, values: tuple[float, float]) -> ChosenTest:
    n = len(one.samples)
    if one.estimator == "exp_ratio":
        weights = one.weights or (1.0,) * n
        logarithms = [y - x for x, y in zip(one.samples, two.samples, strict=True)]
        shift = PairedRatio(logarithms, weights)
        error = shift.error(shift.value) / shift.bottom if n > 1 else math.inf
        test: RatioTest = StudentRatio(
            math.exp(shift.value), error, max(n - 1, 1), "paired Student's t of the logarithm"
        )
        return ChosenTest(test, values, "item", n, n, name=test.name)
    test = PairedRatio(two.samples, one.samples)
    if n < 2:
        raise ValueError(f"{one.metric}: one item, an interval wants 2 or more")
    if values[0] <= 0:
        raise ValueError(f"baseline is {values[0]!r}; a ratio wants more than 0")
    if all(x in (0, 1) for x in (*one.samples, *two.samples)):
        p = mcnemar(one.samples, two.samples)
        return ChosenTest(test, values, "item", n, n, p, "McNemar")
    return ChosenTest(test, values, "item", n, n, name=test.name)


def _of_processes(
    metric: str, a: Sequence[Record], b: Sequence[Record], noise: Noise | None, *, interleaved: bool
) -> ChosenTest:
    """Return Student's t test on the logarithms of the processes' values.

    Without calibrated noise it is Welch's, by the spread within each side.
    """
    raw = [[_value(metric, record) for record in side] for side in (a, b)]
    first, second = (logs(side, metric) for side in raw)
    values = _typical(first), _typical(second)
    n_a, n_b = len(first), len(second)
    if noise is not None:
        test = against_noise(raw[0], raw[1], noise, interleaved=interleaved)
        return ChosenTest(test, values, "process", n_a, n_b, name=test.name)
    parts = [_variance(side) / len(side) for side in (first, second)]
    square = sum(parts)
    below = sum(p * p / (len(s) - 1) for p, s in zip(parts, (first, second), strict=True))
    df = square**2 / below if below > 0 else n_a + n_b - 2.0
    test = StudentRatio(values[1] / values[0], math.sqrt(square), df, "Welch's t over processes")
    decides = min(n_a, n_b) >= FEWEST_PROCESSES
    return ChosenTest(test, values, "process", n_a, n_b, name=test.name, decides=decides)


def _typical(logarithms: Sequence[float]) -> float:
    return math.exp(math.fsum(logarithms) / len(logarithms))


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)


def _within(one: Samples, two: Samples, values: tuple[float, float], *, paired: bool) -> ChosenTest:
    """Return what the blocks of two processes say of these two processes, and no others."""
    if min(values) <= 0:
        raise ValueError("a value is 0; no ratio")
    n_a, n_b = len(block_values(one)), len(block_values(two))
    if min(n_a, n_b) < 2:
        raise ValueError("one sample a side; run more processes")
    paired = paired and one.groups is None and two.groups is None
    if paired and len(one.values) != len(two.values):
        raise ValueError(f"pairs: {len(one.values)} and {len(two.values)} samples, wants as many")
    if one.estimator in ("median", "quantile"):
        q = one.q if one.estimator == "quantile" else 0.5
        if min(*one.values, *two.values) <= 0:
            raise ValueError("a sample is 0; no ratio")
        test: RatioTest = (
            PairedQuantileRatio(one.values, two.values, q)
            if paired
            else QuantileRatio(one.values, two.values, q, (float(n_a), float(n_b)))
        )
    else:
        test = _of_sums(one, two, values, paired=paired)
    unit: Unit = "pair" if paired else "block"
    return ChosenTest(test, values, unit, n_a, n_b, name=test.name, decides=False)


def _of_sums(
    one: Samples, two: Samples, values: tuple[float, float], *, paired: bool
) -> StudentRatio:
    """Return the test of a quotient of two ratios of sums (or means), by the delta method."""
    if one.estimator == "max":
        raise ValueError("a maximum has no interval; run more processes")
    sides = [
        PairedRatio(s.values, s.weights or [1.0] * len(s.values), s.groups, s.serial)
        for s in (one, two)
    ]
    name = "Student's t of the logarithm of sums"
    if paired:
        ends = [_influences(side, is_log=one.estimator == "exp_ratio") for side in sides]
        shifts = PairedRatio([y - x for x, y in zip(*ends, strict=True)], [1.0] * sides[0].n,
                             serial=True)  # fmt: skip
        return StudentRatio(values[1] / values[0], shifts.error(0.0), shifts.df, f"paired {name}")
    scales = [s.bottom if one.estimator == "exp_ratio" else s.top for s in sides]
    errors = [s.error(s.value) / scale for s, scale in zip(sides, scales, strict=True)]
    return StudentRatio(values[1] / values[0], math.hypot(*errors), min(s.df for s in sides), name)


def _influences(side: PairedRatio, *, is_log: bool) -> list[float]:
    """Return by how much each pair moves the logarithm of the value."""
    scale = side.bottom if is_log else side.top
    pairs = zip(side.numerators, side.denominators, strict=True)
    return [(top - side.value * bottom) / scale for top, bottom in pairs]
