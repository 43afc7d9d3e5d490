"""Landlock: the second wall around a job's files, and the first where namespaces are refused.

Works for everybody without privilege. The interface grows with the kernel: files since ABI 1,
TCP since 4, device ioctls since 5, signals and abstract sockets since 6. What the kernel does not
know is not asked for, and the ABI is part of the recorded name of the layer.

Source: ``man 7 landlock``, ``linux/landlock.h``.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from effmark.sandbox.kernel import prctl, syscall

__all__ = ["landlock_abi", "make_ruleset", "restrict_to"]

_VERSION_FLAG = 1
_PATH_BENEATH = 1
_READ = (1 << 2) | (1 << 3)  # read files, read directories; never execute
_OF_A_FILE = (1 << 1) | (1 << 2) | (1 << 14)  # write, read, truncate: all else is for folders
_TCP = 0b11  # bind, connect
_SCOPES = 0b11  # abstract unix sockets, signals
_QUIET = 1  # ABI 7: no audit message for each refusal
_PR_SET_NO_NEW_PRIVS = 38


def landlock_abi() -> int:
    """Return the version of the interface that this kernel offers, 0 for none."""
    try:
        return syscall("landlock_create_ruleset", None, ctypes.c_size_t(0), _VERSION_FLAG)
    except OSError:
        return 0


def _files_handled(abi: int) -> int:
    last_bit = 15 if abi >= 5 else 14 if abi >= 3 else 13 if abi == 2 else 12
    return int((1 << (last_bit + 1)) - 1)


def make_ruleset(
    abi: int, *, readable: Iterable[str], devices: Iterable[str], writable: Iterable[str]
) -> int:
    """Return the descriptor of a ruleset: these files and what is below them, no TCP, no signals.

    A rule holds for what is mounted below its folder, too, now or later.
    """
    files = _files_handled(abi)
    attributes = struct.pack("QQQ", files, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = syscall("landlock_create_ruleset", attributes, ctypes.c_size_t(size), 0)
    for path in readable:
        _allow(ruleset, path, _READ & files)
    for path in devices:
        _allow(ruleset, path, _OF_A_FILE & files)
    for path in writable:
        _allow(ruleset, path, files)
    return ruleset


def restrict_to(ruleset: int, abi: int) -> None:
    """Confine this thread and its children to a ruleset, for good; close its descriptor."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    syscall("landlock_restrict_self", ruleset, _QUIET if abi >= 7 else 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(os.fstat(target).st_mode):
        rights &= _OF_A_FILE
    rule = struct.pack("=Qi", rights, target)
    try:
        syscall("landlock_add_rule", ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(target)
