"""Which attempt at a cell counts: the last that ended well, or was made afresh on purpose.

A failure replaces a failure, never a result: a worker that was killed while a finished cell was
looked at again takes nothing away. Only a cell that was asked for anew (`--fresh`) stands for what
came of it, whatever that is. A record that does not know its machine (its worker died before it
could tell, in journals of older versions) counts only until a machine has a record of that cell.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from effmark.record import Record

__all__ = ["countable", "latest", "machine_of", "standing", "takes_over"]

K = TypeVar("K", bound=Hashable)


def takes_over(later: Record, earlier: Record) -> bool:
    """Return whether a later attempt at a cell replaces an earlier one."""
    return _is_strong(later) or not _is_strong(earlier)


def _is_strong(record: Record) -> bool:
    return record.outcome == "ok" or record.fresh


def machine_of(record: Record) -> str:
    """Return what timings are comparable on; empty where a record does not know it."""
    return record.environment.device_class if record.environment else ""


def latest(records: Iterable[Record]) -> dict[str, Record]:
    """Return the attempt at each cell key that counts, of records in the order of journals."""
    return {key: record for (key, _), record in standing(records, lambda r: r.cell.key).items()}


def standing(
    records: Iterable[Record], cell_of: Callable[[Record], K]
) -> dict[tuple[K, str], Record]:
    """Return the attempt that counts, by cell and machine.

    Args:
        records: in the order of their journals.
        cell_of: what attempts at one cell have in common; repetitions are different cells.
    """
    found: dict[tuple[K, str], Record] = {}
    known: set[K] = set()
    for record in records:
        cell, machine = cell_of(record), machine_of(record)
        if machine:
            known.add(cell)
        earlier = found.get((cell, machine))
        if earlier is None or takes_over(record, earlier):
            found[cell, machine] = record
    return {key: r for key, r in found.items() if key[1] or key[0] not in known}


def countable(records: Iterable[Record]) -> list[Record]:
    """Return the records that may be compared: all results, and the failures that still stand.

    Several results of one cell stay side by side: each is a process of its own.
    """
    everything = list(records)
    stands = {id(r) for r in standing(everything, lambda r: r.cell.key).values()}
    return [r for r in everything if r.outcome == "ok" or id(r) in stands]
