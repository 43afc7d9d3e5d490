"""Which clock bills code, on a machine that counts instructions and on one that does not."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import effmark
from effmark.code.clocks import choose_clock, why_no_instructions
from effmark.code.records import clock_note
from effmark.errors import PrerequisiteError
from effmark.perf_events import CounterAbsent, open_counter
from effmark.sandbox.syscalls import ARCHITECTURES

# A seccomp filter that refuses one system call, as a container would, and then asks for clocks.
WITHOUT_COUNTERS = """
import json, platform, struct, sys
from effmark.perf_events import _SYSCALL_NUMBERS
from effmark.sandbox.filter import Filter
from effmark.sandbox.kernel import prctl

class Refusing(Filter):
    def __init__(self, call):
        import ctypes
        steps = [(0x20, 0, 0, 0), (0x15, 0, 1, call), (6, 0, 0, 0x00050001), (6, 0, 0, 0x7FFF0000)]
        program = b"".join(struct.pack("HBBI", *step) for step in steps)
        self._buffer = ctypes.create_string_buffer(program, len(program))
        header = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(self._buffer))
        self._header = ctypes.create_string_buffer(header, len(header))
        self._header_at = ctypes.addressof(self._header)

Refusing(_SYSCALL_NUMBERS[platform.machine()]).install()
from effmark.code.clocks import choose_clock
from effmark.code.records import clock_note
from effmark.errors import PrerequisiteError
try:
    refused = choose_clock("instructions")
except PrerequisiteError as error:
    refused = str(error)
print(json.dumps([choose_clock("auto"), clock_note("cpu"), refused]))
"""


def test_without_a_counter_cpu_time_is_the_clock_and_says_why() -> None:
    if sys.platform != "linux" or platform.machine() not in ARCHITECTURES:
        pytest.skip("needs seccomp")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_COUNTERS],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(effmark.__file__).parents[1]), "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    chosen, note, refused = json.loads(done.stdout)
    assert chosen == "cpu"
    assert note.startswith("cpu; instructions are not counted here: perf_event_open refused: EPERM")
    assert refused.startswith("--clock instructions: perf_event_open refused: EPERM")
    assert refused.endswith("use --clock cpu")


def test_the_best_clock_of_this_machine_is_chosen() -> None:
    assert choose_clock("cpu") == "cpu"
    if isinstance(open_counter(), CounterAbsent):
        assert choose_clock("auto") == "cpu"
        assert why_no_instructions() in clock_note("cpu")
        with pytest.raises(PrerequisiteError, match="use --clock cpu"):
            choose_clock("instructions")
    else:
        assert choose_clock("auto") == choose_clock("instructions") == "instructions"
        assert clock_note("instructions") == "instructions"
