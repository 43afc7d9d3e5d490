"""The journal: append-only JSON lines, one file per writer, the only truth about results.

`results/<suite>-v<version>/<start>-<host>-<pid>.jsonl`, one record a line, the last key of each
line a CRC-32 of all bytes before it. A record is one `os.write`, then fsync: a writer that is
killed leaves at most one torn line, which readers count and skip, and no two writers share a
file.
"""

from __future__ import annotations

import datetime
import json
import os
import socket
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from effmark.errors import StoreError
from effmark.record import SCHEMA_VERSION, Record

__all__ = ["Damage", "Journal", "decode", "encode", "latest", "read_records", "results_folder"]

_TAIL = len(b',"crc":"00000000"}\n')


def results_folder(given: str | None = None) -> Path:
    """Return where results go: the option, `$EFFMARK_RESULTS`, the checkout, the user's folder."""
    if given:
        return Path(given)
    if os.environ.get("EFFMARK_RESULTS"):
        return Path(os.environ["EFFMARK_RESULTS"])
    if (Path.cwd() / "results").is_dir():
        return Path.cwd() / "results"
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "effmark" / "results"


def encode(body: dict[str, Any]) -> bytes:
    """Return one journal line; the crc covers every byte before it."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    return b'%s,"crc":"%08x"}\n' % (text[:-1], zlib.crc32(text))


def decode(raw: bytes) -> dict[str, Any] | None:
    """Return the body of a line, or None for a torn or damaged one."""
    if raw[-_TAIL : -_TAIL + 8] != b',"crc":"' or raw[-3:] != b'"}\n':
        return None
    text = raw[:-_TAIL] + b"}"
    if raw[-11:-3] != b"%08x" % zlib.crc32(text):
        return None
    try:
        body = json.loads(text)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


class Journal:
    """The file that this process appends its records to."""

    def __init__(self, results: Path, suite: str, version: int) -> None:
        self.folder = results / f"{suite}-v{version}"
        # the start comes first, so that journals in the order of their names are in order of time
        start = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%f")
        self.path = self.folder / f"{start}-{socket.gethostname()}-{os.getpid()}.jsonl"
        self._fd: int | None = None

    def append(self, record: Record) -> None:
        """Write a record so that it survives whatever happens next.

        Raises:
            StoreError: the folder cannot be written or the disk is full.
        """
        line = encode(record.model_dump(mode="json"))
        try:
            fd = self._open()
            written = os.write(fd, line)
            os.fsync(fd)
        except OSError as error:
            raise StoreError(f"results {str(self.path)!r} cannot be written: {error}") from error
        if written != len(line):
            raise StoreError(
                f"results {str(self.path)!r}: only {written} of {len(line)} bytes were written; "
                "free disk space and run the same command again"
            )

    def close(self) -> None:
        """Close the file; calling it twice is allowed."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> int:
        if self._fd is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            _heal_tail(self._fd)
            directory = os.open(self.folder, os.O_RDONLY)
            os.fsync(directory)
            os.close(directory)
        return self._fd


def _heal_tail(fd: int) -> None:
    """End a torn last line, so that the next record does not merge into it."""
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        os.write(fd, b"\n")


@dataclass
class Damage:
    """Lines that could not be read; a store with damage is usable and says so."""

    places: list[str] = field(default_factory=list)

    def note(self, path: Path, line: int, what: str) -> None:
        """Remember one unreadable line."""
        self.places.append(f"{path}:{line}: {what}")


def read_records(results: Path, damage: Damage | None = None) -> Iterator[Record]:
    """Yield all records below a folder (or in one file), in file and line order.

    Raises:
        StoreError: there is no such folder or file.
    """
    if not results.exists():
        raise StoreError(f"results {str(results)!r}: no such folder; run `effmark run` first")
    found = damage if damage is not None else Damage()
    files = (
        [results]
        if results.is_file()
        else sorted(results.rglob("*.jsonl"), key=lambda path: path.name)
    )
    for path in files:
        with path.open("rb") as handle:
            for number, raw in enumerate(handle, start=1):
                record = _parse(raw, path, number, found)
                if record is not None:
                    yield record


def _parse(raw: bytes, path: Path, number: int, damage: Damage) -> Record | None:
    body = decode(raw)
    if body is None:
        damage.note(path, number, "torn or damaged line")
        return None
    version = body.get("schema_version")
    if version != SCHEMA_VERSION:
        damage.note(
            path, number, f"schema version {version!r}, this effmark reads {SCHEMA_VERSION}"
        )
        return None
    try:
        return Record.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        damage.note(path, number, f"{where}: {first['msg']}")
        return None


def latest(records: Iterator[Record]) -> dict[str, Record]:
    """Return the last record of each cell key; a later attempt replaces an earlier one."""
    return {record.cell.key: record for record in records}
