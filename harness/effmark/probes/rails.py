"""Jetson power rails: INA3221 monitors on the module, by sysfs.

Physics: the chip measures voltage (mV) and current (mA) of three rails; their product is uW. There
is no energy counter, so power is integrated. `VDD_IN` is what the module draws; the other rails
are parts of it and never added. NVML opens on a Jetson but knows no energy.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from effmark.probes.contract import Instrument, Target, absent, sysfs_root
from effmark.probes.power_trace import PowerTrace
from effmark.probes.readings import Found, Sensor, power_readings
from effmark.probes.traces import condensed
from effmark.record import Missing, Trace

__all__ = ["RailsProbe"]

_ERR_SYS_REL = 0.05
_SPACING_S = 0.02
_W = 1e-6
"""mV times mA is uW."""


class _Rail:
    """One rail of one monitor."""

    def __init__(self, label: Path) -> None:
        number = label.name.removeprefix("in").removesuffix("_label")
        self._volts = label.parent / f"in{number}_input"
        self._amperes = label.parent / f"curr{number}_input"
        name = label.read_text().strip()
        self.sensor = Sensor("rails", name, f"rail:{name}", _ERR_SYS_REL)
        self.power = PowerTrace()
        self.poll()

    def poll(self) -> None:
        """Read voltage and current."""
        watts = int(self._volts.read_text()) * int(self._amperes.read_text()) * _W
        self.power.add(time.monotonic(), watts)


class RailsProbe:
    """All INA3221 rails of a Jetson."""

    name: ClassVar[str] = "rails"
    measures: ClassVar[bool] = True

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or sysfs_root()
        self._rails: list[_Rail] = []
        self._window = (0.0, 0.0)

    def open(self, target: Target) -> tuple[Instrument, ...] | Missing:
        """Return the rails that can be read."""
        pattern = "bus/i2c/drivers/ina3221*/*/hwmon/hwmon*/in[0-9]_label"
        labels = sorted(self._root.glob(pattern))
        if not labels:
            if not any(self._root.glob("bus/i2c/drivers/ina3221*")):
                return absent("not_applicable", f"no INA3221 in {self._root}; only a Jetson has it")
            return absent("not_present", f"no {self._root}/{pattern}; load its hwmon driver")
        for label in labels:
            try:
                self._rails.append(_Rail(label))
            except PermissionError as error:
                return absent("not_permitted", f"{error.filename}: may not be read; run as root")
            except (OSError, ValueError):
                continue  # a rail without a current sensor
        if not self._rails:
            return absent("not_supported", "no rail has both voltage and current")
        return tuple(
            Instrument(
                probe=self.name, device_id=rail.sensor.device_id, source="hw_power_integrated",
                scope=rail.sensor.scope, err_sys_rel=_ERR_SYS_REL,
            )
            for rail in self._rails
        )  # fmt: skip

    def start(self) -> None:
        """Begin a window."""
        for rail in self._rails:
            rail.power.clear()

    def poll(self) -> float:
        """Read all rails."""
        for rail in self._rails:
            rail.poll()
        return time.monotonic() + _SPACING_S

    def stop(self, start_s: float, end_s: float) -> Found:
        """Return the energy of each rail; they are never added."""
        self.poll()
        self._window = (start_s, end_s)
        parts = [power_readings(r.sensor, r.power, start_s, end_s) for r in self._rails]
        return tuple(found for part in parts for found in part)

    def traces(self) -> tuple[Trace, ...]:
        """Return the power of each rail over time."""
        parts = (
            condensed("power_w", f"rails {rail.sensor.device_id}", rail.power.samples,
                      *self._window, _SPACING_S)
            for rail in self._rails
        )  # fmt: skip
        return tuple(trace for part in parts for trace in part)

    def close(self) -> None:
        """Nothing is held open."""
