"""An estimate of CPU energy from CPU time: no sensor, no dependency, no cost.

E = P_idle T + (P_max - P_idle) t / n, where T is the time of the window, t the CPU time of this
process and its children in it (those of the instruments left out), and n the number of logical CPUs
that it may use. The powers per CPU come from `data/devices.yaml` by the name of the CPU, or from
`effmark doctor --calibrate`, which fits them where a meter exists. It is blind to clocks, to the
kind of instruction, to memory traffic and to accelerators: take it as right within 40 % at best,
and never rank by it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from effmark.cache import default_cache
from effmark.probes.contract import Target, absent
from effmark.probes.kin import WorkTime
from effmark.probes.tables import cpu_powers
from effmark.record import EnergyReading, Missing

__all__ = ["CALIBRATION_FILE", "CpuPowers", "CpuTimeModel", "read_calibration"]

CALIBRATION_FILE = "cpu-power.json"
ERR_SYS_REL = 0.4


@dataclass(frozen=True)
class CpuPowers:
    """Power of one logical CPU in W, idle and busy, and where the figures come from."""

    idle_w: float
    max_w: float
    source: str
    err_rel: float = ERR_SYS_REL


class CpuTimeModel:
    """The estimate for this process; lives in the measured process and reads its own clock."""

    name: ClassVar[str] = "cpu_time_model"

    def __init__(self, powers: CpuPowers | None = None, cpus: int | None = None) -> None:
        self._powers = powers
        self._cpus = cpus or _usable()
        self._absent: Missing | None = None
        self._start = (0.0, 0.0)
        self._time = WorkTime()

    def open(self, target: Target) -> Missing | None:
        """Return why there is no estimate for a device, or None."""
        if target.kind != "cpu":
            self._absent = absent("not_applicable", f"{self.name}: knows CPUs, not {target.device}")
        elif self._powers is None:
            self._powers = read_calibration() or _from_table()
        return self._absent

    def start(self) -> None:
        """Begin a window."""
        self._start = time.monotonic(), self._time.read()

    def stop(self) -> EnergyReading | Missing:
        """Return the estimate of the window."""
        end_s, cpu_s = time.monotonic(), self._time.read()
        if self._absent is not None or self._powers is None:
            return self._absent or absent("failed", f"{self.name}: was not opened")
        start_s, before_s = self._start
        powers, window_s = self._powers, end_s - start_s
        idle_w = powers.idle_w * self._cpus
        active_j = (powers.max_w - powers.idle_w) * min(cpu_s - before_s, window_s * self._cpus)
        return EnergyReading(
            joules=idle_w * window_s + active_j,
            net_joules=active_j,
            idle_w=idle_w,
            source="model_estimate",
            scope="package",
            probe=self.name,
            device_id="cpu",
            start_s=start_s,
            end_s=end_s,
            err_window_rel=0.0,
            err_sys_rel=powers.err_rel,
            reasons=(
                f"estimated from {cpu_s - before_s:.3g} s of CPU time with {powers.idle_w:.3g} to "
                f"{powers.max_w:.3g} W per logical CPU ({powers.source})",
            ),
        )


def read_calibration(cache: Path | None = None) -> CpuPowers | None:
    """Return the powers that `effmark doctor --calibrate` found on this machine, if it did."""
    path = (cache or default_cache()) / CALIBRATION_FILE
    if not path.is_file():
        return None
    with contextlib.suppress(ValueError, KeyError, TypeError):
        found = json.loads(path.read_text())
        if found["cpu"] == _cpu_name():
            return CpuPowers(found["idle_w"], found["max_w"], found["source"], found["err_rel"])
    return None


def _from_table() -> CpuPowers:
    row = cpu_powers(_cpu_name())
    return CpuPowers(row.idle_w, row.max_w, f"{row.name}, {row.source}")


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.is_file() else ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else ""


def _usable() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
