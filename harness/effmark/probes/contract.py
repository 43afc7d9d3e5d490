"""The energy probe contract: an instrument that is opened, described and read around windows.

A probe never raises on a machine that lacks its sensor: `open` returns what it can see, or a
Missing with the reason and the remedy. Timestamps are `time.monotonic()` of this host.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from effmark.record import EnergyReading, Missing
from effmark.schema import Frozen

__all__ = ["EnergyProbe", "Instrument"]


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


@runtime_checkable
class EnergyProbe(Protocol):
    """One instrument for energy; used by one thread."""

    name: ClassVar[str]

    def open(self, device: str) -> tuple[Instrument, ...] | Missing:
        """Return what can be seen for a device (`cpu`, `cuda:0` …), or why nothing can."""

    def start(self) -> None:
        """Begin to watch; the load is running already."""

    def stop(self) -> tuple[EnergyReading | Missing, ...]:
        """End watching; return the energy of the windows inside, clocked by time.monotonic."""

    def close(self) -> None:
        """Give the instrument back; calling it twice is allowed."""
