"""Peaks of programs whose memory is known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from effmark.probes.memory import PeakMemory
from effmark.record import Measured, Missing

MIB = 2**20

PROGRAM = """
import json, mmap, os, sys, time
from effmark.probes.memory import PeakMemory
memory = PeakMemory()
memory.start()
before = memory.stop("x").samples[0]
{body}
found = {{m.metric: m.samples[0] for m in memory.measurements()}}
print(json.dumps({{"before": before, **found}}))
"""


def run(body: str) -> Any:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(body=body)], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_memory_that_was_freed_before_anybody_looked_is_in_the_peak() -> None:
    found = run("data = bytearray(300 << 20); del data")
    assert found["peak_memory_b"] - found["before"] == pytest.approx(300 * MIB, rel=0.05)
    assert found["working_memory_b"] == pytest.approx(300 * MIB, rel=0.05)
    assert found["pss_b"] < 100 * MIB


def test_memory_shared_with_forked_children_counts_once() -> None:
    found = run(
        "data = bytearray(300 << 20)\n"
        "children = []\n"
        "for _ in range(2):\n"
        "    r, w = os.pipe()\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        os.write(w, b'x'); time.sleep(60); os._exit(0)\n"
        "    os.read(r, 1); children.append(pid)\n"
        "import atexit, signal\n"
        "atexit.register(lambda: [os.kill(pid, signal.SIGKILL) for pid in children])"
    )
    assert found["peak_memory_b"] < 1.15 * 300 * MIB + found["before"]  # a plain sum says 3 times
    assert found["pss_b"] == pytest.approx(300 * MIB + found["before"], rel=0.1)


def test_a_mapped_file_counts_while_it_is_resident(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(200 * MIB))
    found = run(
        f"file = open({str(path)!r}, 'rb')\n"
        "view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)\n"
        "total = sum(view[i] for i in range(0, len(view), 4096))"
    )
    assert found["peak_memory_b"] - found["before"] == pytest.approx(200 * MIB, rel=0.05)


def test_each_window_has_a_peak_of_its_own() -> None:
    found = run(
        "first = bytearray(200 << 20); del first; memory.start(); second = bytearray(50 << 20)"
    )
    assert found["peak_memory_b"] - found["before"] < 80 * MIB


def test_without_proc_the_peak_is_missing_with_the_path(tmp_path: Path) -> None:
    memory = PeakMemory(tmp_path)
    memory.start()
    (found,) = memory.measurements()
    assert isinstance(found, Missing)
    assert str(tmp_path) in found.detail


@pytest.mark.parametrize(
    ("line", "file"),
    [("0::/job", "job/memory.peak"), ("4:memory:/job", "memory/job/memory.max_usage_in_bytes")],
)
def test_the_peak_of_a_cgroup_counts_only_where_it_is_ours_alone(
    tmp_path: Path, line: str, file: str
) -> None:
    import os

    proc, root = tmp_path / "proc", tmp_path / "sys"
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text(f"{line}\n")
    (proc / "self/status").write_text("VmHWM:\t  1000 kB\nVmRSS:\t  900 kB\n")
    peak = root / "fs/cgroup" / file
    peak.parent.mkdir(parents=True)
    peak.write_text("123456\n")
    procs = peak.parent / "cgroup.procs"
    procs.write_text(f"{os.getpid()}\n")
    memory = PeakMemory(proc, root=root)
    named = {m.metric: m for m in memory.measurements()}
    assert isinstance(named["cgroup_peak_b"], Measured)
    assert named["cgroup_peak_b"].samples == (123456.0,)
    procs.write_text(f"{os.getpid()}\n1\n")
    assert "cgroup_peak_b" not in {m.metric for m in memory.measurements()}
