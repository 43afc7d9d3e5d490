"""Whose CPU time and memory count: the work and what it started, never the instruments."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from effmark.errors import PrerequisiteError
from effmark.perf_events import InstructionCounter
from effmark.probes.contract import Target
from effmark.probes.cpu_time import CpuPowers, CpuTimeModel
from effmark.probes.energy import EnergyMeter

MIB = 2**20

PROGRAM = """
import json, os, resource, subprocess, sys, time
from effmark.probes.contract import Target
from effmark.probes.counters import ProcessCounters
from effmark.probes.cpu_time import CpuPowers, CpuTimeModel
from effmark.probes.kin import add_instrument, bury_instrument, children
from effmark.probes.memory import PeakMemory
BURN = "import sys, time\\nwhile time.process_time() < float(sys.argv[1]): pass"
HOLD = "import sys, time; data = bytearray(int(sys.argv[1]) << 20); print(flush=True); WAIT"
def burn(seconds): return [sys.executable, "-c", BURN, str(seconds)]
def hold(mib, wait="pass"): return [sys.executable, "-c", HOLD.replace("WAIT", wait), str(mib)]
TREE = "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]]); sys.stdin.read()"
def instrument(command):
    '''Start an instrument that runs a child of its own, to its end, and stays.'''
    process = subprocess.Popen([sys.executable, "-c", TREE, *command[1:]], stdin=subprocess.PIPE)
    add_instrument(process.pid)
    return process
counters, model = ProcessCounters(), CpuTimeModel(CpuPowers(1, 5, "test"), 1)
model.open(Target(device="cpu"))
memory = PeakMemory()
memory.start(); model.start(); before = counters.read().cpu_s
{body}
cpu_s = counters.read().cpu_s - before
reading = model.stop()
print(json.dumps({{"cpu_s": cpu_s, "active_j": reading.net_joules,
                   "memory": {{m.metric: m.samples[0] for m in memory.measurements()}}}}))
"""


def run(body: str) -> Any:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(body=body)], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_child_that_ended_within_the_window_is_counted() -> None:
    found = run("subprocess.run(burn(0.5))")
    assert 0.5 <= found["cpu_s"] < 1.0
    assert found["active_j"] > 0


def test_a_child_that_still_lives_is_counted() -> None:
    found = run(
        "child = subprocess.Popen(burn(0.5) [:3] + ['1e9'])\n"
        "import psutil\n"
        "while sum(psutil.Process(child.pid).cpu_times()[:2]) < 0.4: time.sleep(0.02)\n"
        "time.sleep(1.1); counters.read(); child.kill()"
    )
    assert found["cpu_s"] >= 0.4


@pytest.mark.parametrize("end", ["", "; kit.stdin.close(); bury_instrument(kit)"])
def test_what_an_instrument_starts_is_never_counted(end: str) -> None:
    found = run(
        "kit = instrument(burn(0.6))\n"
        "import psutil\n"
        "while sum(psutil.Process(kit.pid).cpu_times()[:4]) < 0.6: time.sleep(0.02)\n"
        f"assert children() == []{end}"
    )
    assert found["cpu_s"] < 0.3
    assert 0 <= found["active_j"] < 4 * 0.3


def test_the_memory_of_what_an_instrument_starts_is_never_counted() -> None:
    found = run(
        "kit = instrument(hold(200, 'time.sleep(60)'))\n"
        "import psutil\n"
        "tree = lambda: psutil.Process(kit.pid).children(recursive=True)\n"
        "while not any(c.memory_info().rss > 200 << 20 for c in tree()): time.sleep(0.02)\n"
    )["memory"]
    assert found["working_memory_b"] < 60 * MIB
    assert found["pss_b"] < 150 * MIB


def test_the_memory_of_a_child_that_ended_is_in_the_peak() -> None:
    found = run("subprocess.run(hold(300), stdout=subprocess.DEVNULL)")["memory"]
    assert found["peak_memory_b"] > 300 * MIB


def test_time_never_falls_when_children_come_and_go() -> None:
    found = run(
        "last = before\n"
        "for n in range(12):\n"
        "    subprocess.run(burn(0.02)); now = counters.read().cpu_s\n"
        "    assert now >= last + 0.02; last = now"
    )
    assert found["cpu_s"] >= 12 * 0.02


def test_an_impossible_estimate_is_missing_with_its_reason() -> None:
    """A table of powers in which idle is more than busy gives negative energy of a busy window."""
    meter = EnergyMeter(Target(device="cpu"))
    try:
        meter._model = CpuTimeModel(CpuPowers(-2, -1, "a table"), 1)
        meter._model.open(Target(device="cpu"))
        meter.start()
        readings, missing = meter.stop(0.0)
    finally:
        meter.close()
    assert not any(r.probe == "cpu_time_model" for r in readings)
    assert any(m.reason == "failed" and "greater than or equal to 0" in m.detail for m in missing)


def test_a_program_that_a_child_becomes_is_not_counted_by_the_counter() -> None:
    body = (
        "import subprocess, sys\n"
        "from effmark.perf_events import InstructionCounter\n"
        "counter = InstructionCounter(event='task_clock', enabled=True, until_exec={0})\n"
        "burn = 'import time\\nwhile time.process_time() < 0.5: pass'\n"
        "before = counter.read().value\n"
        "subprocess.run([sys.executable, '-c', burn])\n"
        "print(counter.read().value - before)"
    )
    try:
        InstructionCounter(event="task_clock").close()
    except PrerequisiteError as error:
        pytest.skip(str(error))
    ns = [
        int(subprocess.check_output([sys.executable, "-c", body.format(flag)]))
        for flag in (False, True)
    ]
    assert ns[0] > 0.4e9
    assert ns[1] < 0.2e9
