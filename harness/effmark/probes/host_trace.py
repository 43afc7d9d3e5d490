"""Memory of the workload, clocks and heat of the CPU while a load runs: read by the sampler.

Physics: resident memory is `statm` of the processes that do the work and of their children, so a
page that two of them share counts twice; short peaks between two reads are missed, which is why
the peak itself is never taken from here (`memory.py` has the kernel's own mark). The clock is the
kernel's `scaling_cur_freq` of a few of the CPUs that the workload may use, which some drivers
compute from the last ticks; a virtual machine usually has none.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import ClassVar

from effmark.probes.contract import Instrument, Seen, Target, sysfs_root
from effmark.probes.traces import SLOTS, condensed
from effmark.record import EnergyReading, Missing, Trace

__all__ = ["HostTrace"]

_SPACING_S = 0.1
_STATE_SPACING_S = 0.5
_CHILDREN_SPACING_S = 1.0
_CPUS = 8
"""Clocks of so many CPUs stand for the rest: a read may wake the CPU that it asks."""
_CPU_ZONES = ("x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc-thermal")
_PAGE_B = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class HostTrace:
    """Reads the host beside the energy probes; it has no energy of its own."""

    name: ClassVar[str] = "host"
    measures: ClassVar[bool] = True

    def __init__(self, proc_root: Path = Path("/proc"), root: Path | None = None) -> None:
        self._proc, self._sys = proc_root, root or sysfs_root()
        self._roots: tuple[int, ...] = ()
        self._pids: tuple[int, ...] = ()
        self._clock_files: list[str] = []
        self._heat_file: str | None = None
        self._unknown: dict[str, str] = {}
        self._open: dict[int, int] = {}
        self._clear()

    def _clear(self) -> None:
        self._memory: list[tuple[float, float]] = []
        self._clocks: list[tuple[float, float]] = []
        self._heat: list[tuple[float, float]] = []
        self._start_s = self._end_s = 0.0
        self._next_state_s = self._next_children_s = 0.0

    def open(self, target: Target) -> tuple[Instrument, ...] | Missing:
        """Find what can be read; nothing of it is energy."""
        self._roots = self._pids = target.pids
        cpu = self._sys / "devices/system/cpu"
        files = [cpu / f"cpu{n}/cpufreq/scaling_cur_freq" for n in _cpus(target.pids)]
        self._clock_files = [str(file) for file in files if file.is_file()]
        if not self._clock_files:
            self._unknown["clock_median_hz"] = f"{files[0]}: no such file; virtual machines hide it"
        self._heat_file = self._find_heat()
        if self._heat_file is None:
            zones = self._sys / "class/thermal"
            self._unknown["cpu_temperature_c"] = f"{zones}: no zone of type {', '.join(_CPU_ZONES)}"
        return ()

    def _find_heat(self) -> str | None:
        for kind in sorted(self._sys.glob("class/thermal/thermal_zone*/type")):
            if kind.read_text().strip() in _CPU_ZONES and (kind.parent / "temp").is_file():
                return str(kind.parent / "temp")
        return None

    def start(self) -> None:
        """Begin a window."""
        self._clear()
        self._start_s = time.monotonic()

    def poll(self) -> float:
        """Read what is due; the longer the window, the rarer."""
        now = time.monotonic()
        if now >= self._next_children_s:
            self._next_children_s = now + _CHILDREN_SPACING_S
            self._pids = self._tree()
        self._memory.append((now, float(sum(self._resident_b(pid) for pid in self._pids))))
        if now >= self._next_state_s:
            self._next_state_s = now + _STATE_SPACING_S
            clocks = [hz for file in self._clock_files if (hz := _number(file)) is not None]
            if clocks:
                self._clocks.append((now, 1000 * statistics.median(clocks)))
            if self._heat_file and (heat := _number(self._heat_file)) is not None:
                self._heat.append((now, heat / 1000))
        return now + self._spacing_s(now)

    def _spacing_s(self, now: float) -> float:
        return max(_SPACING_S, (now - self._start_s) / (SLOTS / 2))

    def _tree(self) -> tuple[int, ...]:
        """Return the processes that do the work and their children, this one left out."""
        found: list[int] = []
        left = list(self._roots)
        while left:
            pid = left.pop()
            if pid in found or pid == os.getpid():
                continue
            found.append(pid)
            text = _text(f"{self._proc}/{pid}/task/{pid}/children")
            left += [int(child) for child in text.split()]
        for gone in self._open.keys() - set(found):
            os.close(self._open.pop(gone))
        return tuple(found)

    def _resident_b(self, pid: int) -> int:
        """Return the resident bytes of a process, 0 when it is gone; its file stays open.

        Opening it anew costs six times as much as reading it, and this runs all the time.
        """
        try:
            if pid not in self._open:
                self._open[pid] = os.open(f"{self._proc}/{pid}/statm", os.O_RDONLY)
            return int(os.pread(self._open[pid], 128, 0).split()[1]) * _PAGE_B
        except (OSError, IndexError, ValueError):
            return 0

    def stop(self, start_s: float, end_s: float) -> tuple[EnergyReading | Missing, ...]:
        """End the window; there is no energy."""
        self._end_s = end_s
        return ()

    def seen(self) -> Seen:
        """Return the clocks and the heat of the window."""
        state: dict[str, str | int | float | bool] = {}
        clocks = [hz for _, hz in self._clocks]
        if clocks:
            state["clock_min_hz"], state["clock_max_hz"] = min(clocks), max(clocks)
            state["clock_median_hz"] = statistics.median(clocks)
        if self._heat:
            state["cpu_temperature_c"] = max(heat for _, heat in self._heat)
        return Seen(state=state, unknown=self._unknown)

    def traces(self) -> tuple[Trace, ...]:
        """Return memory, clocks and heat over time."""
        window = (self._start_s, self._end_s)
        spacing = self._spacing_s(self._end_s)
        memory = [(t, b) for t, b in self._memory if b]
        return (
            *condensed("memory_b", "proc: resident, the process tree", memory, *window, spacing,
                       "max"),
            *condensed("clock_hz", "cpufreq", self._clocks, *window, _STATE_SPACING_S),
            *condensed("temperature_c", "thermal zone of the CPU", self._heat, *window,
                       _STATE_SPACING_S, "max"),
        )  # fmt: skip

    def close(self) -> None:
        """Close the files of the processes."""
        for handle in self._open.values():
            os.close(handle)
        self._open.clear()


def _cpus(pids: tuple[int, ...]) -> list[int]:
    """Return CPUs that the workload may use, a few of them."""
    try:
        allowed = sorted(os.sched_getaffinity(pids[0] if pids else 0))
    except (OSError, AttributeError):
        allowed = list(range(os.cpu_count() or 1))
    step = max(1, len(allowed) // _CPUS)
    return allowed[::step][:_CPUS]


def _text(path: str) -> str:
    """Return a small file of the kernel, empty where it cannot be read.

    `Path.read_text` takes four times as long, most of it for decoding.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return ""
    try:
        return os.read(handle, 4096).decode(errors="replace")
    except OSError:
        return ""  # the process ended in between
    finally:
        os.close(handle)


def _number(path: str) -> float | None:
    text = _text(path).strip()
    return float(text) if text.lstrip("-").isdigit() else None
