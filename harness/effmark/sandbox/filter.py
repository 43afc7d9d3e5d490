"""The system-call filter of a job: a seccomp program, built from the tables of ``syscalls.py``.

Allowed calls pass; refused ones fail with EPERM; all others fail with ENOSYS (see there why).
Conditions: ``clone`` makes threads only; ``prctl`` and ``ioctl`` a few harmless requests;
``prlimit64`` and ``setpriority`` the caller itself; ``fcntl`` everything but signals to owners; ``kill`` and ``tgkill`` the caller itself, and nobody at all
where the job is process 1 of its namespace (the kernel would silently drop such a signal, and a
program that kills itself must not run on as if nothing had happened).
A call of another architecture, or of x32, kills the process.

Source: ``man 2 seccomp``, ``linux/filter.h``. 64-bit arguments are compared by their lower half,
except for the flags of ``clone``, whose upper half the kernel ignores as well.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import NamedTuple

from effmark.sandbox.kernel import libc, prctl
from effmark.sandbox.syscalls import ALLOWED, ARCHITECTURES, CONDITIONAL, REFUSED, numbers

__all__ = ["build_filter", "install_filter"]

_LOAD, _JUMP_EQ, _JUMP_SET, _JUMP_GE, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_X32_BIT = 0x40000000
_CLONE_THREAD = 0x00010000
# PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_CAPBSET_READ, PR_SET_VMA (malloc names its arenas)
_PRCTL_REQUESTS = (15, 16, 3, 23, 0x53564D41)
# TCGETS (isatty), TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX
_IOCTL_REQUESTS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5451, 0x5450)
# F_SETOWN, F_SETSIG, F_SETOWN_EX: a pipe that is ready would send any signal to anybody
_FCNTL_SIGNALS = (8, 10, 15)
_REFUSE = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2

_Step = tuple[int, int, int, int]


class _Condition(NamedTuple):
    """An argument that must be among some values, or must not."""

    argument: int
    values: tuple[int, ...]
    among: bool = True


def build_filter(machine: str, own_pid: int | None) -> bytes:
    """Return the program for `machine`; a job may signal `own_pid` only, or nobody if None."""
    steps: list[_Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQ, 1, 0, ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_GE, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _KILL),
    ]
    for call in numbers(ALLOWED, machine).values():
        steps += [(_JUMP_EQ, 0, 1, call), (_RETURN, 0, 0, _ALLOW)]
    for call in numbers(REFUSED, machine).values():
        steps += [(_JUMP_EQ, 0, 1, call), _REFUSE]
    for name, call in numbers(CONDITIONAL, machine).items():
        body = _thread_only() if name == "clone" else _all_of(_conditions(own_pid)[name])
        steps += [(_JUMP_EQ, 0, len(body), call), *body]
    steps.append((_RETURN, 0, 0, _ERRNO | errno.ENOSYS))
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _conditions(own_pid: int | None) -> dict[str, tuple[_Condition, ...]]:
    own = () if own_pid is None else (own_pid,)
    return {
        "fcntl": (_Condition(1, _FCNTL_SIGNALS, among=False),),
        "ioctl": (_Condition(1, _IOCTL_REQUESTS),),
        "kill": (_Condition(0, own),),
        "prctl": (_Condition(0, _PRCTL_REQUESTS),),
        "prlimit64": (_Condition(0, (0,)),),
        "setpriority": (_Condition(0, (0,)), _Condition(1, (0,))),
        "tgkill": (_Condition(0, own),),
    }


def _all_of(conditions: tuple[_Condition, ...]) -> list[_Step]:
    steps: list[_Step] = []
    for condition in conditions:
        steps.append((_LOAD, 0, 0, _ARGUMENTS_AT + 8 * condition.argument))
        left = len(condition.values)
        for value in condition.values:
            left -= 1
            if condition.among:  # jump over the other values and the refusal
                steps.append((_JUMP_EQ, left + 1, 0, value))
            else:  # jump to the refusal; the last value that differs jumps over it
                steps.append((_JUMP_EQ, left, 0 if left else 1, value))
        steps.append(_REFUSE)
    return [*steps, (_RETURN, 0, 0, _ALLOW)]


def _thread_only() -> list[_Step]:
    return [
        (_LOAD, 0, 0, _ARGUMENTS_AT),
        (_JUMP_SET, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        _REFUSE,
    ]


def install_filter(program: bytes) -> None:
    """Put this thread and its future children under `program`, for good."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    buffer = ctypes.create_string_buffer(program, len(program))
    length_and_pointer = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    header = ctypes.create_string_buffer(length_and_pointer, len(length_and_pointer))
    if libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), header, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, "seccomp filter refused")
