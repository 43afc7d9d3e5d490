"""The kernel, by ctypes: the few calls that Python 3.11 has no function for.

Every function raises OSError as ``os`` does. The library handle keeps the interpreter lock
(PyDLL), which `clone_process` needs and nothing here suffers from.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct

from effmark.sandbox.syscalls import our_numbers

__all__ = [
    "Mount",
    "Namespace",
    "clone_process",
    "drop_capabilities",
    "libc",
    "mount",
    "pivot_to_here",
    "prctl",
    "protect",
    "syscall",
    "turn_off_address_randomization",
    "unshare",
]

libc = ctypes.PyDLL(None, use_errno=True)
libc.prctl.argtypes = (ctypes.c_int, *4 * (ctypes.c_ulong,))
libc.mount.argtypes = (*3 * (ctypes.c_char_p,), ctypes.c_ulong, ctypes.c_char_p)

_ADDR_NO_RANDOMIZE = 0x0040000
_CAPABILITY_VERSION_3 = 0x20080522
_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000


class Namespace:
    """Flags of clone(2) and unshare(2)."""

    MOUNT = 0x00020000
    CGROUP = 0x02000000
    UTS = 0x04000000
    IPC = 0x08000000
    USER = 0x10000000
    PID = 0x20000000
    NET = 0x40000000


class Mount:
    """Flags of mount(2), and attributes of mount_setattr(2) (the same numbers)."""

    RDONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    BIND = 4096
    REC = 16384
    PRIVATE = 1 << 18


# Structures go to the kernel as bytes objects: a ctypes buffer would make a new type each time,
# which costs a job's process some eighty page faults.


def _checked(result: int, what: str, where: str = "") -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what} {where}".strip() + f": {os.strerror(code)}")
    return result


def syscall(name: str, *arguments: object) -> int:
    """Return what a raw system call returns; raise OSError where it fails."""
    return _checked(libc.syscall(our_numbers()[name], *arguments), name)


def unshare(flags: int) -> None:
    """Leave the given namespaces for new ones."""
    _checked(libc.unshare(flags), "unshare")


def prctl(option: int, *arguments: int) -> int:
    """Return the answer of a process-control request, missing arguments being 0."""
    first, second, third, fourth = (*arguments, 0, 0, 0, 0)[:4]
    return _checked(libc.prctl(option, first, second, third, fourth), "prctl")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount `source` on `target`."""
    done = libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode())
    _checked(done, "mount", target)


def protect(path: str, attributes: int, *, recursive: bool) -> None:
    """Add mount attributes (read-only, no setuid) to the mount at `path`, and to those below."""
    request = struct.pack("QQQQ", attributes, 0, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    syscall("mount_setattr", _AT_FDCWD, path.encode(), flags, request, ctypes.c_ulong(32))


def pivot_to_here() -> None:
    """Make the current directory the root and let go of the old one."""
    syscall("pivot_root", b".", b".")
    _checked(libc.umount2(b".", _MNT_DETACH), "umount2")
    os.chdir("/")


def drop_capabilities() -> None:
    """Give up every capability, for good."""
    syscall("capset", struct.pack("Ii", _CAPABILITY_VERSION_3, 0), bytes(24))


def turn_off_address_randomization() -> None:
    """Fix the address layout of whatever this process executes next."""
    _checked(libc.personality(ctypes.c_ulong(_ADDR_NO_RANDOMIZE)), "personality")


def clone_process(namespaces: int) -> int:
    """Return a child's process id, 0 in the child, which lives in new namespaces.

    Two things that fork(3) and os.fork() do are left out, as they touch two hundred pages of the
    new process, each a fault. glibc keeps the caller's thread id and a raw clone does not refresh
    it: the caller must be process 1 of its own process namespace, then the stale id is the right
    one in the child too. And Python neither takes its locks before nor remakes them after, nor
    runs the handlers of ``os.register_at_fork``: the caller must have a single thread, and the
    child seeds `random` itself.
    """
    flags = ctypes.c_ulong(namespaces | signal.SIGCHLD)
    return _checked(libc.syscall(our_numbers()["clone"], flags, 0, 0, 0, 0), "clone")
