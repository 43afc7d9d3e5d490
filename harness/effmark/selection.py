"""Which records a user means: a folder, a journal, a record, a run or a git revision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from effmark.errors import SpecError
from effmark.record import Record
from effmark.store import read_records

__all__ = ["pair_cells", "select_records"]

_SHORTEST = 6
"""Digits that an id or a revision needs at least."""


def select_records(which: str, results: Path) -> list[Record]:
    """Return the records that a name stands for, in journal order.

    Args:
        which: a results folder or journal file, or the beginning (6 digits or more) of a record
            id, a run id or a git revision among the records in `results`.
        results: where ids and revisions are looked up.

    Raises:
        SpecError: nothing, or more than one thing, goes by that name.
    """
    path = Path(which)
    if path.exists():
        found = list(read_records(path))
        if not found:
            raise SpecError(f"{which!r} holds no readable record")
        return found
    if len(which) < _SHORTEST:
        raise SpecError(f"{which!r} is no file, and too short for an id: give 6 digits or more")
    records = list(read_records(results))
    for kind, name in (("record", _record_id), ("run", _run_id), ("revision", _revision)):
        names = {name(r) for r in records if name(r).startswith(which)}
        if len(names) > 1:
            raise SpecError(f"{which!r} is short for {len(names)} {kind}s; give more digits")
        if names:
            return [r for r in records if name(r) in names]
    raise SpecError(f"{which!r}: no such file, and no record, run or revision in {str(results)!r}")


def _record_id(record: Record) -> str:
    return record.id


def _run_id(record: Record) -> str:
    return record.run_id


def _revision(record: Record) -> str:
    return (record.environment.git_revision or "") if record.environment else ""


def pair_cells(a: Sequence[Record], b: Sequence[Record]) -> list[tuple[list[Record], list[Record]]]:
    """Return the cells that two sides have in common, each with all its processes.

    Two single cells are a pair whatever they are: whether they compare is for others to say.
    """
    one, two = _by_cell(a), _by_cell(b)
    if len(one) == 1 and len(two) == 1:
        return [(next(iter(one.values())), next(iter(two.values())))]
    return [(one[name], two[name]) for name in one if name in two]


def _by_cell(records: Sequence[Record]) -> dict[tuple[str, ...], list[Record]]:
    cells: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        cells.setdefault(record.cell.name, []).append(record)
    return cells
