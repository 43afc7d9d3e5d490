"""Which energy probes are installed: by entry point, so that a vendor can add one."""

from __future__ import annotations

from collections.abc import Callable

from effmark.probes.contract import EnergyProbe, absent
from effmark.record import Missing
from effmark.registry import installed

__all__ = ["probe_makers"]


def probe_makers(*, measuring: bool) -> tuple[dict[str, Callable[[], EnergyProbe]], list[Missing]]:
    """Return the probe classes that measure (or estimate) by name, and those that cannot load."""
    makers: dict[str, Callable[[], EnergyProbe]] = {}
    broken: list[Missing] = []
    for name, point in installed("probes").items():
        try:
            probe: type[EnergyProbe] = point.load()
        except Exception as error:  # noqa: BLE001 - a broken probe breaks only itself
            if measuring:  # told once
                text = f"{name}: cannot be loaded: {type(error).__name__}: {error}"
                broken.append(absent("failed", text))
            continue
        if probe.measures == measuring:
            makers[name] = probe
    return makers, broken
