"""SHA-256 of files; of large ones computed once and kept, so that a second run need not read them.

A kept hash is of exactly one state of a file: its place, device, inode, size, time of change of its
content and time of change of its inode. No program can set the last, so that a file which was
edited and given its old date back is read again. A file that changed within the last seconds is
never kept: clocks of file systems tick in milliseconds, and it may change again within one tick.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
from pathlib import Path

from effmark.schema import content_hash

__all__ = ["hash_file"]

_LARGE_B = 16 << 20
"""Smaller files are read in milliseconds."""
_SETTLED_S = 2.0
_DIGEST = re.compile(r"[0-9a-f]{64}")


def hash_file(path: Path, cache: Path | None = None) -> str:
    """Return the SHA-256 of a file.

    Args:
        path: the file.
        cache: where hashes of large files are kept; None to keep none.
    """
    with path.open("rb") as handle:
        found = os.fstat(handle.fileno())
        if cache is None or found.st_size < _LARGE_B:
            return hashlib.file_digest(handle, "sha256").hexdigest()
        before = _state(path, found)
        entry = cache / "hashes" / f"{content_hash(before['path'])[:32]}.json"
        known = _known(entry, before)
        if known:
            return known
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
        after = _state(path, os.fstat(handle.fileno()))
    settled = time.time() - found.st_ctime_ns / 1e9 > _SETTLED_S
    if before == after and settled:
        _keep(entry, {**after, "sha256": digest})
    return digest


def _state(path: Path, found: os.stat_result) -> dict[str, int | str]:
    return {
        "path": str(path.resolve()),
        "device": found.st_dev,
        "inode": found.st_ino,
        "size": found.st_size,
        "written_ns": found.st_mtime_ns,
        "changed_ns": found.st_ctime_ns,
    }


def _known(entry: Path, state: dict[str, int | str]) -> str | None:
    """Return the hash that was kept for this state of a file, if any."""
    try:
        kept = json.loads(entry.read_text("utf-8"))
    except (OSError, ValueError):
        return None  # nothing kept, or nothing that can be read: the file is
    digest = kept.pop("sha256", "") if isinstance(kept, dict) else ""
    return str(digest) if kept == state and _DIGEST.fullmatch(str(digest)) else None


def _keep(entry: Path, body: dict[str, int | str]) -> None:
    """Write an entry whole, or not at all: a cache that cannot be written costs time only."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=entry.parent, delete=False) as sink:
            json.dump(body, sink)
        Path(sink.name).replace(entry)
    except OSError:
        return
