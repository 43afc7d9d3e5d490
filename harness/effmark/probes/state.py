"""What the machine was doing around a window: governor, turbo, pressure, steal, neighbours, limits.

Read from `/proc`, `/sys` and the cgroup before and after; what moves is a difference, what stands
is the value after. What cannot be read is unknown, with the path. Keys are those of
`effmark.advice`. CPU time of others is all busy time of the machine less that of this process tree.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from effmark.cgroups import group_folders, quota_cores
from effmark.probes.contract import Seen, sysfs_root
from effmark.probes.topology import topology

__all__ = ["HostState", "MachineWatch"]

Value = str | int | float | bool
SHORTEST_S = 1.0
"""CPU time of the machine is counted in ticks of 10 ms: 1 % of the shortest window judged."""


@dataclass
class HostState:
    """What was read at one moment."""

    time_s: float
    settings: dict[str, Value] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)


class MachineWatch:
    """The state of the machine between `start` and `stop`."""

    def __init__(
        self,
        proc_root: Path = Path("/proc"),
        root: Path | None = None,
        own_pids: frozenset[int] = frozenset(),
        shortest_s: float = SHORTEST_S,
    ) -> None:
        self._proc, self._sys = proc_root, root or sysfs_root()
        self._own = own_pids
        """Processes that belong to the instrument: neither the workload nor foreign."""
        self._shortest_s = shortest_s
        self._before: HostState | None = None

    def start(self) -> None:
        """Read the state before."""
        self._before = self._read()

    def stop(self) -> Seen:
        """Return what stood and what moved since `start`."""
        assert self._before is not None
        before, after = self._before, self._read()
        state = dict(after.settings)
        unknown = dict(after.unknown)
        window = max(1e-9, after.time_s - before.time_s)
        moved = {
            key: after.counters[key] - value
            for key, value in before.counters.items()
            if key in after.counters
        }
        if "pressure" in before.settings:
            state["psi_cpu_before_ratio"] = before.settings["pressure"]
            state.pop("pressure", None)
        if window < self._shortest_s:
            for key in ("steal_ratio", "foreign_cpu_ratio"):
                unknown[key] = f"the window of {window:.2f} s is short for the kernel's ticks"
        elif "busy_s" in moved:
            cpus = psutil.cpu_count() or 1
            state["steal_ratio"] = max(0.0, moved["steal_s"]) / window / cpus
            state["foreign_cpu_ratio"] = max(0.0, moved["busy_s"] - moved["own_s"]) / window
        for key in ("quota_throttled_count", "swap_in_b", "throttle_count"):
            if key in moved:
                state[key] = max(0.0, moved[key])
        for what in ("cpu", "memory", "io"):
            if f"psi_{what}_us" in moved:
                waited_s = moved[f"psi_{what}_us"] * 1e-6
                state[f"psi_{what}_window_ratio"] = min(1.0, max(0.0, waited_s) / window)
        clocks = [s.settings["clock_hz"] for s in (before, after) if "clock_hz" in s.settings]
        if len(clocks) == 2:
            low, high = sorted(float(c) for c in clocks)
            state["clock_change_between_ratio"] = 1 - low / high
        return Seen(state=state, unknown=unknown)

    def _read(self) -> HostState:
        state = HostState(time.monotonic())
        self._cpufreq(state)
        self._kernel(state)
        standing, hidden = topology(self._proc, self._sys)
        state.settings.update(standing)
        state.unknown.update(hidden)
        self._pressure(state)
        self._busy(state)
        self._quota(state)
        return state

    def _text(self, state: HostState, key: str, path: Path) -> str | None:
        """Return a file's text; what cannot be read is unknown, by its path."""
        try:
            return path.read_text().strip()
        except OSError as error:
            state.unknown[key] = f"{path}: {error.strerror}"
            return None

    def _cpufreq(self, state: HostState) -> None:
        cpu = self._sys / "devices/system/cpu"
        if governor := self._text(state, "governor", cpu / "cpu0/cpufreq/scaling_governor"):
            state.settings["governor"] = governor
        if clock := self._text(state, "clock_hz", cpu / "cpu0/cpufreq/scaling_cur_freq"):
            state.settings["clock_hz"] = float(clock) * 1000
        no_turbo = cpu / "intel_pstate/no_turbo"
        if no_turbo.is_file():
            state.settings["turbo"] = no_turbo.read_text().strip() == "0"
        elif boost := self._text(state, "turbo", cpu / "cpufreq/boost"):
            state.settings["turbo"] = boost == "1"
        if smt := self._text(state, "smt", cpu / "smt/active"):
            state.settings["smt"] = smt == "1"
        counts = list(cpu.glob("cpu*/thermal_throttle/core_throttle_count"))
        if counts:
            state.counters["throttle_count"] = sum(float(c.read_text()) for c in counts)
        else:
            state.unknown["throttle_count"] = f"{cpu}/cpu*/thermal_throttle: none; Intel only"

    def _kernel(self, state: HostState) -> None:
        kernel = self._proc / "sys/kernel"
        pages = self._text(state, "thp", self._sys / "kernel/mm/transparent_hugepage/enabled")
        if pages and (chosen := re.search(r"\[(\w+)\]", pages)):
            state.settings["thp"] = chosen[1]
        if random := self._text(state, "aslr", kernel / "randomize_va_space"):
            state.settings["aslr"] = random != "0"
        if balancing := self._text(state, "numa_balancing", kernel / "numa_balancing"):
            state.settings["numa_balancing"] = balancing != "0"
        source = self._sys / "devices/system/clocksource/clocksource0/current_clocksource"
        if clock := self._text(state, "clocksource", source):
            state.settings["clocksource"] = clock
        if hasattr(os, "sched_getaffinity"):
            state.settings["affinity_count"] = len(os.sched_getaffinity(0))
        state.settings["nice"] = os.nice(0)

    def _pressure(self, state: HostState) -> None:
        for what, key in (("cpu", "pressure"), ("memory", "psi_memory_ratio"),
                          ("io", "psi_io_ratio")):  # fmt: skip
            text = self._text(state, key, self._proc / "pressure" / what)
            if text and (match := re.search(r"some avg10=([\d.]+)", text)):
                state.settings[key] = float(match[1]) / 100
            if text and (match := re.search(r"^some .*total=(\d+)", text, re.MULTILINE)):
                state.counters[f"psi_{what}_us"] = float(match[1])

    def _busy(self, state: HostState) -> None:
        text = self._text(state, "foreign_cpu_ratio", self._proc / "stat")
        if text:
            ticks = [int(n) for n in text.splitlines()[0].split()[1:9]]
            tick_s = 1 / os.sysconf("SC_CLK_TCK")
            user, nice, system, _, _, irq, softirq, steal = ticks
            state.counters["busy_s"] = (user + nice + system + irq + softirq) * tick_s
            state.counters["steal_s"] = steal * tick_s
            state.counters["own_s"] = self._own_s()
        swapped = self._text(state, "swap_in_b", self._proc / "vmstat")
        if swapped and (match := re.search(r"^pswpin (\d+)$", swapped, re.MULTILINE)):
            state.counters["swap_in_b"] = float(match[1]) * os.sysconf("SC_PAGE_SIZE")

    def _own_s(self) -> float:
        """Return the CPU time of this process, its children and the instruments in seconds."""
        me = psutil.Process()
        times = me.cpu_times()
        total = times.user + times.system + times.children_user + times.children_system
        for child in me.children(recursive=True):
            try:
                spent = child.cpu_times()
            except psutil.Error:
                continue  # gone; its time is among those of ended children
            total += spent.user + spent.system
        return total

    def _quota(self, state: HostState) -> None:
        groups = group_folders("cpu", self._proc, self._sys)
        if not groups:
            state.unknown["quota_throttled_count"] = f"no cpu cgroup below {self._sys}/fs/cgroup"
            return
        text = self._text(state, "quota_throttled_count", groups[0] / "cpu.stat")
        if text and (match := re.search(r"^nr_throttled (\d+)$", text, re.MULTILINE)):
            state.counters["quota_throttled_count"] = float(match[1])
        limit = quota_cores(groups)
        if limit is not None:
            state.settings["quota_cores"] = limit
