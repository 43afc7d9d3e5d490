"""RAPL: the energy counters of CPU sockets, by the kernel's powercap tree (Intel and AMD).

Physics: `energy_uj` counts microjoules in steps of 15 to 61 uJ, refreshed about every millisecond,
and starts again at 0 after `max_energy_range_uj` (65 kJ or more: five minutes at 200 W), so it is
read often enough to see every wrap. `package` contains core and uncore; dram is inside on some
parts and outside on others; psys contains the package. They are three scopes and never added; only
sockets of the same scope are. The counter covers a whole socket, whoever uses it.

Since CVE-2020-8694 only root may read it unless the owner of the machine decides otherwise.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from functools import partial
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
        self.folder, self._file = folder, str(folder / "energy_uj")
        range_uj = int((folder / "max_energy_range_uj").read_text())
        self.scope = scope
        self.failure: Missing | None = None
        """Why it could not be read in this window, if it could not."""
        self.sensor = Sensor("rapl", socket, scope, _ERR_SYS_REL, _RESOLUTION_J)
        self.follower = CounterFollower(unwrapped(self._read, range_uj))

    def start(self) -> None:
        """Forget earlier windows."""
        self.failure = None
        self.follower.start()

    def poll(self) -> float:
        """Read once; return when to read again, never after a failure."""
        if self.failure is None:
            try:
                return self.follower.poll()
            except (OSError, ValueError) as error:
                self.failure = _unreadable(self.folder, error)
        return math.inf

    def found(self, look: Callable[[], Found]) -> Found:
        """Return what a look at the counter finds, or why it could not be read."""
        return look() if self.failure is None else (self.failure,)

    def _read(self) -> int:
        """Return the counter in uJ; `Path.read_text` would take four times as long."""
        handle = os.open(self._file, os.O_RDONLY)
        try:
            return int(os.read(handle, 32))
        finally:
            os.close(handle)


def _unreadable(folder: Path, error: OSError | ValueError) -> Missing:
    """Return why a domain is missing, with the remedy where there is one."""
    if isinstance(error, PermissionError):
        detail = f"{error.filename or folder}: only root may read it; {_REMEDY}"
        return absent("not_permitted", detail)
    return absent("failed", f"{folder}: {type(error).__name__}: {error}")


class RaplProbe:
    """All RAPL domains of this machine; one that cannot be read costs its own scope only."""

    name: ClassVar[str] = "rapl"
    measures: ClassVar[bool] = True

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or sysfs_root()
        self._zones: list[_Zone] = []
        self._hidden: list[tuple[str, Missing]] = []
        """Scopes of the domains that are there and cannot be read, with the reason."""
        self._window = (0.0, 0.0)

    def open(self, target: Target) -> tuple[Instrument, ...] | Missing:
        """Return the domains that can be read; why others cannot is said with the readings."""
        folder = self._root / "class" / "powercap"
        found = sorted(folder.glob("intel-rapl:*"))
        if not found:
            detail = f"no {folder}/intel-rapl:*; a container must be given it (docker run -v "
            detail += "/sys/class/powercap:/sys/class/powercap:ro); a virtual machine has none"
            return absent("not_present", detail)
        for zone in found:
            self._add(zone)
        if not self._zones and self._hidden:
            return self._hidden[0][1]
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
        parent = folder.name.rpartition(":")[0]
        # without a name it counts as what most domains of its level are, so that no sum lacks it
        scope: str | None = "dram" if ":" in parent else "package"
        try:
            name = (folder / "name").read_text().strip()
            scope = _SCOPES.get(re.sub(r"-\d+$", "", name))
            if scope is None:
                return
            above = folder.parent / parent / "name"
            socket = name if ":" not in parent else f"{above.read_text().strip()}/{name}"
            self._zones.append(_Zone(folder, socket, scope))
        except (OSError, ValueError) as error:
            self._hidden.append((scope or "package", _unreadable(folder, error)))

    def start(self) -> None:
        """Forget earlier windows."""
        for zone in self._zones:
            zone.start()

    def poll(self) -> float:
        """Read all domains."""
        return min(zone.poll() for zone in self._zones)

    def stop(self, start_s: float, end_s: float) -> Found:
        """Return the energy per scope; sockets are added, scopes are not."""
        return self._sums(
            lambda z: counter_readings(z.sensor, z.follower, None, start_s, end_s), start_s, end_s
        )

    def ready(self) -> bool:
        """Return whether every domain that can be read has shown its idle power."""
        return all(zone.follower.knows_idle for zone in self._zones if zone.failure is None)

    def drain(self, start_s: float, end_s: float) -> Found:
        """Return the energy of a load that ran once."""
        return self._sums(lambda z: self._drained(z, start_s, end_s), start_s, end_s)

    def _drained(self, zone: _Zone, start_s: float, end_s: float) -> Found:
        try:
            zone.follower.read_on(end_s)
        except (OSError, ValueError) as error:
            return (_unreadable(zone.folder, error),)
        return drained(zone.sensor, zone.follower, start_s, end_s)

    def _sums(self, found_of: Callable[[_Zone], Found], start_s: float, end_s: float) -> Found:
        found: Found = ()
        self._window = (start_s, end_s)
        scopes = [zone.scope for zone in self._zones] + [scope for scope, _ in self._hidden]
        for scope in dict.fromkeys(scopes):
            zones = [zone for zone in self._zones if zone.scope == scope]
            parts = [zone.found(partial(found_of, zone)) for zone in zones]
            hidden = [(why,) for of, why in self._hidden if of == scope]
            swings = [*(zone.follower.swing_w() for zone in zones), *[None] * len(hidden)]
            found = (*found, *combined([*parts, *hidden], swings))
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
