"""Which energy instruments this machine has: every installed probe is tried, best source kept."""

from __future__ import annotations

from effmark.probes.contract import EnergyProbe
from effmark.probes.energy import EnergyMeter
from effmark.record import Missing
from effmark.registry import installed

__all__ = ["open_energy_meter"]


def open_energy_meter(device: str) -> EnergyMeter:
    """Return the meter of all probes that see something of a device, estimates included."""
    probes: list[EnergyProbe] = []
    absent: list[Missing] = []
    for name, point in installed("probes").items():
        try:
            probe: EnergyProbe = point.load()()
        except Exception as error:  # noqa: BLE001 - a broken probe breaks only itself
            detail = f"{name}: cannot be loaded: {type(error).__name__}: {error}"
            absent.append(Missing(metric="energy", reason="failed", detail=detail))
            continue
        found = probe.open(device)
        if isinstance(found, Missing):
            absent.append(found.model_copy(update={"detail": f"{name}: {found.detail}"}))
        else:
            probes.append(probe)
    return EnergyMeter(probes, absent)
