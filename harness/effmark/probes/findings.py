"""What `effmark doctor` says of a machine beside its energy: each thing, its state, its remedy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from effmark.perf_events import CounterAbsent, open_counter
from effmark.probes.memory import PeakMemory
from effmark.record import Environment, Measured, RatesUsed
from effmark.schema import Frozen

__all__ = ["Finding", "findings_of"]

Group = Literal["time", "memory", "code", "money", "packages"]
Mark = Literal["good", "better", "lacking", "unknown"]


class Finding(Frozen):
    """One thing that was looked at."""

    group: Group
    subject: str
    mark: Mark
    """`better`: it works, and could be better; `unknown`: it cannot be read here."""
    state: str
    remedy: str = ""
    """The command, or the one thing, that would make it good; empty: nothing to do."""


def findings_of(environment: Environment, rates: RatesUsed) -> Iterator[Finding]:
    """Yield what was found out about time, memory, money and packages."""
    yield from _of_load(environment)
    yield from _of_clocks(environment)
    yield _of_instructions()
    yield from _of_memory(environment)
    yield from _of_rates(rates)
    yield from _of_packages()


def _of_load(environment: Environment) -> Iterator[Finding]:
    """Yield what others do on this machine."""
    remedy = "stop other work, or let configurations take turns: effmark run … --interleave"
    for key, subject, words, limit in (
        ("psi_cpu_before_ratio", "pressure", "of the last 10 s somebody waited for a core", 0.05),
        ("foreign_cpu_ratio", "other processes", "of a core is used by others", 0.05),
        ("steal_ratio", "stolen time", "of the time goes to other virtual machines", 0.01),
    ):
        value = environment.state.get(key)
        if isinstance(value, float):
            busy = value > limit
            yield Finding(group="time", subject=subject, mark="better" if busy else "good",
                          state=f"{100 * value:.1f} % {words}",
                          remedy=remedy if busy else "")  # fmt: skip
        elif why := environment.unknown.get(key):
            yield Finding(group="time", subject=subject, mark="unknown", state=why)


def _of_clocks(environment: Environment) -> Iterator[Finding]:
    """Yield what moves the clock of the CPU."""
    state, unknown = environment.state, environment.unknown
    governor, turbo = state.get("governor"), state.get("turbo")
    if governor is None:
        why = unknown.get("governor", "not read").partition(":")[0]
        yield Finding(group="time", subject="governor", mark="unknown",
                      state=f"hidden, as in most virtual machines: no {why}")  # fmt: skip
    else:
        steady = governor == "performance"
        remedy = "" if steady else "sudo cpupower frequency-set -g performance"
        yield Finding(group="time", subject="governor", mark="good" if steady else "better",
                      state=str(governor), remedy=remedy)  # fmt: skip
    if turbo is not None:
        remedy = "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo, or "
        remedy += "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost"
        yield Finding(group="time", subject="turbo", mark="better" if turbo else "good",
                      state="on: fast, less steady" if turbo else "off",
                      remedy=remedy if turbo else "")  # fmt: skip
    if (source := state.get("clocksource")) is not None:
        fast = source in ("tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page")
        yield Finding(group="time", subject="clock source", mark="good" if fast else "better",
                      state=f"{source}" if fast else f"{source}: reading the clock is slow",
                      remedy="" if fast else "boot with tsc=reliable")  # fmt: skip
    yield Finding(group="time", subject="cores", mark="good", state=_cores(environment))
    if (quota := state.get("quota_cores")) is not None:
        yield Finding(group="time", subject="quota", mark="better",
                      state=f"the container may use {quota:g} cores; beyond that it is stopped",
                      remedy="give it whole cores instead: docker run --cpuset-cpus=…")  # fmt: skip


def _cores(environment: Environment) -> str:
    state = environment.state
    nodes = state.get("numa_nodes_count", 1)
    which = f" ({state['affinity']})" if "affinity" in state else ""
    count = state.get("affinity_count", os.cpu_count())
    text = f"{count} of {os.cpu_count()} logical CPUs may be used{which}"
    text += f", {environment.cores_count} threads unless a suite says otherwise"
    return text + (f"; {nodes} memory nodes: {state['numa_layout']}" if nodes != 1 else "")


def _of_instructions() -> Finding:
    counter = open_counter()
    if isinstance(counter, CounterAbsent):
        why, _, remedy = counter.detail.partition("; ")
        return Finding(group="time", subject="instructions", mark="lacking",
                       state=f"cannot be counted: {why}", remedy=remedy)  # fmt: skip
    counter.close()
    return Finding(group="time", subject="instructions", mark="good",
                   state="counted: changes of 0.1 % can be gated on a noisy machine")  # fmt: skip


def _of_memory(environment: Environment) -> Iterator[Finding]:
    memory = PeakMemory()
    memory.start()
    found = {m.metric: m for m in memory.measurements()}
    peak = found["peak_memory_b"]
    if isinstance(peak, Measured):
        yield Finding(group="memory", subject="peak", mark="good",
                      state="exact peaks: the kernel's own mark of each process")  # fmt: skip
    else:
        yield Finding(group="memory", subject="peak", mark="lacking", state=peak.detail)
    if "cgroup_peak_b" in found:
        yield Finding(group="memory", subject="cgroup", mark="good",
                      state="of its own: its peak holds the page cache, too")  # fmt: skip
    else:
        yield Finding(group="memory", subject="cgroup", mark="unknown",
                      state="shared with others, so its peak is not read",
                      remedy="systemd-run --user --scope -p MemoryAccounting=yes effmark run …"
                      if shutil.which("systemd-run") else "")  # fmt: skip
    swapping = environment.state.get("swap_in_b")
    if isinstance(swapping, float) and swapping > 0:
        yield Finding(group="memory", subject="swap", mark="better", remedy="free memory",
                      state="memory is read back from swap right now")  # fmt: skip


def _of_rates(rates: RatesUsed) -> Iterator[Finding]:
    for name, subject in (("carbon", "carbon"), ("electricity", "electricity"),
                          ("device", "this machine")):  # fmt: skip
        rate = getattr(rates, name)
        if rate is None:
            text, _, remedy = rates.unknown[name].partition("; ")
            yield Finding(group="money", subject=subject, mark="unknown", state=text, remedy=remedy)
        else:
            text = f"{rate.value:.3g} {rate.unit}, {rate.source} ({rate.date})"
            yield Finding(group="money", subject=subject, mark="good", state=text)


def _of_packages() -> Iterator[Finding]:
    """Yield the packages that this machine's devices would need."""
    wanted = [("codecarbon", "energy", "a second estimate where nothing measures")]
    if Path("/dev/nvidiactl").exists():
        wanted.append(("pynvml", "nvidia", "energy of NVIDIA GPUs"))
    if Path("/dev/kfd").exists():
        wanted.append(("amdsmi", "rocm", "energy of AMD GPUs"))
    if os.environ.get("EFFMARK_METER", "").startswith("serial:"):
        wanted.append(("serial", "meter", "a meter on a serial line"))
    for module, extra, purpose in wanted:
        if find_spec(module) is None:
            yield Finding(group="packages", subject=module, mark="lacking",
                          state=f"not installed: {purpose}",
                          remedy=f"pip install 'effmark[{extra}]'")  # fmt: skip
