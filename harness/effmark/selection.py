"""Which records a user means: a folder, a journal, a record, a run or a git revision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from effmark.catalogue import Catalogue, CatalogueAbsent, is_large
from effmark.errors import SpecError
from effmark.model_names import model_key
from effmark.record import Record
from effmark.store import Damage, countable, read_records

__all__ = ["find_record", "pair_cells", "select_records"]

_SHORTEST = 6
"""Digits that an id or a revision needs at least."""


def select_records(which: str, results: Path, damage: Damage | None = None) -> list[Record]:
    """Return the records that a name stands for, in journal order.

    Args:
        which: a results folder or journal file, or the beginning (6 digits or more) of a record
            id, a run id or a git revision among the records in `results`.
        results: where ids and revisions are looked up.
        damage: takes up what could not be read of a folder or a file.

    Raises:
        SpecError: nothing, or more than one thing, goes by that name.
    """
    path = Path(which)
    if path.exists():
        found = countable(read_records(path, damage))
        if not found:
            raise SpecError(f"{which!r} holds no readable record")
        return found
    if len(which) < _SHORTEST:
        raise SpecError(f"{which!r} is no file, and too short for an id: give 6 digits or more")
    for kind, column in (("record", "id"), ("run", "run_id"), ("revision", "revision")):
        found = _named(results, column, which)
        names = {_NAMED[column](record) for record in found}
        if len(names) > 1:
            raise SpecError(f"{which!r} is short for {len(names)} {kind}s; give more digits")
        if found:
            return countable(found)
    raise SpecError(f"{which!r}: no such file, and no record, run or revision in {str(results)!r}")


def find_record(which: str, results: Path) -> Record:
    """Return the one record whose id begins with a text.

    Raises:
        SpecError: the text is empty, or there is no such record, or more than one.
    """
    if not which.strip():
        raise SpecError("record '': wants the first digits of an id; "
                        "`effmark leaderboard --json` lists ids")  # fmt: skip
    found = {record.id: record for record in _named(results, "id", which)}
    if not found:
        raise SpecError(
            f"no record {which!r} in {str(results)!r}; `effmark leaderboard --json` lists ids"
        )
    if len(found) > 1:
        raise SpecError(f"{which!r} is short for {len(found)} records; give more digits")
    return next(iter(found.values()))


_NAMED: dict[str, Callable[[Record], str]] = {
    "id": lambda record: record.id,
    "run_id": lambda record: record.run_id,
    "revision": lambda record: (record.environment and record.environment.git_revision) or "",
}
"""What a record can be called by."""


def _named(results: Path, column: str, prefix: str) -> list[Record]:
    """Return the records whose name begins with a text, in journal order."""
    if is_large(results):
        try:
            catalogue = Catalogue(results)
            return list(catalogue.records(catalogue.find(prefix, column)))
        except CatalogueAbsent:
            pass  # read it all, then: slow and right
    return [r for r in read_records(results) if _NAMED[column](r).startswith(prefix)]


def pair_cells(a: Sequence[Record], b: Sequence[Record]) -> list[tuple[list[Record], list[Record]]]:
    """Return the cells that two sides have in common, each with all its processes.

    A model whose files changed from one side to the other is one model: that they differ is for
    others to say. Where a side has several models of one name, equal content makes the pair; where
    one has a cell on several numbers of threads, an equal number does. Two single cells are a pair
    whatever they are: whether they compare is for others to say.
    """
    several, threads = _ambiguous(a) | _ambiguous(b), _on_several(a) | _on_several(b)
    one, two = _by_cell(a, several, threads), _by_cell(b, several, threads)
    if len(one) == 1 and len(two) == 1:
        return [(next(iter(one.values())), next(iter(two.values())))]
    return [(one[name], two[name]) for name in one if name in two]


def _ambiguous(records: Sequence[Record]) -> set[str]:
    """Return the names that several models have."""
    often = Counter(name for name, _ in {model_key(record.cell.model) for record in records})
    return {name for name, count in often.items() if count > 1}


def _on_several(records: Sequence[Record]) -> set[tuple[str, ...]]:
    """Return the names of cells that were measured on several numbers of threads."""
    often = Counter(name for name, _ in {(r.cell.name, r.cell.threads) for r in records})
    return {name for name, count in often.items() if count > 1}


def _by_cell(
    records: Sequence[Record], several: Collection[str], threads: Collection[tuple[str, ...]]
) -> dict[tuple[str, ...], list[Record]]:
    cells: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        cell = record.cell
        content = (cell.model.sha256,) if cell.model.name in several else ()
        on = (f"{cell.threads} threads",) if cell.name in threads else ()
        cells.setdefault((*cell.name, *content, *on), []).append(record)
    return cells
