"""One run per device: a lock file that the kernel releases when its holder dies.

Two runs on one device measure each other. The second does not fail, it says so: its records carry
`device_exclusive: false` and advice follows; `EFFMARK_LOCK_WAIT_S` lets it wait instead.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["device_lock"]

_LOOK_S = 0.2


@contextmanager
def device_lock(device: str, wait_s: float | None = None) -> Iterator[bool]:
    """Hold the lock of a device while the block runs; gives whether nobody else holds it."""
    if wait_s is None:
        wait_s = float(os.environ.get("EFFMARK_LOCK_WAIT_S", "0"))
    name = f"effmark-{re.sub(r'[^A-Za-z0-9.-]', '_', device)}.lock"
    path = Path(tempfile.gettempdir()) / name
    if not path.exists():
        path.touch()
        path.chmod(0o444)  # other users may lock it too: reading is enough for that
    handle = os.open(path, os.O_RDONLY)
    try:
        yield _taken(handle, time.monotonic() + wait_s)
    finally:
        os.close(handle)


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
