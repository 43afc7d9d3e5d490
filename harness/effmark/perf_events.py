"""Kernel performance counters: how many user instructions (or cycles) a process retired.

``perf_event_open(2)`` attaches one counter to one process; with `inherit` it also sums up the
threads and children that the process starts afterwards. Counted in user mode only, the number of
retired instructions of a deterministic program hardly depends on the machine's load, which is why
it ranks programs better than any clock. It is blind to the kernel's work, to cache misses and to
sleeping. One counter per process is opened, so the kernel never has to share it out over time;
`Reading.was_multiplexed` tells when it did all the same.

Source: ``man 2 perf_event_open``, ``linux/perf_event.h``. The module is standard library only and
needs no other effmark module but the errors, so that it also runs inside the sandbox.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple, Self

from effmark.errors import PrerequisiteError

__all__ = ["CounterAbsent", "CounterEvent", "InstructionCounter", "Reading", "open_counter"]

CounterEvent = Literal["instructions", "cycles", "task_clock"]
"""`task_clock` (nanoseconds on a CPU) is a software event: it is there without any hardware."""

# (type, config): PERF_TYPE_HARDWARE is 0, PERF_TYPE_SOFTWARE is 1.
_EVENTS = {"instructions": (0, 1), "cycles": (0, 0), "task_clock": (1, 1)}
_SYSCALL_NUMBERS = {"x86_64": 298, "aarch64": 241, "arm64": 241, "riscv64": 241, "ppc64le": 319}
_ATTR_B = 128  # PERF_ATTR_SIZE_VER7; the kernel accepts a longer one if the tail is zero
_DISABLED, _INHERIT, _EXCLUDE_KERNEL, _EXCLUDE_HV = 1 << 0, 1 << 1, 1 << 5, 1 << 6
_REMOVE_ON_EXEC = 1 << 36
"""Since Linux 5.13; an older kernel refuses it as a reserved bit."""
_TOTAL_TIME_ENABLED, _TOTAL_TIME_RUNNING = 1 << 0, 1 << 1
_FD_CLOEXEC = 1 << 3
_IOC_ENABLE, _IOC_DISABLE = 0x2400, 0x2401
_REFUSED = (errno.EACCES, errno.EPERM)
_NO_HARDWARE = (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP)


@dataclass(frozen=True)
class CounterAbsent:
    """Why no counter can be had here; the reasons are those of a missing number."""

    reason: Literal["not_supported", "not_permitted", "not_present", "failed"]
    detail: str
    """The kernel's words and what the user can do about it, on one line."""


class Reading(NamedTuple):
    """One reading of a counter."""

    value: int
    time_enabled_ns: int
    time_running_ns: int

    @property
    def was_multiplexed(self) -> bool:
        """Whether the counter was off the hardware for a while, so that `value` is too small."""
        return self.time_running_ns < self.time_enabled_ns


class InstructionCounter:
    """One counter on one process, closed by `close` or the end of a ``with`` block."""

    def __init__(
        self,
        pid: int = 0,
        *,
        event: CounterEvent = "instructions",
        inherit: bool = True,
        exclude_kernel: bool = True,
        enabled: bool = False,
        until_exec: bool = False,
    ) -> None:
        """Open the counter on process `pid` (0: this one), or raise `PrerequisiteError`."""
        flags = _flags(inherit=inherit, user=exclude_kernel, enabled=enabled, until_exec=until_exec)
        absent = self._open(pid, event, flags)
        if absent is not None:
            raise PrerequisiteError(f"counter {event!r}: {absent.detail}")

    def _open(self, pid: int, event: CounterEvent, flags: int) -> CounterAbsent | None:
        self._fd = -1
        number = _SYSCALL_NUMBERS.get(platform.machine())
        if sys.platform != "linux" or number is None:
            where = f"{sys.platform} on {platform.machine()}"
            return CounterAbsent("not_supported", f"no perf events on {where}; Linux has them")
        attr = _attributes(event, flags)
        fd = _libc().syscall(number, attr, pid, -1, -1, ctypes.c_ulong(_FD_CLOEXEC))
        if fd < 0 and ctypes.get_errno() == errno.EINVAL and flags & _REMOVE_ON_EXEC:
            return self._open(pid, event, flags & ~_REMOVE_ON_EXEC)
        if fd < 0:
            return _why_absent(ctypes.get_errno())
        self._fd = int(fd)
        return None

    def enable(self) -> None:
        """Start counting, in the process and in all that inherited the counter."""
        self._ioctl(_IOC_ENABLE)

    def disable(self) -> None:
        """Stop counting; the count stays readable."""
        self._ioctl(_IOC_DISABLE)

    def read(self) -> Reading:
        """Return the count so far and the nanoseconds enabled and on the hardware."""
        return Reading(*struct.unpack("QQQ", os.read(self._fd, 24)))

    def close(self) -> None:
        """Give the counter back; harmless when done twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _ioctl(self, request: int) -> None:
        import fcntl  # not on Windows, where no counter is ever open

        fcntl.ioctl(self._fd, request, 0)


def open_counter(
    pid: int = 0,
    *,
    event: CounterEvent = "instructions",
    inherit: bool = True,
    exclude_kernel: bool = True,
    enabled: bool = False,
    until_exec: bool = False,
) -> InstructionCounter | CounterAbsent:
    """Return an open counter on process `pid` (0: this one), or the reason why there is none.

    With `until_exec`, a child that starts another program is not counted from then on.
    """
    counter = InstructionCounter.__new__(InstructionCounter)
    flags = _flags(inherit=inherit, user=exclude_kernel, enabled=enabled, until_exec=until_exec)
    absent = counter._open(pid, event, flags)
    return counter if absent is None else absent


def _flags(*, inherit: bool, user: bool, enabled: bool, until_exec: bool) -> int:
    found = _EXCLUDE_HV | _INHERIT * inherit | _EXCLUDE_KERNEL * user
    return found | _DISABLED * (not enabled) | _REMOVE_ON_EXEC * until_exec


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _attributes(event: CounterEvent, flags: int) -> bytes:
    kind, config = _EVENTS[event]
    read_format = _TOTAL_TIME_ENABLED | _TOTAL_TIME_RUNNING
    # type, size, config, sample_period, sample_type, read_format, flags
    head = struct.pack("IIQQQQQ", kind, _ATTR_B, config, 0, 0, read_format, flags)
    return head.ljust(_ATTR_B, b"\0")


def _why_absent(code: int) -> CounterAbsent:
    words = f"{errno.errorcode.get(code, code)} ({os.strerror(code)})"
    if code in _REFUSED:
        remedy = f"kernel.perf_event_paranoid is {_paranoid()}, user mode needs 2 or less"
        remedy += ": sysctl kernel.perf_event_paranoid=2; a container also needs CAP_PERFMON"
        return CounterAbsent("not_permitted", f"perf_event_open refused: {words}; {remedy}")
    if code in _NO_HARDWARE:
        remedy = "a virtual machine must be given a PMU by its host"
        return CounterAbsent("not_present", f"no hardware counter: {words}; {remedy}")
    if code == errno.ENOSYS:
        return CounterAbsent("not_supported", f"a kernel without perf events: {words}")
    return CounterAbsent("failed", f"perf_event_open: {words}")


def _paranoid() -> str:
    try:
        with open("/proc/sys/kernel/perf_event_paranoid") as file:  # noqa: PTH123 (bare stdlib)
            return file.read().strip()
    except OSError:
        return "unreadable"
