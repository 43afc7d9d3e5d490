"""From a report of another tool to foreign records in a results folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from effmark.errors import SpecError
from effmark.exchange.foreign import Imported, LeftOut
from effmark.exchange.llama_bench import read_llama_bench
from effmark.exchange.optimum_benchmark import read_optimum_benchmark
from effmark.exchange.pytest_reports import read_pytest_benchmark
from effmark.record import Record
from effmark.regular_files import given_bytes
from effmark.store import Journal, read_records

__all__ = ["Arrival", "foreign_records", "import_report"]

_READERS: Mapping[str, Callable[[Path], Iterator[Imported | LeftOut]]] = {
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
    left_out: tuple[str, ...] = ()
    """What of the report did not come in, a sentence each."""


def foreign_records(form: str, path: Path) -> tuple[list[Record], list[str]]:
    """Return the records of a report and, a sentence each, which parts of it gave none.

    The whole report is read before anything is kept.

    Raises:
        SpecError: the file is no such report, or nothing in it can come in.
    """
    source = hashlib.sha256(given_bytes(path, "report")).hexdigest()
    try:
        told = list(_READERS[form](path))
    except SpecError as error:
        raise SpecError(_of_report(path, str(error))) from error
    left_out = [_of_report(path, one.why) for one in told if isinstance(one, LeftOut)]
    records = [one.record(source) for one in told if isinstance(one, Imported)]
    if not records:
        raise SpecError(left_out[0] if left_out else f"report {str(path)!r} holds no test")
    return records, left_out


def _of_report(path: Path, why: str) -> str:
    name = f"report {str(path)!r}"
    return why if why.startswith(name) else f"{name}: {why}"


def import_report(form: str, path: Path, results: Path) -> Arrival:
    """Append the records of a report to a results folder, each only once.

    Raises:
        SpecError: the file is no such report.
        StoreError: the folder cannot be written.
    """
    records, left_out = foreign_records(form, path)
    there = {r.id for r in read_records(results)} if results.exists() else set()
    fresh = [record for record in records if record.id not in there]
    if not fresh:
        return Arrival((), len(records), None, tuple(left_out))
    suite = fresh[0].suite
    with Journal(results, suite.name, suite.version) as journal:
        for record in fresh:
            journal.append(record)
    return Arrival(tuple(fresh), len(records) - len(fresh), journal.path, tuple(left_out))
