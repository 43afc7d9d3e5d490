"""The processes that do the work: this one and what it started, less the instruments' own.

Physics: the kernel lists the children of a thread in `task/TID/children`, and adds the CPU time of
a child to that of its parent when the parent waits for it, so a child that ended is not lost. What
an instrument starts (codecarbon asks `lscpu` and others what the machine is) belongs to the
instrument: its whole sub-tree is left out while it lives, and its time is taken off when it has
been waited for.
"""

from __future__ import annotations

import os
import resource
import subprocess
import time
from pathlib import Path

import psutil

__all__ = ["WorkTime", "add_instrument", "bury_instrument", "children"]

_SPACING_S = 1.0
"""How often living children are looked for; one that is found late has its time counted then."""
_TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01

_instruments: set[int] = set()
_buried_s = 0.0
"""CPU time of instruments that were waited for, in seconds."""


def add_instrument(pid: int) -> None:
    """Leave out a child of this process and everything that it starts."""
    _instruments.add(pid)


def bury_instrument(process: subprocess.Popen[bytes], timeout_s: float | None = None) -> None:
    """Wait for an instrument's end; its time is not the work's.

    Raises:
        subprocess.TimeoutExpired: it did not end within `timeout_s`.
    """
    global _buried_s
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while process.returncode is None:
        pid, status, usage = os.wait4(process.pid, 0 if deadline is None else os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            _buried_s += usage.ru_utime + usage.ru_stime
            _instruments.discard(pid)
        elif deadline is not None and time.monotonic() > deadline:
            raise subprocess.TimeoutExpired(process.args, timeout_s or 0.0)
        else:
            time.sleep(0.005)


def children(proc: Path = Path("/proc")) -> list[int]:
    """Return the living children of this process and theirs, without the instruments' trees."""
    found: list[int] = []
    open_ends = [os.getpid()]
    while open_ends:
        born = [pid for pid in _born_of(open_ends.pop(), proc) if pid not in _instruments]
        found += born
        open_ends += born
    return found


def _born_of(pid: int, proc: Path) -> list[int]:
    """Return the children of a process; none where it is gone."""
    try:
        threads = os.listdir(proc / str(pid) / "task")  # noqa: PTH208 - names only, it is read often
        texts = [(proc / str(pid) / "task" / tid / "children").read_bytes() for tid in threads]
        return [int(child) for text in texts for child in text.split()]
    except FileNotFoundError:  # it or a thread of it has ended, or the kernel has no such file
        try:
            return [child.pid for child in psutil.Process(pid).children()]
        except psutil.Error:
            return []
    except OSError:
        return []


class WorkTime:
    """The CPU time of this process and of its children, those that ended included."""

    def __init__(self) -> None:
        self._living: list[int] = []
        self._next_look = 0.0
        self._last_s = 0.0

    def read(self) -> float:
        """Return seconds since some fixed moment; they never fall."""
        now = time.monotonic()
        if now >= self._next_look:
            self._living = children()
            self._next_look = now + _SPACING_S
        living_s = sum(map(_spent_s, self._living))
        own, ended = (resource.getrusage(who) for who in _WHO)
        sums = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
        # one that ends between the two readings is in both once: never less than before
        self._last_s = max(self._last_s, sums + living_s - _buried_s)
        return self._last_s


_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def _spent_s(pid: int) -> float:
    """Return the CPU time of a process and of its ended children in seconds; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0.0
    fields = text[text.rindex(b")") + 2 :].split()
    return sum(int(ticks) for ticks in fields[11:15]) * _TICK_S
