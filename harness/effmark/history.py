"""A metric over a series of runs: where did it change, and by how much?

Comparing each run with the one before misses slow decline and cries wolf at every noisy run;
segmenting the whole series uses all of it (Hunter, arXiv 2301.03034).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from effmark.compare.units import process_value
from effmark.compare.verdicts import Verdict
from effmark.errors import PrerequisiteError, SpecError
from effmark.metrics import Direction, metric
from effmark.record import Record
from effmark.stats.quantiles import quantile
from effmark.stats.segments import change_points

__all__ = ["Change", "History", "history"]

ALPHA = 0.01
"""Over all changes of a series: it is read again after every run, so stricter than one test."""


@dataclass(frozen=True, slots=True)
class Change:
    """A place in a series where the level changes."""

    index: int
    """Of the first run on the new level."""
    label: str
    """Of that run: revision or date."""
    before: float
    """Median of the level before, in the unit of the metric."""
    after: float
    ratio: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class History:
    """A metric over runs, in order, and where it changed."""

    metric: str
    unit: str
    labels: tuple[str, ...]
    values: tuple[float, ...]
    changes: tuple[Change, ...]


def history(records: Sequence[Record], name: str, alpha: float = ALPHA) -> History:
    """Return the series of a metric and its changes.

    Args:
        records: of one cell, in the order of the runs; those without the metric are left out.
        name: the metric.
        alpha: error rate of all changes together.

    Raises:
        PrerequisiteError: `ruptures` is not installed.
        SpecError: no record has the metric.
    """
    rows = [
        (_label(r), v)
        for r in records
        if r.outcome == "ok" and (v := process_value(r, name)) is not None
    ]
    if not rows:
        raise SpecError(f"history: no record has {name!r}, wants one or more")
    labels, values = zip(*rows, strict=True)
    return series_history(name, labels, values, alpha)


def _label(record: Record) -> str:
    revision = record.environment.git_revision if record.environment else None
    return revision[:10] if revision else record.created


def series_history(
    name: str, labels: Sequence[str], values: Sequence[float], alpha: float = ALPHA
) -> History:
    """Return the changes of a series of numbers."""
    row = metric(name)
    try:
        cuts = change_points(values, alpha)
    except ImportError:
        raise PrerequisiteError(
            "history needs 'ruptures'; install it with: pip install 'effmark[analysis]'"
        ) from None
    edges = [0, *cuts, len(values)]
    levels = [quantile(sorted(values[a:b]), 0.5) for a, b in itertools.pairwise(edges)]
    changes = tuple(
        Change(cut, labels[cut], x, y, y / x if x else math.inf, _verdict(row.direction, x, y))
        for cut, (x, y) in zip(cuts, itertools.pairwise(levels), strict=True)
    )
    return History(name, row.unit, tuple(labels), tuple(values), changes)


def _verdict(direction: Direction, before: float, after: float) -> Verdict:
    if before == after or direction == "none":
        return "undecided"
    return "better" if (after < before) == (direction == "lower") else "worse"
