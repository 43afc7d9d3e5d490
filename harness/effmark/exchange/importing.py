"""From a report of another tool to foreign records in a results folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from effmark.errors import SpecError
from effmark.exchange.foreign import Imported
from effmark.exchange.llama_bench import read_llama_bench
from effmark.exchange.optimum_benchmark import read_optimum_benchmark
from effmark.exchange.pytest_reports import read_pytest_benchmark
from effmark.record import Record
from effmark.store import Journal, read_records

__all__ = ["Arrival", "foreign_records", "import_report"]

_READERS: Mapping[str, Callable[[Path], Iterator[Imported]]] = {
    "llama-bench": read_llama_bench,
    "optimum-benchmark": read_optimum_benchmark,
    "pytest-benchmark": read_pytest_benchmark,
}


@dataclass(frozen=True)
class Arrival:
    """What an import did."""

    records: tuple[Record, ...]
    """New in the results folder."""
    known: int
    """Records that were there already, from the same report."""
    journal: Path | None


def foreign_records(form: str, path: Path) -> list[Record]:
    """Return the records of a report; the whole report is read before anything is kept."""
    if not path.is_file():
        raise SpecError(f"report {str(path)!r}: no such file")
    source = hashlib.sha256(path.read_bytes()).hexdigest()
    return [told.record(source) for told in _READERS[form](path)]


def import_report(form: str, path: Path, results: Path) -> Arrival:
    """Append the records of a report to a results folder, each only once.

    Raises:
        SpecError: the file is no such report.
        StoreError: the folder cannot be written.
    """
    records = foreign_records(form, path)
    there = {r.id for r in read_records(results)} if results.exists() else set()
    fresh = [record for record in records if record.id not in there]
    if not fresh:
        return Arrival((), len(records), None)
    suite = fresh[0].suite
    with Journal(results, suite.name, suite.version) as journal:
        for record in fresh:
            journal.append(record)
    return Arrival(tuple(fresh), len(records) - len(fresh), journal.path)
