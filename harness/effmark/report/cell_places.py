"""The rank of every number among the cells that it compares with: what CSV and JSON say of ranks.

The page gives the same places in its view of cells while nothing is filtered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from effmark.metrics import METRICS
from effmark.ranking import Contender, Rank, ranks
from effmark.report.configurations import PROCESS_METRICS, machines_of, suite_of
from effmark.report.standing import contenders, exclusion, of_a_machine
from effmark.rows import Number, Row

__all__ = ["Place", "cell_places"]

Place = tuple[Rank, int] | str
"""A rank and among how many, or why there is none."""


def cell_places(rows: Sequence[Row]) -> list[dict[str, Place]]:
    """Return for each row the place of each of its numbers that has a direction."""
    machines = machines_of(rows)
    known = [contenders(row) for row in rows]
    places: list[dict[str, Place]] = [{} for _ in rows]
    for name, metric in METRICS.items():
        if metric.direction == "none":
            continue
        groups: dict[tuple[str, ...], list[int]] = {}
        for index, row in enumerate(rows):
            if not isinstance(row.metrics.get(name), Number):
                continue
            reason = exclusion(row, name)
            if reason:
                places[index][name] = reason
            else:
                key = _comparable(row, machines[index], name)
                groups.setdefault(key, []).append(index)
        for members in groups.values():
            _rank(members, known, name, places)
    return places


def _rank(
    members: Sequence[int],
    known: Sequence[Mapping[str, Contender]],
    name: str,
    places: Sequence[dict[str, Place]],
) -> None:
    found = ranks([known[i][name] for i in members], METRICS[name].direction)
    for index, rank in zip(members, found, strict=True):
        places[index][name] = (rank, len(members))


def _comparable(row: Row, machine: str, name: str) -> tuple[str, ...]:
    """Return what must agree for two numbers to compare."""
    cell = row.record.cell
    return (
        suite_of(row),
        "" if name in PROCESS_METRICS else cell.workload.label,
        machine if of_a_machine(name) else "",
        row.model if name == "perplexity" else "",
    )
