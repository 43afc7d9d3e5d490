"""RAPL: the energy counters of CPU sockets, by the kernel's powercap tree (Intel and AMD).

Physics: `energy_uj` counts microjoules in steps of 15 to 61 uJ, refreshed about every millisecond,
and starts again at 0 after `max_energy_range_uj` (65 kJ or more: five minutes at 200 W), so it is
read often enough to see every wrap. `package` contains core and uncore; dram is inside on some
parts and outside on others; psys contains the package. They are three scopes and never added; only
sockets of the same scope are. The counter covers a whole socket, whoever uses it.

Since CVE-2020-8694 only root may read it unless the owner of the machine decides otherwise.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from effmark.probes.contract import Instrument, Target, absent, sysfs_root
from effmark.probes.edges import CounterFollower
from effmark.probes.readings import Found, Sensor, combined, counter_readings, drained
from effmark.probes.traces import condensed
from effmark.record import Missing, Trace

__all__ = ["RaplProbe", "unwrapped"]

_ERR_SYS_REL = 0.05
_RESOLUTION_J = 61e-6
TRACE_S = 0.1
"""Two reads of a counter that is read at leisure: power is the difference of neighbours."""
_SCOPES = {"package": "package", "dram": "dram", "psys": "psys"}
"""Core and uncore are parts of the package and left out."""
_REMEDY = (
    "sudo chmod -R a+r /sys/class/powercap/intel-rapl*/ (until the next boot), or the udev rule "
    'SUBSYSTEM=="powercap", ACTION=="add", RUN+="/bin/chmod a+r /sys%p/energy_uj"; it lets other '
    "users watch what the CPU computes (CVE-2020-8694)"
)


def unwrapped(read_uj: Callable[[], int], range_uj: int) -> Callable[[], float]:
    """Return a reader in J that counts on where the counter starts again."""
    last = read_uj()
    total = 0

    def read() -> float:
        nonlocal last, total
        now = read_uj()
        total += (now - last) % range_uj
        last = now
        return total * 1e-6

    return read


class _Zone:
    """One RAPL domain that can be read."""

    def __init__(self, folder: Path, socket: str, scope: str) -> None:
        self._file = str(folder / "energy_uj")
        range_uj = int((folder / "max_energy_range_uj").read_text())
        self.scope = scope
        self.sensor = Sensor("rapl", socket, scope, _ERR_SYS_REL, _RESOLUTION_J)
        self.follower = CounterFollower(unwrapped(self._read, range_uj))

    def _read(self) -> int:
        """Return the counter in uJ; `Path.read_text` would take four times as long."""
        handle = os.open(self._file, os.O_RDONLY)
        try:
            return int(os.read(handle, 32))
        finally:
            os.close(handle)


class RaplProbe:
    """All RAPL domains of this machine."""

    name: ClassVar[str] = "rapl"
    measures: ClassVar[bool] = True

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or sysfs_root()
        self._zones: list[_Zone] = []
        self._window = (0.0, 0.0)

    def open(self, target: Target) -> tuple[Instrument, ...] | Missing:
        """Return the domains that can be read."""
        folder = self._root / "class" / "powercap"
        found = sorted(folder.glob("intel-rapl:*"))
        if not found:
            detail = f"no {folder}/intel-rapl:*; a container must be given it (docker run -v "
            detail += "/sys/class/powercap:/sys/class/powercap:ro); a virtual machine has none"
            return absent("not_present", detail)
        try:
            for zone in found:
                self._add(zone)
        except PermissionError as error:
            return absent("not_permitted", f"{error.filename}: only root may read it; {_REMEDY}")
        except (OSError, ValueError) as error:
            return absent("failed", f"{type(error).__name__}: {error}")
        if not self._zones:
            return absent("not_supported", f"{folder} has neither package, dram nor psys")
        return tuple(
            Instrument(
                probe=self.name,
                device_id=zone.sensor.device_id,
                source="hw_counter",
                scope=zone.scope,
                resolution_j=_RESOLUTION_J,
                err_sys_rel=_ERR_SYS_REL,
                detail=str(folder),
            )
            for zone in self._zones
        )

    def _add(self, folder: Path) -> None:
        name = (folder / "name").read_text().strip()
        scope = _SCOPES.get(re.sub(r"-\d+$", "", name))
        if scope is None:
            return
        parent = folder.name.rpartition(":")[0]
        above = folder.parent / parent / "name"
        socket = name if ":" not in parent else f"{above.read_text().strip()}/{name}"
        self._zones.append(_Zone(folder, socket, scope))

    def start(self) -> None:
        """Forget earlier windows."""
        for zone in self._zones:
            zone.follower.start()

    def poll(self) -> float:
        """Read all domains."""
        return min(zone.follower.poll() for zone in self._zones)

    def stop(self, start_s: float, end_s: float) -> Found:
        """Return the energy per scope; sockets are added, scopes are not."""
        return self._sums(
            lambda z: counter_readings(z.sensor, z.follower, None, start_s, end_s), start_s, end_s
        )

    def ready(self) -> bool:
        """Return whether every domain has shown its idle power."""
        return all(zone.follower.knows_idle for zone in self._zones)

    def drain(self, start_s: float, end_s: float) -> Found:
        """Return the energy of a load that ran once."""
        for zone in self._zones:
            zone.follower.read_on(end_s)
        return self._sums(lambda z: drained(z.sensor, z.follower, start_s, end_s), start_s, end_s)

    def _sums(self, found_of: Callable[[_Zone], Found], start_s: float, end_s: float) -> Found:
        found: Found = ()
        self._window = (start_s, end_s)
        for scope in dict.fromkeys(zone.scope for zone in self._zones):
            zones = [zone for zone in self._zones if zone.scope == scope]
            parts = [found_of(zone) for zone in zones]
            found = (*found, *combined(parts, [zone.follower.swing_w() for zone in zones]))
        return found

    def traces(self) -> tuple[Trace, ...]:
        """Return the power of each domain over time, from what was read of its counter."""
        parts = (
            condensed("power_w", f"rapl {zone.sensor.device_id}", zone.follower.powers(),
                      *self._window, TRACE_S)
            for zone in self._zones
        )  # fmt: skip
        return tuple(trace for part in parts for trace in part)

    def close(self) -> None:
        """Nothing is held open."""
