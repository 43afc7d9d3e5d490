"""Things that are made once: downloads and conversions, by content hash, atomic, under a lock.

An entry is a folder that appears by one rename when it is whole, so a build that is interrupted
leaves nothing half-used. Builders of the same entry wait for each other on a lock file that the
kernel releases when its holder dies. What cannot be made of just this content is remembered beside
the entries with its reason, so that minutes of trying are spent once.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from effmark.errors import PrerequisiteError, UnsupportedError
from effmark.regular_files import NotRegular, open_regular

__all__ = ["build_once", "default_cache", "home_folder", "locked"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


def default_cache() -> Path:
    """Return the folder for models and conversions: `$EFFMARK_CACHE`, else the user's cache."""
    given = os.environ.get("EFFMARK_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or home_folder() / ".cache") / "effmark"


def home_folder() -> Path:
    """Return the user's home.

    Raises:
        PrerequisiteError: there is none, as for a numeric user in a container.
    """
    try:
        return Path.home()
    except RuntimeError as error:
        raise PrerequisiteError(
            "no home folder: HOME is not set and the user has no entry in the password file; name "
            "a folder for models with EFFMARK_CACHE and one for results with --results"
        ) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a path while the block runs; wait for another holder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _lock_file(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _lock_file(path: Path) -> int:
    """Return a descriptor of a lock; another user's can be locked by whoever can read it."""
    try:
        return open_regular(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        return open_regular(path)


def build_once(
    cache: Path,
    kind: str,
    key: str,
    build: Callable[[Path], None],
    what: str,
    *,
    remember_refusal: bool = False,
) -> Path:
    """Return the folder `cache/kind/key`, made by `build(folder)` if it is not there yet.

    Raises:
        PrerequisiteError: the cache is full or cannot be written.
        UnsupportedError: `build` refused, now or, where that is remembered, before.

    Args:
        cache: Root of the cache.
        kind: What sort of thing it is, `onnx` or `gguf` say; a folder name.
        key: Hash of everything that the content depends on: source, converter versions, options.
        build: Fills an empty folder; whatever it raises leaves no entry behind.
        what: What people read on stderr while it is being made; empty to say nothing.
        remember_refusal: Whether an `UnsupportedError` of `build` follows from the key alone, so
            that it is raised again without building. No other error is remembered.
    """
    entry = cache / kind / key
    if entry.is_dir():
        return entry
    try:
        return _built(entry, _remembering(entry, build) if remember_refusal else build, what)
    except OSError as error:
        if error.errno not in _NO_ROOM and not isinstance(error, NotRegular):
            raise
        raise PrerequisiteError(
            f"cache {str(cache)!r} cannot hold {what or kind}: {_why(error)}; make room, or "
            "name another folder with EFFMARK_CACHE"
        ) from error


def _why(error: OSError) -> str:
    return (
        f"{str(error.filename)!r} {error.strerror}"
        if isinstance(error, NotRegular)
        else (error.strerror or str(error))
    )


def _remembering(entry: Path, build: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return a builder that keeps a refusal in a file beside the entry, and repeats it."""
    refusal = entry.with_name(f"{entry.name}.refused")

    def refusing(folder: Path) -> None:
        if refusal.is_file():
            raise UnsupportedError(refusal.read_text("utf-8"))
        try:
            build(folder)
        except UnsupportedError as error:
            written = folder / refusal.name
            written.write_text(str(error), "utf-8")
            written.rename(refusal)
            raise

    return refusing


def _built(entry: Path, build: Callable[[Path], None], what: str) -> Path:
    """Return the entry, made under its lock unless somebody else made it meanwhile."""
    folder, key = entry.parent, entry.name
    with locked(folder / f"{key}.lock"):
        if entry.is_dir():
            return entry
        for left_by_a_killed_builder in folder.glob(f"{glob.escape(key)}.partial-*"):
            shutil.rmtree(left_by_a_killed_builder, ignore_errors=True)
        if what:
            print(f"effmark: preparing {what} (once)", file=sys.stderr, flush=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{key}.partial-", dir=folder))
        try:
            build(partial)
            partial.rename(entry)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return entry
