"""Numbers of rows, kept beside the journals from one report to the next.

The key of a row is the content of every record that its numbers depend on; numbers that other code
has computed do not count. The file can be deleted at any time, and one that is damaged, locked or
cannot be written is done without.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from effmark.catalogue.folder import cache_folder, code_version
from effmark.record import Missing
from effmark.rows import Number

__all__ = ["RowCache"]

_FILE = "numbers.sqlite"
_WAIT_S = 5.0
_TABLE = "CREATE TABLE IF NOT EXISTS numbers (key TEXT PRIMARY KEY, crc INTEGER, body TEXT)"


class RowCache:
    """The numbers of earlier reports on a results folder; close it to keep the new ones."""

    def __init__(self, results: Path) -> None:
        self._new: dict[str, str] = {}
        self.hits = 0
        self._database = _opened(results)

    def get(self, key: str) -> Mapping[str, Number | Missing] | None:
        """Return the numbers that were kept under a key, if any."""
        if self._database is None:
            return None
        try:
            query = "SELECT crc, body FROM numbers WHERE key = ?"
            found = self._database.execute(query, (key,)).fetchone()
            if found is None or zlib.crc32(found[1].encode()) != found[0]:
                return None
            metrics = {name: _read(name, told) for name, told in json.loads(found[1]).items()}
        except (sqlite3.Error, ValueError, TypeError):
            return None
        self.hits += 1
        return metrics

    def put(self, key: str, metrics: Mapping[str, Number | Missing]) -> None:
        """Keep numbers until the next report."""
        if self._database is not None:
            self._new[key] = json.dumps({name: _told(n) for name, n in metrics.items()})

    def close(self) -> None:
        """Write what is new; calling it twice is allowed."""
        if self._database is None:
            return
        new = [(key, zlib.crc32(body.encode()), body) for key, body in self._new.items()]
        try:
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO numbers VALUES (?, ?, ?)", new)
        except sqlite3.Error:
            pass  # locked or full: the next report computes them again
        finally:
            self._database.close()
            self._database = None

    def __enter__(self) -> RowCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()


def _opened(results: Path) -> sqlite3.Connection | None:
    """Return the open file, made anew where it is damaged or of other code; None: there is none."""
    if not results.is_dir():
        return None
    try:
        path = cache_folder(results) / _FILE
        if not path.is_file() and (path.exists() or path.is_symlink()):
            return None  # SQLite would wait for a pipe
    except OSError:
        return None
    for _ in range(2):
        try:
            return _checked(path)
        except sqlite3.OperationalError:
            return None  # locked for long, read-only, or a full disk
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
    return None


def _checked(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_WAIT_S)
    try:
        database.execute("PRAGMA synchronous = OFF")
        version = int(code_version()[:7], 16)
        if database.execute("PRAGMA user_version").fetchone()[0] != version:
            with database:
                database.execute("DROP TABLE IF EXISTS numbers")
                database.execute(_TABLE)
                database.execute(f"PRAGMA user_version = {version}")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _told(number: Number | Missing) -> list[Any]:
    if isinstance(number, Missing):
        return [number.metric, number.reason, number.detail]
    return [number.value, number.low, number.high, number.unit, number.n, number.source,
            number.method]  # fmt: skip


def _read(name: str, told: list[Any]) -> Number | Missing:
    if len(told) == 3:
        return Missing(metric=told[0], reason=told[1], detail=told[2])
    return Number(*told)
