"""The folder beside the journals that can be deleted at any time, and who may write to it."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path

from effmark.record import SCHEMA_VERSION
from effmark.regular_files import open_regular
from effmark.store import journals_of

__all__ = [
    "CACHE_FOLDER",
    "LARGE_B",
    "cache_folder",
    "code_version",
    "is_large",
    "locked",
]

CACHE_FOLDER = ".effmark-cache"
LARGE_B = 16_000_000
"""Journals above this, a thousand records or more, are asked by their catalogue, not read whole."""
_DECIDING = (
    "code/cost_interval.py", "code/cost_rows.py", "energy_numbers.py", "metrics.py", "record.py",
    "rows.py", "samples.py", "spec.py",
    "catalogue/columns.py", "scores", "stats", "store",
)  # fmt: skip
"""The code that decides what numbers and keys are; what older code has cached does not count."""


def is_large(results: Path, large_b: int = LARGE_B) -> bool:
    """Return whether results are a folder that is better asked by its catalogue."""
    return results.is_dir() and sum(map(_size_b, journals_of(results))) > large_b


def _size_b(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # gone since it was seen, or hidden: whoever reads it says so


def cache_folder(results: Path) -> Path:
    """Return the cache of a results folder after making it.

    Raises:
        OSError: it cannot be made.
    """
    folder = results / CACHE_FOLDER
    if not folder.is_dir():
        folder.mkdir(exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
    return folder


@cache
def code_version() -> str:
    """Return what stands for the code that a cache was written by."""
    digest = hashlib.sha256(str(SCHEMA_VERSION).encode())
    for name in _DECIDING:
        part = Path(str(files("effmark"))) / name
        for path in sorted(part.glob("*.py")) if part.is_dir() else [part]:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only one who writes to a cache; the kernel frees the lock of a process that dies."""
    handle = open_regular(folder / "lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
