from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from effmark.sandbox.filter import Filter
from effmark.sandbox.syscalls import (
    ALLOWED,
    ARCHITECTURES,
    CONDITIONAL,
    REFUSED,
    numbers,
)

ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, ENOSYS = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
MACHINES = list(ARCHITECTURES)


def answer(program: bytes, machine: str, call: int, *arguments: int, foreign: bool = False) -> int:
    """Return what a seccomp program answers to a call: a small machine for its instructions."""
    architecture = 0x40000003 if foreign else ARCHITECTURES[machine]
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", call, architecture, 0, *(value % 2**64 for value in padded))
    steps = list(struct.iter_unpack("HBBI", program))
    at = accumulator = 0
    while True:
        code, if_true, if_false, k = steps[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif code == 0x06:
            return int(k)
        else:
            tests = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}
            at += if_true if tests[code] else if_false


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_of_the_tables_gets_its_answer(machine: str) -> None:
    program = Filter(machine).program
    for name, call in numbers(ALLOWED, machine).items():
        assert answer(program, machine, call) == ALLOW, name
    for name, call in numbers(REFUSED, machine).items():
        assert answer(program, machine, call) == EPERM, name


@pytest.mark.parametrize("machine", MACHINES)
def test_unknown_calls_do_not_exist_so_that_libc_falls_back(machine: str) -> None:
    program = Filter(machine).program
    known = {
        c for table in (ALLOWED, REFUSED, CONDITIONAL) for c in numbers(table, machine).values()
    }
    for call in set(range(600)) - known:
        assert answer(program, machine, call) == ENOSYS, call
    assert answer(program, machine, 435) == ENOSYS, "clone3"


@pytest.mark.parametrize("machine", MACHINES)
def test_conditions_look_at_the_arguments(machine: str) -> None:
    program = Filter(machine).program
    calls = numbers(CONDITIONAL, machine)

    def ask(name: str, *arguments: int) -> int:
        return answer(program, machine, calls[name], *arguments)

    assert ask("clone", 0x3D0F00) == ALLOW  # what pthread_create asks for
    assert ask("clone", 17) == EPERM  # fork
    assert ask("clone", 0x10000000 | 17) == EPERM
    assert ask("fcntl", 3, 3) == ALLOW
    assert [ask("fcntl", 3, command) for command in (8, 10, 15)] == [EPERM] * 3
    assert ask("ioctl", 1, 0x5401) == ALLOW
    assert ask("ioctl", 1, 0x5412) == EPERM  # TIOCSTI
    assert ask("prctl", 15) == ALLOW
    assert ask("prctl", 22) == EPERM
    assert ask("prlimit64", 0) == ALLOW
    assert ask("prlimit64", 7) == EPERM
    assert ask("setpriority", 0, 0, 5) == ALLOW
    assert [ask("setpriority", 2, 0, 5), ask("setpriority", 0, 7, 5)] == [EPERM] * 2


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_another_architecture_and_of_x32_kill(machine: str) -> None:
    program = Filter(machine).program
    assert answer(program, machine, 0, foreign=True) == KILL
    assert answer(program, machine, 0x40000000) == KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_a_filter_is_small_and_its_jumps_fit(machine: str) -> None:
    assert len(Filter(machine)) < 400


def test_no_call_has_two_answers() -> None:
    for machine in MACHINES:
        calls = [n for table in (ALLOWED, REFUSED, CONDITIONAL) for n in numbers(table, machine)]
        assert len(calls) == len(set(calls))


def test_the_table_agrees_with_the_headers_of_this_kernel() -> None:
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip(f"no kernel headers: {header}")
    theirs = dict(re.findall(r"#define __NR_(\w+) (\d+)", header.read_text()))
    for table in (ALLOWED, REFUSED, CONDITIONAL):
        for name, call in numbers(table, "x86_64").items():
            assert int(theirs[name]) == call, name


def test_the_generic_table_agrees_with_the_headers_of_this_kernel() -> None:
    header = Path("/usr/include/asm-generic/unistd.h")
    if not header.exists():
        pytest.skip(f"no kernel headers: {header}")
    theirs = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text()))
    for table in (ALLOWED, REFUSED, CONDITIONAL):
        for name, call in numbers(table, "aarch64").items():
            generic = {"newfstatat": "fstatat"}.get(name, name)
            assert int(theirs[generic]) == call, name
