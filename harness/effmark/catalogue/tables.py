"""Parquet files by DuckDB, in memory and over files: a database file would admit one process."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from effmark.catalogue.columns import COLUMNS
from effmark.catalogue.coverage import Segment

__all__ = ["connect", "listed", "merge", "quoted", "write_segment"]

_CAREFUL = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "preserve_insertion_order": "false",
}
_FORM = "(FORMAT parquet, COMPRESSION zstd)"
NEWEST = "(outcome = 'ok' OR fresh) DESC, stamp DESC, line DESC"
"""Which attempt counts, as in `store.attempts`: by order of journals and lines, never by clocks."""


def connect() -> Any:
    """Return a connection to an empty database in memory.

    Raises:
        ImportError: DuckDB is not installed.
    """
    import duckdb

    threads = {"threads": str(len(os.sched_getaffinity(0)))}
    database = duckdb.connect(":memory:", config={**_CAREFUL, **threads})
    database.execute("SET enable_progress_bar = false")
    return database


def quoted(path: Path) -> str:
    """Return a path as an SQL text that names this file only, whatever it is called."""
    text = "".join(f"[{c}]" if c in "*?[" else c for c in str(path))
    return "'" + text.replace("'", "''") + "'"


def listed(folder: Path, segments: Sequence[Segment]) -> str:
    """Return the SQL for the rows of segments."""
    names = ", ".join(quoted(folder / segment.name) for segment in segments)
    return f"read_parquet([{names}])"


def write_segment(database: Any, folder: Path, lines: Iterable[str]) -> Segment:
    """Return a new Parquet file with the lines of the catalogue that are given as JSON."""
    source = folder / f"new-{secrets.token_hex(6)}.ndjson"
    types = ", ".join(f"{name}: '{kind}'" for name, kind in COLUMNS.items())
    try:
        source.write_text("\n".join(lines), encoding="utf-8")
        read = f"read_json({quoted(source)}, format='newline_delimited', columns={{{types}}})"
        return _copied(database, folder, f"SELECT * FROM {read}")
    finally:
        source.unlink(missing_ok=True)


def merge(
    database: Any, folder: Path, segments: Sequence[Segment], journals: Sequence[int]
) -> Segment:
    """Return one new file with the rows of several, those that count marked as such.

    Args:
        database: the connection.
        folder: where the files are.
        segments: what to merge.
        journals: numbers of the journals whose rows are kept.
    """
    kept = ", ".join(map(str, journals)) or "-1"
    columns = ", ".join(COLUMNS)
    rows = f"(SELECT {columns} FROM {listed(folder, segments)} WHERE journal IN ({kept}))"
    chosen = f"row_number() OVER (PARTITION BY slot ORDER BY {NEWEST}) = 1 AS counts"
    order = "suite, machine, workload, model, adapter, precision"
    return _copied(database, folder, f"SELECT *, {chosen} FROM {rows} ORDER BY {order}")


def _copied(database: Any, folder: Path, query: str) -> Segment:
    """Return the Parquet file of a query; it is whole when it has its name."""
    name = f"part-{secrets.token_hex(8)}.parquet"
    partial = folder / f"{name}.partial"
    try:
        rows = database.execute(f"COPY ({query}) TO {_literal(partial)} {_FORM}").fetchone()[0]
        partial.replace(folder / name)
    finally:
        partial.unlink(missing_ok=True)
    return Segment(name, rows)


def _literal(path: Path) -> str:
    """Return a path as an SQL text where none of its characters stand for others."""
    return "'" + str(path).replace("'", "''") + "'"
