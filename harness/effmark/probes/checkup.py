"""What this machine can measure and how well: every probe is run, not asked.

The noise is that of an A/A run: the same short work, its repetitions dealt to A and B in turn. The
interval of the ratio of the two medians is the smallest difference that such a run could see.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from effmark.cache import default_cache
from effmark.environment import capture_environment
from effmark.errors import PrerequisiteError
from effmark.perf_events import CounterAbsent, open_counter
from effmark.probes.contract import Instrument, Target, sysfs_root
from effmark.probes.cpu_time import CALIBRATION_FILE
from effmark.probes.energy import EnergyMeter
from effmark.probes.hwmon import amd_cards
from effmark.probes.memory import PeakMemory
from effmark.probes.state import MachineWatch
from effmark.record import EnergyReading, Environment, Measured, Missing
from effmark.schema import Frozen
from effmark.stats import ratio_of_medians_interval

__all__ = ["Checkup", "DeviceCheck", "Finding", "Noise", "calibrate", "check_machine"]

_WATCH_S = 2.0
_MODELS_S = 4.0
"""Time for codecarbon to open."""
_NOISE_S = 2.0
_WORK_B = 1 << 20
_GRADES = ((0.003, "A"), (0.01, "B"), (0.03, "C"), (0.10, "D"))
"""Smallest visible difference and its grade; E is worse than all."""


class Finding(Frozen):
    """One thing that could be better, and the command that makes it so."""

    subject: str
    state: str
    remedy: str = ""
    """Empty: nothing to do."""


class DeviceCheck(Frozen):
    """The energy instruments of one device."""

    device: str
    instruments: tuple[Instrument, ...]
    readings: tuple[EnergyReading, ...]
    missing: tuple[Missing, ...]
    sampler_cpu_ratio: float | None
    """CPU time of the sampler per second, of one core."""


class Noise(Frozen):
    """How much two equal runs differ here."""

    grade: str
    smallest_visible_ratio: float
    """Half of the 95 % interval of A/A: a smaller difference cannot be seen."""
    spread_ratio: float
    """Distance of the quartiles / median of single repetitions."""
    repetitions: int


class Checkup(Frozen):
    """The page of `effmark doctor`."""

    environment: Environment
    devices: tuple[DeviceCheck, ...]
    findings: tuple[Finding, ...]
    noise: Noise


def check_machine() -> Checkup:
    """Return what this machine can measure; takes about two seconds per device and two more."""
    watch = MachineWatch()
    watch.start()
    noise = _noise()
    seen = watch.stop()
    devices = tuple(_check(device) for device in _devices())
    environment = capture_environment({}).model_copy(
        update={"state": seen.state, "unknown": seen.unknown}
    )
    return Checkup(
        environment=environment,
        devices=devices,
        findings=tuple(_findings(environment)),
        noise=noise,
    )


def _devices() -> list[str]:
    """Return the devices whose instruments are tried."""
    devices = ["cpu"]
    if Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") or _nvml_opens():
        devices.append("cuda:0")
    if amd_cards(sysfs_root()):
        devices.append("rocm:0")
    return devices


def _nvml_opens() -> bool:
    """Return whether NVML starts, asked in a process of its own because it may hang."""
    text = "import pynvml; pynvml.nvmlInit(); print(pynvml.nvmlDeviceGetCount())"
    if find_spec("pynvml") is None:
        return False
    try:
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, timeout=10,
                              check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        return True  # there is something; the probe will say what
    return done.returncode == 0 and done.stdout.strip() != b"0"


def _check(device: str) -> DeviceCheck:
    meter = EnergyMeter(Target(device=device, pids=(os.getpid(),)))
    instruments = meter.instruments
    if not meter.measures:
        time.sleep(_MODELS_S)
    (pid,) = meter.pids
    before = _cpu_s(pid)
    start = time.monotonic()
    meter.start()
    while time.monotonic() < start + _WATCH_S:
        _work()
    spent = _cpu_s(pid)
    length = time.monotonic() - start
    readings, missing = meter.stop(start)
    meter.close()
    ratio = None if before is None or spent is None else (spent - before) / length
    return DeviceCheck(
        device=device,
        instruments=instruments,
        readings=tuple(readings),
        missing=tuple(missing),
        sampler_cpu_ratio=ratio,
    )


def _cpu_s(pid: int) -> float | None:
    """Return the CPU time of a process in seconds, by its own clock."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except (OSError, AttributeError):
        return None


def _work() -> None:
    hashlib.sha256(bytes(_WORK_B)).digest()


def _noise() -> Noise:
    times: tuple[list[float], list[float]] = ([], [])
    dice = random.Random(1)
    end = time.monotonic() + _NOISE_S
    while time.monotonic() < end or len(times[0]) < 10:
        for side in dice.sample((0, 1), 2):
            start = time.perf_counter()
            _work()
            times[side].append(time.perf_counter() - start)
    found = ratio_of_medians_interval(*times)
    low, high = found.low or 0.0, found.high or math.inf
    visible = (high - low) / 2
    ordered = sorted(times[0] + times[1])
    n = len(ordered)
    spread = (ordered[3 * n // 4] - ordered[n // 4]) / ordered[n // 2]
    grade = next((name for limit, name in _GRADES if visible <= limit), "E")
    return Noise(grade=grade, smallest_visible_ratio=visible, spread_ratio=spread, repetitions=n)


def _findings(environment: Environment) -> Iterator[Finding]:
    yield from _of_cpu(environment)
    counter = open_counter()
    if isinstance(counter, CounterAbsent):
        yield Finding(subject="instruction counter", state=counter.reason, remedy=counter.detail)
    else:
        counter.close()
        yield Finding(subject="instruction counter", state="available")
    yield _of_memory()
    for module, extra in (("codecarbon", "energy"), ("pynvml", "nvidia")):
        if find_spec(module) is None:
            remedy = f"pip install 'effmark[{extra}]'"
            yield Finding(subject=f"package {module}", state="not installed", remedy=remedy)


def _of_cpu(environment: Environment) -> Iterator[Finding]:
    state, unknown = environment.state, environment.unknown
    governor = state.get("governor")
    if governor is None:
        yield Finding(subject="frequency governor", state=f"unknown, {unknown.get('governor', '')}")
    else:
        remedy = "" if governor == "performance" else "sudo cpupower frequency-set -g performance"
        yield Finding(subject="frequency governor", state=str(governor), remedy=remedy)
    if state.get("turbo") is True:
        remedy = "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo, or echo 0 | "
        remedy += "sudo tee /sys/devices/system/cpu/cpufreq/boost, where steady beats fast"
        yield Finding(subject="turbo", state="on", remedy=remedy)
    for key, words, limit in (
        ("psi_cpu_before_ratio", "of the last 10 s somebody waited for a core", 0.05),
        ("foreign_cpu_ratio", "of a core is used by other processes", 0.05),
        ("steal_ratio", "of the time is taken by the hypervisor", 0.01),
    ):
        value = state.get(key)
        if isinstance(value, float):
            remedy = "stop other work, or run interleaved" if value > limit else ""
            yield Finding(subject=key, state=f"{100 * value:.1f} % {words}", remedy=remedy)


def _of_memory() -> Finding:
    memory = PeakMemory()
    memory.start()
    found = memory.stop("peak_memory_b")
    if isinstance(found, Measured):
        return Finding(subject="peak memory", state="VmHWM of the process tree")
    return Finding(subject="peak memory", state=found.reason, remedy=found.detail)


def calibrate(cache: Path | None = None) -> str:
    """Fit the CPU-time model to a counter or meter of this machine; return what was found.

    Raises:
        PrerequisiteError: nothing here measures the energy of the CPU.
    """
    meter = EnergyMeter(Target(pids=(os.getpid(),)))
    try:
        if not meter.measures:
            raise PrerequisiteError("doctor: nothing here measures energy, so nothing to fit to; "
                                    "connect a meter (EFFMARK_METER) or allow RAPL")  # fmt: skip
        idle_w, source = _mean_power(meter, 0)
        busy_w, _ = _mean_power(meter, os.cpu_count() or 1)
    finally:
        meter.close()
    if busy_w <= idle_w:
        raise PrerequisiteError(f"doctor: {busy_w:.3g} W busy is not above {idle_w:.3g} W idle; "
                                "calibrate on an idle machine")  # fmt: skip
    cpus = os.cpu_count() or 1
    path = (cache or default_cache()) / CALIBRATION_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {
        "cpu": capture_environment({}).cpu,
        "idle_w": idle_w / cpus,
        "max_w": busy_w / cpus,
        "source": f"calibrated by {source}",
        "err_rel": 0.2,
    }
    path.write_text(json.dumps(found))
    return f"{idle_w:.3g} W idle, {busy_w:.3g} W busy by {source}; kept in {path}"


def _mean_power(meter: EnergyMeter, workers: int) -> tuple[float, str]:
    """Return the mean power in W with some processes busy, and whose reading it is."""
    text = "while True: pass"
    busy = [subprocess.Popen([sys.executable, "-c", text]) for _ in range(workers)]
    try:
        time.sleep(0.5)
        meter.start()
        time.sleep(_WATCH_S)
        readings, _ = meter.stop(0.0)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    for scope in ("wall", "package", "psys"):
        mine = [r for r in readings if r.scope == scope and r.source != "model_estimate"]
        if mine:
            seconds = sum(r.end_s - r.start_s for r in mine)
            return sum(r.joules for r in mine) / seconds, f"{mine[0].probe} ({scope})"
    raise PrerequisiteError("doctor: no reading of the package or of the wall to fit to")
