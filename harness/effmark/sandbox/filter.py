"""The system-call filter of a job: a seccomp program, built from the tables of ``syscalls.py``.

Allowed calls pass; refused ones fail with EPERM; all others fail with ENOSYS (see there why).
Conditions: ``clone`` makes threads only; ``prctl`` and ``ioctl`` a few harmless requests;
``prlimit64`` and ``setpriority`` the caller itself; ``fcntl`` all but signals to the owner of a
file. Nobody may signal anybody, not even itself: as process 1 of its namespace a job would not
die of it, and a program that kills itself must not run on as if nothing had happened.
A call of another architecture, or of x32, kills the process.

Source: ``man 2 seccomp``, ``linux/filter.h``. 64-bit arguments are compared by their lower half;
the kernel ignores the upper one of each argument that is looked at here.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import NamedTuple

from effmark.sandbox.kernel import prctl
from effmark.sandbox.syscalls import ALLOWED, ARCHITECTURES, CONDITIONAL, REFUSED, numbers

__all__ = ["Filter"]

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


_CONDITIONS = {
    "fcntl": (_Condition(1, _FCNTL_SIGNALS, among=False),),
    "ioctl": (_Condition(1, _IOCTL_REQUESTS),),
    "prctl": (_Condition(0, _PRCTL_REQUESTS),),
    "prlimit64": (_Condition(0, (0,)),),
    "setpriority": (_Condition(0, (0,)), _Condition(1, (0,))),
}


class Filter:
    """A filter for one architecture, ready to be installed in any number of processes."""

    def __init__(self, machine: str) -> None:
        steps = _steps(machine)
        self.program = b"".join(struct.pack("HBBI", *step) for step in steps)
        self._buffer = ctypes.create_string_buffer(self.program, len(self.program))
        header = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(self._buffer))
        self._header = ctypes.create_string_buffer(header, len(header))
        self._header_at = ctypes.addressof(self._header)

    def __len__(self) -> int:
        """Return the number of instructions."""
        return len(self.program) // 8

    def install(self) -> None:
        """Put this thread and its future children under the filter, for good."""
        prctl(_PR_SET_NO_NEW_PRIVS, 1)
        prctl(_PR_SET_SECCOMP, _MODE_FILTER, self._header_at)


def _steps(machine: str) -> list[_Step]:
    steps: list[_Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQ, 1, 0, ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_GE, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _KILL),
    ]
    for name, call in numbers(CONDITIONAL, machine).items():
        body = _thread_only() if name == "clone" else _all_of(_CONDITIONS[name])
        steps += [(_JUMP_EQ, 0, len(body), call), *body]
    # The kernel compiles the filter anew for every job: so one comparison per run of calls with
    # the same answer, not one per call.
    answers = dict.fromkeys(numbers(ALLOWED, machine).values(), _ALLOW)
    answers |= dict.fromkeys(numbers(REFUSED, machine).values(), _ERRNO | errno.EPERM)
    unknown = _ERRNO | errno.ENOSYS
    for call in range(max(answers) + 1):
        answer = answers.get(call, unknown)
        if answers.get(call + 1, unknown) != answer:
            steps += [(_JUMP_GE, 1, 0, call + 1), (_RETURN, 0, 0, answer)]
    return [*steps, (_RETURN, 0, 0, unknown)]


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
