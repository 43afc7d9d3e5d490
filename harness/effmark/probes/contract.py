"""The energy probe contract: an instrument that is opened, described and read around windows.

    class MyProbe:                        # named by an entry point in the group "effmark.probes"
        name = "my-meter"
        measures = True                   # False: a model, used where nothing else was found

        def open(self, target): ...       # what it sees, or Missing with reason and remedy
        def start(self): ...              # the window begins
        def poll(self): ...               # read once; say when to be read again
        def stop(self, start_s, end_s): ...   # energy of windows inside [start_s, end_s]
        def close(self): ...

A probe lives in the sampler, a process next to the measured one, in a thread of its own: it may
take its time, hang or crash without touching the measurement. A probe never raises on a machine
that lacks its sensor. All moments are `time.monotonic()` of this host, which is comparable
between processes. Its boundary (library, sysfs root, socket) is a parameter of its constructor.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from effmark.record import EnergyReading, Missing, Reason, Trace
from effmark.schema import Frozen

__all__ = [
    "Drains",
    "Draws",
    "EnergyProbe",
    "Instrument",
    "Reports",
    "Seen",
    "Target",
    "absent",
    "sysfs_root",
]


class Target(Frozen):
    """Whose energy is asked for."""

    device: str = "cpu"
    """`cpu`, `cuda:0`, `cuda:0,1`, `rocm:0` … as adapters name it."""
    pids: tuple[int, ...] = ()
    """The processes that do the work; everybody else on the device is foreign."""
    uuids: tuple[str, ...] = ()
    """Identity of the devices where the framework told it; else found by the probe."""

    @property
    def kind(self) -> str:
        """Return the name before the number: `cpu`, `cuda`, `rocm`."""
        return self.device.split(":")[0]

    @property
    def indices(self) -> tuple[int, ...]:
        """Return the device numbers, in the numbering of the framework."""
        _, _, numbers = self.device.partition(":")
        return tuple(int(n) for n in numbers.split(",") if n) or (0,)


class Instrument(Frozen):
    """What a probe can see, as far as it could find out by reading."""

    probe: str
    device_id: str
    source: str
    """`hw_counter`, `hw_power_integrated`, `external_meter` or `model_estimate`."""
    scope: str
    """`gpu_board`, `package`, `dram`, `psys`, `wall`, `machine`, `rail:NAME` …"""
    resolution_j: float | None = None
    update_period_s: float | None = None
    err_sys_rel: float | None = None
    detail: str = ""
    """What else matters: how it was found, what it cannot see."""


class Seen(Frozen):
    """The state of a device in a window: what could be read, and why the rest could not."""

    state: dict[str, str | int | float | bool] = {}
    unknown: dict[str, str] = {}


@runtime_checkable
class EnergyProbe(Protocol):
    """One instrument for energy; used by one thread."""

    name: ClassVar[str]
    measures: ClassVar[bool]
    """Whether it reads a sensor; a model (False) is used only where no sensor was found."""

    def open(self, target: Target) -> tuple[Instrument, ...] | Missing:
        """Return what can be seen of a device, or why nothing can."""

    def start(self) -> None:
        """Begin to watch; the load is running already."""

    def poll(self) -> float:
        """Read once while watching; return when to be called next (inf: no need)."""

    def stop(self, start_s: float, end_s: float) -> tuple[EnergyReading | Missing, ...]:
        """End watching; return the energy of windows inside [start_s, end_s]."""

    def close(self) -> None:
        """Give the instrument back; calling it twice is allowed."""


@runtime_checkable
class Reports(Protocol):
    """A probe that also knows the state of its device."""

    def seen(self) -> Seen:
        """Return the state of the device in the window that was stopped last."""


@runtime_checkable
class Drains(Protocol):
    """A probe that can measure a load which runs once and is short for its counter."""

    def ready(self) -> bool:
        """Return whether enough was seen of the idle device: the load may begin."""

    def drain(self, start_s: float, end_s: float) -> tuple[EnergyReading | Missing, ...]:
        """Read on until the counter has moved; return the energy of a load in [start_s, end_s]."""


@runtime_checkable
class Draws(Protocol):
    """A probe that can show what it read over time."""

    def traces(self) -> tuple[Trace, ...]:
        """Return what was read in the window that was stopped last, in at most 200 slots each."""


def absent(reason: Reason, detail: str) -> Missing:
    """Return why an energy is missing."""
    return Missing(metric="energy", reason=reason, detail=detail)


def sysfs_root() -> Path:
    """Return where the kernel shows its devices: `/sys`, or `$EFFMARK_SYSFS_ROOT`."""
    return Path(os.environ.get("EFFMARK_SYSFS_ROOT", "/sys"))
