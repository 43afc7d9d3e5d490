"""What is kept over time: bounded, honest about gaps, and read from where it says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from effmark.probes.contract import Target
from effmark.probes.host_trace import HostTrace
from effmark.probes.traces import SLOTS, condensed

FAKES = Path(__file__).parents[1] / "fakes"


def _load(name: str) -> Any:
    spec = spec_from_file_location(name, FAKES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sysfs = _load("sysfs")


def test_a_trace_has_at_most_200_slots_and_keeps_what_it_says() -> None:
    samples = [(i * 0.01, float(i % 100)) for i in range(100_000)]
    (peaks,) = condensed("memory_b", "test", samples, 0.0, 1000.0, 0.01, "max")
    assert len(peaks.values) == SLOTS
    assert set(peaks.values) == {99.0}
    assert peaks.slot_s == pytest.approx(5.0)
    (means,) = condensed("power_w", "test", samples, 0.0, 1000.0, 0.01)
    assert set(means.values) == {49.5}


def test_slots_without_a_read_are_none_and_no_reads_are_no_trace() -> None:
    samples = [(0.5, 1.0), (1.5, 2.0), (3.5, 4.0), (9.0, 5.0)]
    (found,) = condensed("power_w", "test", samples, 0.0, 4.0, 1.0)
    assert found.values == (1.0, 2.0, None, 4.0)
    assert condensed("power_w", "test", samples, 4.0, 5.0, 1.0) == ()
    assert condensed("power_w", "test", samples, 5.0, 5.0, 1.0) == ()


GROW = """
import subprocess, sys, time
print("here", flush=True)
sys.stdin.readline()
child = subprocess.Popen([sys.executable, "-c",
                          "import sys; d = bytearray(60 << 20); print('x', flush=True);"
                          "sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print("grown", flush=True)
sys.stdin.readline()
"""


def test_the_memory_of_a_process_and_its_children_is_followed(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", GROW], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    host = HostTrace(root=tmp_path)
    with process, process.stdin, process.stdout:
        process.stdout.readline()
        host.open(Target(pids=(process.pid,)))
        host.start()
        host.poll()
        process.stdin.write("grow\n")
        process.stdin.flush()
        process.stdout.readline()
        time.sleep(1.05)  # children are looked for once a second
        host.poll()
        assert host.stop(0.0, time.monotonic()) == ()
    (trace,) = host.traces()
    assert trace.quantity == "memory_b"
    first, last = trace.values[0], trace.values[-1]
    assert first is not None
    assert last is not None
    assert last - first > 60 * 2**20
    host.poll()  # the process is gone: nothing is read and nothing is raised
    host.close()


def test_clocks_and_heat_are_read_and_what_is_hidden_is_unknown_by_path(tmp_path: Path) -> None:
    bare = HostTrace(root=tmp_path / "bare")
    bare.open(Target(pids=(os.getpid(),)))
    unknown = bare.seen().unknown
    assert "scaling_cur_freq" in unknown["clock_median_hz"]
    assert "thermal" in unknown["cpu_temperature_c"]
    folder = tmp_path / "devices/system/cpu"
    for cpu in os.sched_getaffinity(0):
        sysfs.write(folder / f"cpu{cpu}/cpufreq/scaling_cur_freq", 2_000_000)
    sysfs.write(tmp_path / "class/thermal/thermal_zone3/type", "x86_pkg_temp")
    sysfs.write(tmp_path / "class/thermal/thermal_zone3/temp", 61_000)
    host = HostTrace(root=tmp_path)
    host.open(Target(pids=(os.getpid(),)))
    host.start()
    host.poll()
    for cpu in os.sched_getaffinity(0):
        sysfs.write(folder / f"cpu{cpu}/cpufreq/scaling_cur_freq", 3_000_000)
    time.sleep(0.55)
    host.poll()
    host.stop(0.0, time.monotonic())
    seen = host.seen()
    assert (seen.state["clock_min_hz"], seen.state["clock_max_hz"]) == (2e9, 3e9)
    assert seen.state["cpu_temperature_c"] == 61.0
    assert seen.unknown == {}
    assert {trace.quantity for trace in host.traces()} >= {"clock_hz", "temperature_c"}
    host.close()
