"""Independent units: what of two sides' samples may enter a test as one observation each.

The process is the unit where there are several of each side. Within one process it is the block,
or a batch of blocks where neighbours depend on each other; items of a test set are pairs.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from effmark.record import Measured, Missing, Record
from effmark.samples import Samples, estimate, metric_samples
from effmark.stats import Estimate
from effmark.stats.dependence import serial_inflation
from effmark.stats.quantiles import quantile

__all__ = ["block_values", "by_process", "process_value", "shared_items"]

DEPENDENCE_THAT_MATTERS = 1.25
"""Variance inflation above which neighbours are merged; below, the error is under 12 %."""
MOST_UNITS = 500
"""A rank test of 500 a side looks at 250,000 ratios; more blocks are merged to so many batches."""
_ITEM_SOURCES = ("lm_eval", "logits", "labels")


def by_process(records: Sequence[Record]) -> list[Record]:
    """Return one good record per process: the last of each."""
    return list({r.process_id: r for r in records if r.outcome == "ok"}.values())


def process_value(record: Record, metric: str) -> float | None:
    """Return the value of a metric in one process, None where it is missing."""
    samples = metric_samples(record).get(metric)
    if samples is None or isinstance(samples, Missing):
        return None
    found = estimate(samples)
    return found.value if isinstance(found, Estimate) else None


def block_values(samples: Samples) -> list[float]:
    """Return one number per independent unit: a block, or a batch of dependent ones."""
    values = list(samples.per_sample)
    if samples.groups is not None:
        values = _medians(values, samples.groups)
    inflation = serial_inflation(values) if samples.serial else 1.0
    size = math.ceil(inflation) if inflation > DEPENDENCE_THAT_MATTERS else 1
    size = max(size, math.ceil(len(values) / MOST_UNITS))
    if size == 1:
        return values
    whole = len(values) // size
    return [_median(values[i * size : (i + 1) * size]) for i in range(whole)]


def _medians(values: Sequence[float], groups: Sequence[Hashable]) -> list[float]:
    members: dict[Hashable, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        members.setdefault(group, []).append(value)
    return [_median(m) for m in members.values()]


def _median(values: Sequence[float]) -> float:
    return quantile(sorted(values), 0.5)


def shared_items(a: Record, b: Record, metric: str) -> tuple[Measured, Measured] | str | None:
    """Return the measurements of shared items, why items are not shared, or None for no items."""
    one, two = a.measurement(metric), b.measurement(metric)
    if not isinstance(one, Measured) or not isinstance(two, Measured):
        return None
    if not all(m.source in _ITEM_SOURCES or m.group is not None for m in (one, two)):
        return None
    if len(one.samples) != len(two.samples):
        return f"items differ: {len(one.samples)} and {len(two.samples)}"
    if one.group != two.group or one.weights != two.weights:
        return "items differ in what they belong to, or in their lengths"
    return one, two
