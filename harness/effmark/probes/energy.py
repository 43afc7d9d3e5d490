"""The energy of a window, from whatever instruments this machine has."""

from __future__ import annotations

from effmark.probes.contract import EnergyProbe
from effmark.record import EnergyReading, Missing

__all__ = ["EnergyMeter"]


class EnergyMeter:
    """All energy probes that could be opened; started and stopped together."""

    def __init__(self, probes: list[EnergyProbe], absent: list[Missing]) -> None:
        self._probes = probes
        self._absent = absent
        """One Missing per probe that could not be opened."""

    @property
    def pids(self) -> frozenset[int]:
        """Return the processes that belong to the instruments, not to the workload."""
        return frozenset(pid for probe in self._probes for pid in getattr(probe, "pids", ()))

    def start(self) -> None:
        """Begin to watch; the load is running already."""
        for probe in self._probes:
            probe.start()

    def stop(self, origin_s: float) -> tuple[list[EnergyReading], list[Missing]]:
        """Return the readings since `start`, on a clock that begins at `origin_s`."""
        readings: list[EnergyReading] = []
        missing = list(self._absent)
        for probe in self._probes:
            for found in probe.stop():
                if isinstance(found, Missing):
                    missing.append(found)
                else:
                    readings.append(_rebased(found, origin_s))
        return readings, missing

    def close(self) -> None:
        """Give all instruments back."""
        for probe in self._probes:
            probe.close()


def _rebased(reading: EnergyReading, origin_s: float) -> EnergyReading:
    times = {"start_s": reading.start_s - origin_s, "end_s": reading.end_s - origin_s}
    return reading.model_copy(update=times)
