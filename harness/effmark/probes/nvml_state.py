"""What an NVIDIA GPU was doing in a window: clocks, heat, memory, use, throttling, neighbours.

Throttling is read from the driver's own counters of time before and after, never by polling a
mask. Memory is the second version of the structure where the driver has it, which keeps what the
driver reserves apart; the first counts it as used. Process numbers are those of the host: inside a
container ours may not be among them, and then nobody can be called foreign.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import psutil

from effmark.probes.contract import Seen
from effmark.probes.traces import condensed
from effmark.record import Reason, Trace

__all__ = ["NVML_REASONS", "DeviceState", "supported"]

_THROTTLE_FIELDS = (74, 269, 270, 271)
"""Nanoseconds throttled by power cap, software thermal, heat, power brake."""
_NS = 1e-9
_MHZ = 1e6
_CLOCK_SM, _CLOCK_MEMORY = 1, 2
SPACING_S = 0.5
_RELAXED_SPACING_S = 1.0
_RELAXED_AFTER_S = 5.0
"""In long windows the state is read less often: six calls at a time cost more than the energy."""
_HOST_NAMESPACE = "pid:[4026531836]"
"""The number of the first process namespace is part of the kernel's interface."""

NVML_REASONS: dict[int, Reason] = {
    3: "not_supported",  # NOT_SUPPORTED
    4: "not_permitted",  # NO_PERMISSION
    6: "not_present",  # NOT_FOUND
    9: "not_present",  # DRIVER_NOT_LOADED
    12: "not_present",  # LIBRARY_NOT_FOUND
    13: "not_supported",  # FUNCTION_NOT_FOUND: the driver is older than the call
    25: "not_supported",  # ARGUMENT_VERSION_MISMATCH
}


def supported(nvml: Any, call: Any, *arguments: Any) -> Any:
    """Return what a call says, None where the device or the driver does not have it."""
    try:
        return call(*arguments)
    except nvml.NVMLError as error:
        if error.value in NVML_REASONS:
            return None
        raise


class DeviceState:
    """The state of one GPU, read twice a second while a window is open."""

    def __init__(self, nvml: Any, handle: Any, pids: tuple[int, ...]) -> None:
        self._nvml, self._handle, self._pids = nvml, handle, frozenset(pids)
        self.uuid = str(nvml.nvmlDeviceGetUUID(handle))
        limit = self._ask("nvmlDeviceGetEnforcedPowerLimit")
        self.limit_w = limit / 1000 if limit else None
        mode = self._ask("nvmlDeviceGetMigMode")
        self.mig = bool(mode and mode[0])
        ecc = self._ask("nvmlDeviceGetEccMode")
        self._ecc = None if ecc is None else bool(ecc[0])
        self._default_hz = self._clock("nvmlDeviceGetDefaultApplicationsClock", _CLOCK_SM)
        self.start()

    def _ask(self, name: str, *arguments: Any) -> Any:
        return supported(self._nvml, getattr(self._nvml, name), self._handle, *arguments)

    def _clock(self, name: str, kind: int) -> float | None:
        found = self._ask(name, kind)
        return None if found is None else float(found) * _MHZ

    def start(self) -> None:
        """Begin a window."""
        self._clocks: list[tuple[float, float]] = []
        self._heat: list[tuple[float, float]] = []
        self._used: list[tuple[float, float]] = []
        self._busy: list[float] = []
        self._own_b: list[float] = []
        self._foreign: set[int] = set()
        self._foreign_known = True
        self._throttled_before = self._throttled_ns()
        self._throttled_s: float | None = None
        self._next_s, self._start_s = 0.0, time.monotonic()

    def look(self) -> None:
        """Read what is due."""
        now = time.monotonic()
        if now < self._next_s:
            return
        relaxed = now - self._start_s > _RELAXED_AFTER_S
        self._next_s = now + (_RELAXED_SPACING_S if relaxed else SPACING_S)
        clock = self._clock("nvmlDeviceGetClockInfo", _CLOCK_SM)
        if clock is not None:
            self._clocks.append((now, clock))
        heat = self._ask("nvmlDeviceGetTemperatureV", 0)
        if heat is not None:
            self._heat.append((now, float(heat)))
        rates = self._ask("nvmlDeviceGetUtilizationRates")
        if rates is not None:
            self._busy.append(rates.gpu / 100)
        used = self._used_b()
        if used is not None:
            self._used.append((now, used))
        self._look_at_processes()

    def _used_b(self) -> float | None:
        """Return the memory in use, without what the driver reserves where it tells that apart."""
        memory = self._ask("nvmlDeviceGetMemoryInfo", self._nvml.nvmlMemory_v2)
        if memory is None:
            memory = self._ask("nvmlDeviceGetMemoryInfo")
        return None if memory is None else float(memory.used)

    def _look_at_processes(self) -> None:
        found = self._ask("nvmlDeviceGetComputeRunningProcesses") or ()
        others = {p.pid for p in found} - self._pids
        if others:
            others -= _descendants(self._pids)
        ours = [p for p in found if p.pid not in others]
        if others and not ours and not _numbers_are_the_hosts():
            self._foreign_known = False  # one of them may be ours
        self._foreign |= others
        held = [p.usedGpuMemory for p in ours if p.usedGpuMemory is not None]
        if held:
            self._own_b.append(float(sum(held)))

    def _throttled_ns(self) -> dict[int, int]:
        values = self._ask("nvmlDeviceGetFieldValues", list(_THROTTLE_FIELDS)) or ()
        return {v.fieldId: int(v.value.ullVal) for v in values if v.nvmlReturn == 0}

    def stop(self) -> None:
        """End the window."""
        self._next_s = 0.0
        self.look()
        before, after = self._throttled_before, self._throttled_ns()
        moved = [after[field] - before[field] for field in before if field in after]
        self._throttled_s = sum(moved) * _NS if moved else None

    @property
    def doubts(self) -> tuple[str, ...]:
        """Return what an energy reading of this window has to tell."""
        found = []
        if self._throttled_s:
            found.append(f"throttled for {self._throttled_s:.3g} s")
        if self.mig:
            found.append("MIG mode with one instance: the energy is that of the whole board")
        return tuple(found)

    @property
    def foreign(self) -> frozenset[int]:
        """Return the processes of others on the device; empty where that cannot be known."""
        return frozenset(self._foreign) if self._foreign_known else frozenset()

    def seen(self) -> Seen:
        """Return the state of the window, and what could not be read."""
        clocks = [hz for _, hz in self._clocks]
        used = [b for _, b in self._used]
        told: dict[str, str | int | float | bool | None] = {
            "mig": False,  # a slice with neighbours is refused before any window
            "mig_mode": self.mig,
            "ecc": self._ecc,
            "throttle_s": self._throttled_s,
            "power_limit_w": self.limit_w,
            "gpu_clock_median_hz": statistics.median(clocks) if clocks else None,
            "gpu_memory_clock_hz": self._clock("nvmlDeviceGetClockInfo", _CLOCK_MEMORY),
            "clock_change_ratio": 1 - min(clocks) / max(clocks) if clocks else None,
            "clock_min_ratio": min(clocks) / self._default_hz
            if clocks and self._default_hz
            else None,
            "temperature_c": max((c for _, c in self._heat), default=None),
            "gpu_busy_ratio": statistics.fmean(self._busy) if self._busy else None,
            "device_used_b": max(used, default=None),
            "device_process_b": max(self._own_b, default=None),
            "foreign_pids_count": len(self._foreign) if self._foreign_known else None,
        }
        why = dict.fromkeys((k for k, v in told.items() if v is None), "NVML does not tell it here")
        if not self._foreign_known:
            why["foreign_pids_count"] = "process numbers of a container are not the host's"
        return Seen(state={k: v for k, v in told.items() if v is not None}, unknown=why)

    def traces(self, start_s: float, end_s: float) -> tuple[Trace, ...]:
        """Return clock, heat and memory over time."""
        relaxed = end_s - start_s > _RELAXED_AFTER_S
        window = (start_s, end_s, _RELAXED_SPACING_S if relaxed else SPACING_S)
        source = f"nvml {self.uuid}"
        return (
            *condensed("clock_hz", source, self._clocks, *window),
            *condensed("temperature_c", source, self._heat, *window, "max"),
            *condensed("device_memory_b", source, self._used, *window, "max"),
        )


def _descendants(pids: frozenset[int]) -> set[int]:
    """Return the children of processes and theirs; asked only when a stranger is seen."""
    found: set[int] = set()
    for pid in pids:
        try:
            found |= {child.pid for child in psutil.Process(pid).children(recursive=True)}
        except psutil.Error:
            continue  # it has ended, its children are nobody's
    return found


def _numbers_are_the_hosts() -> bool:
    """Return whether this process sees the numbers that the driver speaks."""
    try:
        return str(Path("/proc/self/ns/pid").readlink()) == _HOST_NAMESPACE
    except OSError:
        return False
