"""Journals to records, in the order of the journals' names and of their lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from effmark.errors import StoreError
from effmark.metrics import METRICS
from effmark.record import SCHEMA_VERSION, Record
from effmark.regular_files import irregular, open_regular
from effmark.schema import first_fault
from effmark.store.damage import Damage, Unreadable
from effmark.store.lines import decode, unseal
from effmark.store.migrations import upgrade

__all__ = [
    "Place",
    "journals_of",
    "parse",
    "place_order",
    "read_lines",
    "read_records",
    "unknown_numbers",
]

_PRESENT = b'{"schema_version":%d,' % SCHEMA_VERSION
_TORN = Unreadable("torn", "torn or damaged line")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands."""

    journal: Path
    line: int
    """Number in its journal, from 1."""
    offset: int
    """Of its first byte."""
    length: int


def journals_of(results: Path, damage: Damage | None = None) -> list[Path]:
    """Return the journals below a folder in the order of their names, hidden folders left out.

    A name begins with the start of its writer, so the order is that of time. What has the name of
    a journal and cannot be read as a file, and folders that cannot be searched, are noted.

    Raises:
        StoreError: there is no such folder or file.
    """
    if results.is_file():
        return [results]
    if not results.is_dir():
        what = "no folder" if results.exists() else "no such folder"
        raise StoreError(f"results {str(results)!r}: {what}; run `effmark run` first")
    found = _below(str(results), damage if damage is not None else Damage())
    return sorted((Path(name) for name in found), key=_journal_order)


def _below(folder: str, damage: Damage) -> Iterator[str]:
    """Yield the names of the journals in a folder and in those below it; links are not followed."""
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        why = f"cannot be searched: {error.strerror}"
        damage.note(Path(folder), 0, Unreadable("unreadable", why))
        return
    for entry in visible:
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path, damage)
        elif entry.name.endswith(".jsonl"):
            if entry.is_file():
                yield entry.path
            else:
                damage.note(Path(entry.path), 0, Unreadable("irregular", irregular(entry.path)))


def _journal_order(path: Path) -> tuple[str, str]:
    return path.name, str(path)


def place_order(place: Place) -> tuple[tuple[str, str], int]:
    """Return by what places are sorted into the order of reading."""
    return _journal_order(place.journal), place.line


def read_records(results: Path, damage: Damage | None = None) -> Iterator[Record]:
    """Yield all records below a folder (or in one file), in file and line order.

    Raises:
        StoreError: there is no such folder or file.
    """
    found = damage if damage is not None else Damage()
    for path in journals_of(results, found):
        yield from _of_journal(path, found)


def _of_journal(path: Path, damage: Damage) -> Iterator[Record]:
    """Yield the records of one file; a file without a single one is noted as a whole."""
    bad: list[tuple[int, Unreadable]] = []
    any_good = False
    try:
        for place, raw in read_lines(path):
            found = parse(raw)
            if isinstance(found, Unreadable):
                bad.append((place.line, found))
            else:
                any_good = True
                damage.unknown += unknown_numbers(found)
                yield found
    except OSError as error:
        bad.append((0, Unreadable("unreadable", f"cannot be read: {error.strerror}")))
    for line, why in bad if any_good else in_short(bad):
        damage.note(path, line, why)


def in_short(bad: list[tuple[int, Unreadable]]) -> list[tuple[int, Unreadable]]:
    """Return one note for a file that is no journal, else all notes."""
    if len(bad) > 1 and all(why.kind == "torn" for _, why in bad):
        return [(0, Unreadable("foreign", f"none of its {len(bad)} lines is a record"))]
    return bad


def read_lines(path: Path, start: int = 0, first: int = 1) -> Iterator[tuple[Place, bytes]]:
    """Yield the lines of a journal from an offset on, blank ones left out, the last even if torn.

    Args:
        path: the journal.
        start: offset of the first line to read.
        first: number of that line.

    Raises:
        OSError: the file cannot be read.
    """
    offset = start
    with os.fdopen(open_regular(path), "rb") as handle:
        handle.seek(start)
        for number, raw in enumerate(handle, start=first):
            if not raw.isspace():
                yield Place(path, number, offset, len(raw)), raw
            offset += len(raw)


def unknown_numbers(record: Record) -> int:
    """Return how many numbers of a record are of metrics that this version does not know."""
    return sum(m.metric not in METRICS for m in record.measurements)


def parse(raw: bytes) -> Record | Unreadable:
    """Return the record of a line, upgraded where it is older, or why it cannot be read."""
    try:
        if raw[: len(_PRESENT)] == _PRESENT:
            text = unseal(raw)
            return _TORN if text is None else Record.model_validate_json(text)
        body = decode(raw)
        upgraded = _TORN if body is None else upgrade(body)
        if isinstance(upgraded, Unreadable):
            return upgraded
        return Record.model_validate(upgraded)
    except ValidationError as error:
        return Unreadable("invalid", first_fault(error))
