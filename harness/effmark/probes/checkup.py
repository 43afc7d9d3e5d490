"""What this machine can measure and how well: every probe is run, not asked.

The noise is that of an A/A run: the same short work, its repetitions dealt to A and B in turn. The
interval of the ratio of the two medians is the smallest difference that such a run could see.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from effmark.environment import capture_environment
from effmark.probes.contract import Instrument, Seen, Target, sysfs_root
from effmark.probes.energy import EnergyMeter
from effmark.probes.findings import Finding, findings_of
from effmark.probes.hwmon import amd_cards
from effmark.probes.state import MachineWatch
from effmark.probes.tables import rates_used
from effmark.record import EnergyReading, Environment, Missing, RatesUsed
from effmark.schema import Frozen
from effmark.spec import Rates
from effmark.stats import ratio_of_medians_interval

__all__ = ["Checkup", "DeviceCheck", "Noise", "check_machine"]

_WATCH_S = 2.0
_LEARN_S = 1.5
_MODELS_S = 4.0
"""Time for codecarbon to open."""
_NOISE_S = 2.0
_WORK_B = 1 << 20
_GRADES = ((0.003, "A"), (0.01, "B"), (0.03, "C"), (0.10, "D"))
"""Smallest visible difference and its grade; E is worse than all."""


class DeviceCheck(Frozen):
    """The energy instruments of one device."""

    device: str
    instruments: tuple[Instrument, ...]
    readings: tuple[EnergyReading, ...]
    missing: tuple[Missing, ...]
    seen: Seen
    """Clocks, heat and memory of the device meanwhile."""
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
    rates: RatesUsed
    """Carbon and prices that a run on the CPU would use here."""
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
    rates = rates_used(Rates(), environment, "cpu")
    return Checkup(
        environment=environment,
        devices=devices,
        rates=rates,
        findings=tuple(findings_of(environment, rates)),
        noise=noise,
    )


def _devices() -> list[str]:
    """Return the devices whose instruments are tried."""
    devices = ["cpu"]
    gpus = _nvml_count()
    if gpus or Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi"):
        devices.append(_together("cuda", gpus or 1))
    if cards := amd_cards(sysfs_root()):
        devices.append(_together("rocm", len(cards)))
    return devices


def _together(kind: str, count: int) -> str:
    return f"{kind}:{','.join(str(number) for number in range(count))}"


def _nvml_count() -> int:
    """Return how many GPUs may be used, asked in a process of its own because NVML may hang."""
    text = "import pynvml; pynvml.nvmlInit(); print(pynvml.nvmlDeviceGetCount())"
    if find_spec("pynvml") is None:
        return 0
    try:
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, timeout=10,
                              check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1  # there is something; the probe will say what
    count = int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdigit() else 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return count if visible is None else min(count, len([v for v in visible.split(",") if v]))


def _check(device: str) -> DeviceCheck:
    meter = EnergyMeter(Target(device=device, pids=(os.getpid(),)))
    instruments = meter.instruments
    if meter.measures:  # so that the sampler knows the counters when its own cost is read
        meter.start()
        time.sleep(_LEARN_S)
        meter.stop(0.0)
    else:
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
    seen = meter.seen
    meter.close()
    ratio = None if before is None or spent is None else (spent - before) / length
    return DeviceCheck(
        device=device,
        instruments=instruments,
        readings=tuple(readings),
        missing=tuple(missing),
        seen=seen,
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
