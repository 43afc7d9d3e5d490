"""Which test answers for a metric: by shared items, by processes, by pairs of blocks, by blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from effmark.compare.noise import Calibration
from effmark.compare.units import block_values, process_value, shared_items
from effmark.compare.verdicts import MetricMissing, Unit
from effmark.record import Measured, Missing, Record
from effmark.samples import Samples, metric_samples
from effmark.stats.decisions import RatioTest, mcnemar
from effmark.stats.ranks import RankRatio, SignedRankRatio, StudentRatio, logs
from effmark.stats.ratios import PairedRatio, QuantileRatio

__all__ = ["ChosenTest", "choose_test"]

EXACT_SOURCES = ("tensors", "analytic")
"""Numbers that are computed or counted, without noise: one sample says all."""

COUNTED_SOURCES = ("bytecode",)
"""Counts that repeat exactly if what is counted is deterministic; where they do, one says all."""


@dataclass(frozen=True, slots=True)
class ChosenTest:
    """A test with what it counts as one observation."""

    test: RatioTest | None
    """None for exact numbers."""
    ratio: float
    per: Unit
    n_a: int
    n_b: int
    p: float | None = None
    """Two-sided p where the test of equality is another one than the interval's (McNemar)."""
    name: str = ""
    notes: tuple[str, ...] = ()


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
        if items is not None:
            return _of_items(*items)
        if one.source in EXACT_SOURCES and two.source in EXACT_SOURCES:
            return _exact(metric, one, two)
        if one.source in COUNTED_SOURCES and len(versions := _interpreters((*a, *b))) > 1:
            return MetricMissing(metric, f"counted on {' and '.join(versions)}, which differ in it")
        if _agree(metric, a) and _agree(metric, b):
            return _exact(metric, one, two)
        if paired and len(a) == len(b) == 1:
            return _of_pairs(one, two)
        if len(a) >= 2 and len(b) >= 2:
            return _of_processes(metric, a, b)
        noise = calibration.of(metric) if calibration else None
        if noise is not None:
            return _of_noise(metric, a, b, noise.error(len(a), len(b)), noise.df)
        return _of_blocks(metric, one, two)
    except ValueError as error:
        return MetricMissing(metric, str(error))


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
    return ChosenTest(None, above / below, "exact", 1, 1, name="exact")


def _of_items(one: Measured, two: Measured) -> ChosenTest:
    n = len(one.samples)
    if one.estimator == "exp_ratio":
        weights = one.weights or (1.0,) * n
        logarithms = [y - x for x, y in zip(one.samples, two.samples, strict=True)]
        shift = PairedRatio(logarithms, weights)
        error = shift.error(shift.value) / shift.bottom if n > 1 else math.inf
        test: RatioTest = StudentRatio(
            math.exp(shift.value), error, max(n - 1, 1), "paired Student's t of the logarithm"
        )
        return ChosenTest(test, test.value, "item", n, n, name=test.name)
    test = PairedRatio(two.samples, one.samples)
    if n < 2:
        raise ValueError(f"{one.metric}: one item, an interval wants 2 or more")
    if all(x in (0, 1) for x in (*one.samples, *two.samples)):
        p = mcnemar(one.samples, two.samples)
        return ChosenTest(test, test.value, "item", n, n, p, "McNemar")
    return ChosenTest(test, test.value, "item", n, n, name=test.name)


def _of_pairs(one: Samples, two: Samples) -> ChosenTest:
    first, second = list(one.per_sample), list(two.per_sample)
    if one.groups is not None or len(first) != len(second):
        raise ValueError(f"pairs: {len(first)} and {len(second)} samples, wants blocks in pairs")
    test = SignedRankRatio(first, second)
    return ChosenTest(test, test.value, "pair", len(first), len(first), name=test.name)


def _of_processes(
    metric: str, a: Sequence[Record], b: Sequence[Record]
) -> ChosenTest | MetricMissing:
    """Return Welch's t test on the logarithms of the processes' values."""
    sides = [[process_value(record, metric) for record in side] for side in (a, b)]
    if any(value is None for side in sides for value in side):
        return MetricMissing(metric, "a process has no value of it")
    first, second = (logs([v for v in side if v is not None], metric) for side in sides)
    parts = [_variance(side) / len(side) for side in (first, second)]
    square = sum(parts)
    below = sum(p * p / (len(s) - 1) for p, s in zip(parts, (first, second), strict=True))
    df = square**2 / below if below > 0 else len(first) + len(second) - 2.0
    shift = math.fsum(second) / len(second) - math.fsum(first) / len(first)
    test = StudentRatio(math.exp(shift), math.sqrt(square), df, "Welch's t over processes")
    return ChosenTest(test, test.value, "process", len(first), len(second), name=test.name)


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)


def _of_noise(
    metric: str, a: Sequence[Record], b: Sequence[Record], error: float, df: int
) -> ChosenTest | MetricMissing:
    """Return Student's t test against the calibrated noise between processes."""
    sides = [[process_value(record, metric) for record in side] for side in (a, b)]
    if any(value is None for side in sides for value in side):
        return MetricMissing(metric, "a process has no value of it")
    first, second = (logs([v for v in side if v is not None], metric) for side in sides)
    shift = math.fsum(second) / len(second) - math.fsum(first) / len(first)
    test = StudentRatio(math.exp(shift), error, df, "Student's t, calibrated noise")
    return ChosenTest(test, test.value, "process", len(a), len(b), name=test.name)


def _of_blocks(metric: str, one: Samples, two: Samples) -> ChosenTest:
    note = "one process a side: what differs between processes is not in the interval"
    if one.estimator == "quantile":
        test: RatioTest = QuantileRatio(one.values, two.values, one.q)
        return ChosenTest(
            test, test.value, "block", len(one.values), len(two.values), name=test.name,
            notes=(note,),
        )  # fmt: skip
    first, second = block_values(one), block_values(two)
    if min(len(first), len(second)) < 2:
        raise ValueError("one sample a side; run more processes")
    test = RankRatio(first, second)
    notes = [note]
    merged = [len(s.values) // len(u) for s, u in ((one, first), (two, second))]
    if one.groups is None and max(merged) > 1:
        notes.append(f"neighbouring blocks depend on each other; merged by {max(merged)}")
    return ChosenTest(
        test, test.value, "block", len(first), len(second), name=test.name, notes=tuple(notes)
    )
