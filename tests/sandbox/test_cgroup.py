from __future__ import annotations

import os
import subprocess
import sys

import pytest

from effmark.sandbox.cgroup import WorkerGroup, make_group

GREEDY = "import sys; sys.stdin.read(1); x = bytearray(400 << 20); print(len(x))"


def test_a_process_that_outgrows_its_group_is_ended_and_the_group_tells() -> None:
    group = make_group(f"effmark-{os.getpid()}-test")
    if not isinstance(group, WorkerGroup):
        pytest.skip(group)
    try:
        line = [sys.executable, "-I", "-S", "-c", GREEDY]
        with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            group.adopt(process.pid)
            group.limit_memory(16 << 20)
            assert not group.has_killed_again()
            process.communicate(b"x")
        assert process.returncode == -9
        assert group.has_killed_again()
        assert not group.has_killed_again()
    finally:
        group.remove()


def test_a_group_that_cannot_be_made_is_a_reason_and_not_an_error() -> None:
    reason = make_group("no/such/parent")
    assert isinstance(reason, str)
    assert reason.startswith("no cgroup: ")
