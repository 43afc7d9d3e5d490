"""NVIDIA GPUs through NVML (`nvidia-ml-py`): energy counter, instantaneous power, device state.

Physics: the counter (mJ since the driver was loaded, Volta and later) is refreshed every 10 to
100 ms; on some boards the sensor looks only a quarter of the time and its gain is off by up to 5 %
(arXiv 2312.02741). `nvmlDeviceGetPowerUsage` is an average over one second on most boards and no
use for short windows: power is read by the field POWER_INSTANT, whose own return code counts.
Counter and power belong to a physical GPU: a MIG slice cannot be told from its neighbours.
"""

from __future__ import annotations

import ctypes
import math
import os
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

from effmark.probes.contract import Instrument, Seen, Target, absent
from effmark.probes.edges import CounterFollower
from effmark.probes.nvml_devices import choose
from effmark.probes.nvml_state import NVML_REASONS, DeviceState, supported
from effmark.probes.power_trace import PowerTrace
from effmark.probes.readings import (
    Found,
    Sensor,
    combined,
    counter_readings,
    drained,
    power_readings,
)
from effmark.probes.traces import condensed
from effmark.record import EnergyReading, Missing, Trace

__all__ = ["NvmlProbe"]

_ERR_SYS_REL = 0.05
_RESOLUTION_J = 1e-3
_POWER_INSTANT = 186
_POWER_SPACING_S = 0.05
_RELAXED_SPACING_S = 0.1
_RELAXED_AFTER_S = 2.0
"""Beside a counter, power only checks it: in long windows fewer samples do."""
_PATIENCE_S = 0.1


class NvmlProbe:
    """The GPUs that a CUDA cell runs on."""

    name: ClassVar[str] = "nvml"
    measures: ClassVar[bool] = True

    def __init__(self, library: Path | None = None) -> None:
        self._library = library
        self._devices: list[_Device] = []

    def open(self, target: Target) -> tuple[Instrument, ...] | Missing:
        """Return the devices of the target, found by UUID."""
        if target.kind not in ("cuda", "gpu"):
            return absent("not_applicable", f"{target.device} is no NVIDIA device")
        try:
            version("nvidia-ml-py")
            nvml = import_module("pynvml")
        except (PackageNotFoundError, ImportError):
            return absent("not_present", "not installed; pip install 'effmark[nvidia]'")
        if self._library is not None:
            ctypes.CDLL(str(self._library))  # the same soname then serves nvmlInit
        try:
            nvml.nvmlInit()
            handles = choose(nvml, target, dict(os.environ))
            if isinstance(handles, Missing):
                return handles
            self._devices = [_Device(nvml, handle, target.pids) for handle in handles]
        except nvml.NVMLError as error:
            return absent(NVML_REASONS.get(error.value, "failed"), f"NVML: {error}")
        blind = [d for d in self._devices if d.absent is not None]
        if blind:
            return blind[0].absent or absent("not_supported", "NVML")
        return tuple(device.instrument for device in self._devices)

    def start(self) -> None:
        """Begin a window on all devices."""
        for device in self._devices:
            device.start()

    def poll(self) -> float:
        """Read what is due."""
        return min(device.poll() for device in self._devices)

    def stop(self, start_s: float, end_s: float) -> Found:
        """Return the energy of the devices together."""
        found = [device.stop(start_s, end_s) for device in self._devices]
        return combined(found, [device.swing_w for device in self._devices])

    def ready(self) -> bool:
        """Return whether every counter has shown the idle power."""
        return all(device.ready for device in self._devices)

    def drain(self, start_s: float, end_s: float) -> Found:
        """Return the energy of a load that ran once."""
        found = [device.drain(start_s, end_s) for device in self._devices]
        return combined(found, [device.swing_w for device in self._devices])

    def seen(self) -> Seen:
        """Return the state of the devices: of each number the worst, of memory the sum."""
        states = [device.state.seen() for device in self._devices]
        merged: dict[str, Any] = {}
        for seen in states:
            for key, value in seen.state.items():
                if key not in merged:
                    merged[key] = value
                elif key.startswith("device_"):
                    merged[key] += value
                else:
                    worse = min if key in _WORST_IS_LEAST else max
                    merged[key] = worse(merged[key], value)
        return Seen(state=merged, unknown={k: v for s in states for k, v in s.unknown.items()})

    def traces(self) -> tuple[Trace, ...]:
        """Return power, clocks, heat and memory of each device over time."""
        return tuple(trace for device in self._devices for trace in device.traces())

    def close(self) -> None:
        """Leave NVML loaded: it ends with the sampler."""


_WORST_IS_LEAST = (
    "clock_min_ratio",
    "gpu_clock_median_hz",
    "gpu_memory_clock_hz",
    "gpu_busy_ratio",
)


class _Device:
    """One GPU with its counter, its power and its state."""

    def __init__(self, nvml: Any, handle: Any, pids: tuple[int, ...]) -> None:
        self._nvml, self._handle = nvml, handle
        self.state = DeviceState(nvml, handle, pids)
        self._sensor = Sensor("nvml", self.state.uuid, "gpu_board", _ERR_SYS_REL, _RESOLUTION_J,
                              self.state.limit_w)  # fmt: skip
        self._power = PowerTrace()
        self._has_power = self._watts() is not None
        counter = supported(nvml, nvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        self._has_counter = counter is not None
        self._follower = CounterFollower(self._joules)
        self._next_power_s = self._start_s = 0.0
        self._window = (0.0, 0.0)

    @property
    def absent(self) -> Missing | None:
        """Return why this device gives no energy, if so."""
        uuid = self.state.uuid
        if self.state.mig and (tenants := self._mig_instances()) != 1:
            detail = f"{uuid} is in MIG mode with {tenants} instances: counter and power are of the"
            detail += " whole board; nvidia-smi -mig 0, or leave one instance, where you may"
            return absent("rejected", detail)
        if not (self._has_counter or self._has_power):
            return absent("not_supported", f"{uuid} has neither energy counter nor power")
        return None

    def _mig_instances(self) -> int:
        """Return how many slices of the board exist, used or not."""
        nvml, handle = self._nvml, self._handle
        most = supported(nvml, nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0
        slices = (
            supported(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, i)
            for i in range(most)
        )
        return sum(found is not None for found in slices)

    @property
    def instrument(self) -> Instrument:
        """Return what can be seen."""
        name = supported(self._nvml, self._nvml.nvmlDeviceGetName, self._handle)
        return Instrument(
            probe="nvml",
            device_id=self.state.uuid,
            source="hw_counter" if self._has_counter else "hw_power_integrated",
            scope="gpu_board",
            resolution_j=_RESOLUTION_J if self._has_counter else None,
            err_sys_rel=_ERR_SYS_REL,
            detail=str(name or ""),
        )

    def _joules(self) -> float:
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000

    def _watts(self) -> float | None:
        """Return the power now, where the field's own return code says that it is good."""
        fields = self._nvml.nvmlDeviceGetFieldValues
        values = supported(self._nvml, fields, self._handle, [_POWER_INSTANT])
        good = [v.value.uiVal / 1000 for v in values or () if v.nvmlReturn == 0]
        return good[0] if good else None

    def start(self) -> None:
        """Begin a window."""
        self._power.clear()
        self._follower.start()
        self.state.start()
        self._next_power_s, self._start_s = 0.0, time.monotonic()

    def poll(self) -> float:
        """Read what is due; return when to come again."""
        now = time.monotonic()
        relaxed = self._has_counter and now - self._start_s > _RELAXED_AFTER_S
        due = self._follower.poll() if self._has_counter else math.inf
        if now >= self._next_power_s:
            self._next_power_s = now + (_RELAXED_SPACING_S if relaxed else _POWER_SPACING_S)
            watts = self._watts() if self._has_power else None
            if watts is not None:
                self._power.add(time.monotonic(), watts)
            self.state.look()
        # Where the counter wakes us anyway, power and state do not ask for a wake-up of their own.
        return min(due, self._next_power_s + (_PATIENCE_S if relaxed else 0.0))

    @property
    def ready(self) -> bool:
        """Return whether the idle power was seen, which only a counter needs."""
        return self._follower.knows_idle or not self._has_counter

    def drain(self, start_s: float, end_s: float) -> Found:
        """Return the energy of a load that ran once, by the counter alone."""
        if not self._has_counter:
            return self.stop(start_s, end_s)
        self._follower.read_on(end_s)
        self.state.stop()
        self._window = (start_s, end_s)
        return self._shared() or self._doubted(
            drained(self._sensor, self._follower, start_s, end_s)
        )

    def _shared(self) -> Found:
        """Return why there is no energy where others used the device, too."""
        if not self.state.foreign:
            return ()
        others = ", ".join(str(pid) for pid in sorted(self.state.foreign))
        detail = f"nvml: {self.state.uuid} was shared with process {others} in the window"
        return (absent("rejected", f"{detail}; run when the device is free"),)

    def stop(self, start_s: float, end_s: float) -> Found:
        """Return the energy: by the counter, else by integrating power."""
        self.state.stop()
        self._window = (start_s, end_s)
        if shared := self._shared():
            return shared
        power = self._power if self._has_power else None
        by_counter: Found = ()
        if self._has_counter:
            by_counter = counter_readings(self._sensor, self._follower, power, start_s, end_s)
            if not any(isinstance(found, Missing) for found in by_counter):
                return self._doubted(by_counter)
        if power is None:
            return by_counter
        by_power = power_readings(self._sensor, power, start_s, end_s)
        return (*by_counter, *self._doubted(by_power))

    @property
    def swing_w(self) -> float | None:
        """Return by how much the power was off its mean at most, in W; None where unknown."""
        return self._follower.swing_w() if self._has_counter else None

    def _doubted(self, found: Found) -> Found:
        """Return readings that say what disturbed them."""
        doubts = self.state.doubts
        return tuple(
            f.model_copy(update={"reasons": (*f.reasons, *doubts)})
            if isinstance(f, EnergyReading)
            else f
            for f in found
        )

    def traces(self) -> tuple[Trace, ...]:
        """Return power and state over time."""
        source = f"nvml {self.state.uuid}"
        samples = self._power.samples if self._has_power else self._follower.powers()
        power = condensed("power_w", source, samples, *self._window, _RELAXED_SPACING_S)
        return (*power, *self.state.traces(*self._window))
