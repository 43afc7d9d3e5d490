"""One run per device: a lock file that the kernel releases when its holder dies.

Two runs on one device measure each other. The second does not fail, it says so: its records carry
`device_exclusive: false` and advice follows; `EFFMARK_LOCK_WAIT_S` lets it wait instead.
"""

from __future__ import annotations

import fcntl
import math
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from effmark.errors import SpecError
from effmark.regular_files import open_regular

__all__ = ["device_lock"]

_LOOK_S = 0.2


@contextmanager
def device_lock(device: str, wait_s: float | None = None) -> Iterator[bool]:
    """Hold the lock of a device while the block runs; gives whether nobody else holds it.

    Raises:
        SpecError: `EFFMARK_LOCK_WAIT_S` is no number of seconds.
    """
    if wait_s is None:
        wait_s = _asked_s()
    handle = _opened(Path(tempfile.gettempdir()), re.sub(r"[^A-Za-z0-9.-]", "_", device))
    if handle is None:
        yield False  # nobody can tell
        return
    try:
        yield _taken(handle, time.monotonic() + wait_s)
    finally:
        os.close(handle)


def _asked_s() -> float:
    text = os.environ.get("EFFMARK_LOCK_WAIT_S", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise SpecError(f"EFFMARK_LOCK_WAIT_S: {text!r:.80} is no number of seconds from 0")
    return seconds


def _opened(folder: Path, device: str) -> int | None:
    """Return an open lock file that all users share, or this user's own where that cannot be.

    A file of another user is not created again where the folder is sticky, so it is opened as it
    is; what somebody else has put in its place, a pipe or a link into nowhere, is left alone.
    """
    for name in (f"effmark-{device}.lock", f"effmark-{device}-{os.getuid()}.lock"):
        for flags in (os.O_CREAT | os.O_NOFOLLOW, os.O_NOFOLLOW):
            try:
                handle = open_regular(folder / name, os.O_RDONLY | flags, 0o444)
            except OSError:
                continue
            with suppress(OSError):  # another user's
                os.fchmod(handle, 0o444)  # others may lock it too: reading is enough for that
            return handle
    return None


def _taken(handle: int, deadline_s: float) -> bool:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(_LOOK_S)
        else:
            return True
