"""Fitting the CPU-time model to a machine: once idle, once with all CPUs busy, by a real sensor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from effmark.cache import default_cache
from effmark.environment import capture_environment
from effmark.errors import PrerequisiteError
from effmark.probes.contract import Target
from effmark.probes.cpu_time import CALIBRATION_FILE
from effmark.probes.energy import EnergyMeter

__all__ = ["calibrate"]

_WATCH_S = 2.0


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
