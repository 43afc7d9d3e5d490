"""Files are opened only where they are regular: a pipe blocks, a device may never end.

What lies under a name that is expected may be anything on a shared machine: a pipe that nobody
writes to, a dangling link, a folder.
"""

from __future__ import annotations

import errno
import gzip
import os
import stat
import tempfile
import zlib
from pathlib import Path

from effmark.errors import SpecError

__all__ = ["NotRegular", "given_bytes", "irregular", "open_regular", "read_regular",
           "replace_file"]  # fmt: skip

_KINDS = {
    stat.S_IFIFO: "a pipe", stat.S_IFDIR: "a folder", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


class NotRegular(OSError):
    """Something else than a file lies under a name."""


def open_regular(path: Path, flags: int = os.O_RDONLY, mode: int = 0o644) -> int:
    """Return a descriptor of a regular file; never waits for whoever is at the other end.

    Raises:
        OSError: it cannot be opened, or it is no regular file.
    """
    try:
        fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno not in (errno.ENXIO, errno.EISDIR):  # what a pipe, a socket, a folder say
            raise
        raise _not_regular(path) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _not_regular(path)
    return fd


def _not_regular(path: Path) -> NotRegular:
    return NotRegular(errno.EINVAL, irregular(path), str(path))


def irregular(path: Path | str) -> str:
    """Return what lies under a name that is no regular file, in words for people."""
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)  # noqa: PTH116 - no Path for each of many names
    except OSError as error:
        link = os.path.islink(path)  # noqa: PTH114
        return "is a dangling link" if link else f"cannot be read: {error.strerror}"
    return f"is {_KINDS.get(kind, 'no file')}, wants a regular file"


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


def replace_file(target: Path, content: bytes) -> None:
    """Put a file in place in one step: readers see the old one or the new one, whole.

    A link keeps pointing where it does, and what is no regular file (`/dev/null`) is written to.

    Raises:
        OSError: it cannot be written; the old one is as it was.
    """
    if target.exists() and not target.is_file():  # before links: /dev/stdout may lead to no name
        _write_into(target, content)
        return
    target = Path(os.path.realpath(target))
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(handle, mode)
            os.fsync(handle)
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)  # still there only where something failed


def _write_into(target: Path, content: bytes) -> None:
    """Write to a device or a pipe; a pipe that nobody reads is an error, not a wait."""
    handle = os.open(target, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(handle, True)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
