"""The file that a process appends its records to, and the folder where it lies."""

from __future__ import annotations

import datetime
import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from effmark.cache import home_folder
from effmark.errors import StoreError
from effmark.record import Record
from effmark.regular_files import open_regular
from effmark.store.lines import seal

__all__ = ["Journal", "results_folder"]

_STAMP = "%Y%m%dT%H%M%S.%f"
_STAMP_LENGTH = len("20261122T043901.924153")


def results_folder(given: str | None = None) -> Path:
    """Return where results go: the option, `$EFFMARK_RESULTS`, the checkout, the user's folder.

    Raises:
        PrerequisiteError: nobody named a folder, and the user has no home.
        StoreError: it lies where this user may not look.
    """
    folder = _named(given)
    try:
        folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # whoever needs it says so
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise StoreError(f"results {str(folder)!r:.300} cannot be read: {why}") from error
    return folder


def _named(given: str | None) -> Path:
    if given:
        return Path(given)
    if os.environ.get("EFFMARK_RESULTS"):
        return Path(os.environ["EFFMARK_RESULTS"])
    if os.path.isdir("results"):  # noqa: PTH112 - a current folder may be gone or hidden
        return Path("results").absolute()
    home = os.environ.get("XDG_DATA_HOME") or home_folder() / ".local" / "share"
    return Path(home) / "effmark" / "results"


class Journal:
    """The file that this process appends its records to."""

    def __init__(self, results: Path, suite: str, version: int) -> None:
        self.folder = results / f"{suite}-v{version}"
        # the start comes first, so that journals in the order of their names are in order of time
        self.path = (
            self.folder / f"{_start(self.folder)}-{socket.gethostname()}-{os.getpid()}.jsonl"
        )
        self._fd: int | None = None

    def append(self, *records: Record) -> None:
        """Write records, each with one write, so that they survive whatever happens next.

        Raises:
            StoreError: the folder cannot be written or the disk is full.
        """
        self._write(seal(record.model_dump_json().encode()) for record in records)

    def close(self) -> None:
        """Close the file; calling it twice is allowed.

        Raises:
            StoreError: the folder was removed meanwhile, and cannot be made again.
        """
        if self._fd is None:
            return
        try:
            if os.fstat(self._fd).st_size:
                self._write(())
        finally:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def __enter__(self) -> Journal:
        """Open the file: a folder that cannot be written is known before anything is measured.

        Raises:
            StoreError: the folder cannot be written.
        """
        self._write(())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, lines: Iterable[bytes]) -> None:
        try:
            fd = self._there()
            for line in lines:
                written = os.write(fd, line)
                if written != len(line):
                    raise StoreError(
                        f"results {str(self.path)!r}: only {written} of {len(line)} bytes were "
                        "written; free disk space and run the same command again"
                    )
            os.fsync(fd)
        except OSError as error:
            raise StoreError(f"results {str(self.path)!r} cannot be written: {error}") from error

    def _there(self) -> int:
        """Return the open file; written anew, with all that it held, where it was removed."""
        if self._fd is None or _is_at(self._fd, self.path):
            return self._open()
        lost, self._fd = self._fd, None
        try:
            held = os.pread(lost, os.fstat(lost).st_size, 0)
            print(f"effmark: results {str(self.folder)!r} were removed meanwhile; what this run "
                  "has measured is written again", file=sys.stderr, flush=True)  # fmt: skip
            while held:
                held = held[os.write(self._open(), held) :]
        finally:
            os.close(lost)
        return self._open()

    def _open(self) -> int:
        if self._fd is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._fd = open_regular(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
            _heal_tail(self._fd)
            directory = os.open(self.folder, os.O_RDONLY)
            os.fsync(directory)
            os.close(directory)
        return self._fd


def _start(folder: Path) -> str:
    """Return the start of a new journal: now, or just after the newest journal that is there.

    A clock that was set back, or that of another host that is ahead, then orders nothing.
    """
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    newest = max((path.name for path in folder.glob("*.jsonl")), default="")
    try:
        last = datetime.datetime.strptime(newest[:_STAMP_LENGTH], _STAMP)
        return max(now, last + datetime.timedelta(microseconds=1)).strftime(_STAMP)
    except (ValueError, OverflowError):
        return now.strftime(_STAMP)


def _is_at(fd: int, path: Path) -> bool:
    """Return whether an open file still lies where it was opened."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False


def _heal_tail(fd: int) -> None:
    """End a torn last line, so that the next record does not merge into it."""
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        os.write(fd, b"\n")
