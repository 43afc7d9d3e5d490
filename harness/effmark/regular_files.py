"""Files are opened only where they are regular: a pipe blocks, a device may never end.

What lies under a name that is expected may be anything on a shared machine: a pipe that nobody
writes to, a dangling link, a folder.
"""

from __future__ import annotations

import errno
import gzip
import os
import stat
import zlib
from pathlib import Path

from effmark.errors import SpecError

__all__ = ["given_bytes", "open_regular", "read_regular"]

_KINDS = {
    stat.S_IFIFO: "a pipe", stat.S_IFDIR: "a folder", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def open_regular(path: Path, flags: int = os.O_RDONLY, mode: int = 0o644) -> int:
    """Return a descriptor of a regular file; never waits for whoever is at the other end.

    Raises:
        OSError: it cannot be opened, or it is no regular file.
    """
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    kind = stat.S_IFMT(os.fstat(fd).st_mode)
    if kind != stat.S_IFREG:
        os.close(fd)
        what = _KINDS.get(kind, "no file")
        raise OSError(errno.EINVAL, f"is {what}, wants a regular file", str(path))
    return fd


def read_regular(path: Path) -> bytes:
    """Return what a regular file holds.

    Raises:
        OSError: it cannot be read, or it is no regular file.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read()


def given_bytes(path: Path, what: str) -> bytes:
    """Return what a file holds that a user named, unpacked where it ends in `.gz`.

    Raises:
        SpecError: it cannot be read; the sentence begins with what it is for.
    """
    try:
        raw = read_regular(path)
        return gzip.decompress(raw) if path.suffix == ".gz" else raw
    except FileNotFoundError as error:
        raise SpecError(f"{what} {str(path)!r} cannot be read: no such file") from error
    except (OSError, EOFError, zlib.error, ValueError) as error:  # a null character in the name
        why = getattr(error, "strerror", None) or error
        raise SpecError(f"{what} {str(path)!r} cannot be read: {why}") from error
