"""A table of scores, configurations by columns: items that all answered, or workloads that all ran.

Larger is better in every cell; the original values of a metric where less is better are negated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from effmark.analyses.field import Candidate, Field, configuration_names, entrants
from effmark.metrics import metric
from effmark.report.standing import exclusion
from effmark.rows import Row
from effmark.samples import Samples, metric_samples

__all__ = ["Scores", "item_scores", "workload_scores"]


@dataclass(frozen=True)
class Scores:
    """Scores of configurations on the same columns."""

    metric: str
    columns: str
    """What a column is: `items` or `workloads`."""
    names: tuple[str, ...]
    table: tuple[tuple[float, ...], ...]
    """One row per configuration, larger is better."""

    @property
    def count(self) -> int:
        """Return the number of columns."""
        return len(self.table[0]) if self.table else 0


def item_scores(field: Field, name: str, *, everything: bool = False) -> Scores | None:
    """Return the scores on the items that the most configurations answered; None below two."""
    groups: dict[str, list[Candidate]] = {}
    for candidate in entrants(field, [name], everything=everything).candidates:
        items = candidate.numbers[name].items
        if items:
            groups.setdefault(items, []).append(candidate)
    largest = max(groups.values(), key=len, default=[])
    rows = [_items(candidate, name) for candidate in largest]
    if len(rows) < 2:
        return None
    sign = 1.0 if metric(name).direction == "higher" else -1.0
    table = tuple(tuple(sign * v for v in row) for row in rows)
    return Scores(name, "items", tuple(c.name for c in largest), table)


def _items(candidate: Candidate, name: str) -> Sequence[float]:
    row = candidate.configuration.source_of(name)
    assert row is not None
    samples = metric_samples(row.record)[name]
    assert isinstance(samples, Samples)
    return samples.per_sample


def workload_scores(field: Field, name: str, *, everything: bool = False) -> Scores | None:
    """Return the numbers on the workloads that all configurations have; None below two of each."""
    numbers: dict[str, dict[str, float]] = {}
    rows = [r for r in field.rows if _takes_part(r, name, everything=everything)]
    for title, row in zip(configuration_names(rows), rows, strict=True):
        number = row.number(name)
        assert number is not None
        numbers.setdefault(title, {})[row.record.cell.workload.label] = number.value
    most = max((len(cells) for cells in numbers.values()), default=0)
    kept = {title: cells for title, cells in numbers.items() if len(cells) == most}
    labels = sorted(next(iter(kept.values()))) if kept else []
    kept = {title: cells for title, cells in kept.items() if sorted(cells) == labels}
    if len(kept) < 2 or len(labels) < 2:
        return None
    sign = 1.0 if metric(name).direction == "higher" else -1.0
    table = tuple(tuple(sign * cells[label] for label in labels) for cells in kept.values())
    return Scores(name, "workloads", tuple(kept), table)


def _takes_part(row: Row, name: str, *, everything: bool) -> bool:
    return row.number(name) is not None and (everything or not exclusion(row, name))
