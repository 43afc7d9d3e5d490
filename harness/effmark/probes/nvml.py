"""NVIDIA GPUs through NVML (`nvidia-ml-py`): energy counter, instantaneous power, device state.

Physics: the counter (mJ since the driver was loaded, Volta and later) is refreshed every 10 to
100 ms; on some boards the sensor looks only a quarter of the time and its gain is off by up to 5 %
(arXiv 2312.02741). `nvmlDeviceGetPowerUsage` is an average over one second on most boards and no
use for short windows: power is read by the field POWER_INSTANT, whose own return code counts.
Counter and power belong to a physical GPU: a MIG slice cannot be told from its neighbours.
"""

from __future__ import annotations

import ctypes
import os
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

from effmark.probes.contract import Instrument, Seen, Target, absent
from effmark.probes.edges import CounterFollower
from effmark.probes.nvml_devices import choose
from effmark.probes.power_trace import PowerTrace
from effmark.probes.readings import Found, Sensor, combined, counter_readings, power_readings
from effmark.record import Missing, Reason

__all__ = ["NvmlProbe"]

_ERR_SYS_REL = 0.05
_RESOLUTION_J = 1e-3
_POWER_INSTANT = 186
_POWER_SPACING_S = 0.05
_STATE_SPACING_S = 0.5
_THROTTLE_FIELDS = {74: "power cap", 269: "software thermal", 270: "heat", 271: "power brake"}
_THROTTLE_S = 1e-9
_CLOCK_SM = 1
_REASONS: dict[int, Reason] = {
    3: "not_supported",  # NOT_SUPPORTED
    4: "not_permitted",  # NO_PERMISSION
    9: "not_present",  # DRIVER_NOT_LOADED
    12: "not_present",  # LIBRARY_NOT_FOUND
    13: "not_supported",  # FUNCTION_NOT_FOUND: the driver is older than the call
}


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
            return absent(_REASONS.get(error.value, "failed"), f"NVML: {error}")
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
        return combined([device.stop(start_s, end_s) for device in self._devices])

    def seen(self) -> Seen:
        """Return the state of the worst device."""
        states = [device.seen() for device in self._devices]
        merged: dict[str, Any] = {}
        for seen in states:
            for key, value in seen.state.items():
                worse = min if key == "clock_min_ratio" else max
                merged[key] = worse(merged[key], value) if key in merged else value
        return Seen(state=merged, unknown={k: v for s in states for k, v in s.unknown.items()})

    def close(self) -> None:
        """Leave NVML loaded: it ends with the sampler."""


class _Device:
    """One GPU with its counter, its power and its state."""

    def __init__(self, nvml: Any, handle: Any, pids: tuple[int, ...]) -> None:
        self._nvml, self._handle, self._pids = nvml, handle, pids
        self.uuid = str(nvml.nvmlDeviceGetUUID(handle))
        limit = self._try(nvml.nvmlDeviceGetEnforcedPowerLimit)
        self._limit_w = limit / 1000 if limit else None
        self._sensor = Sensor("nvml", self.uuid, "gpu_board", _ERR_SYS_REL, _RESOLUTION_J,
                              self._limit_w)  # fmt: skip
        self._mig = self._try(lambda h: nvml.nvmlDeviceGetMigMode(h)[0]) == 1
        self._power = PowerTrace()
        self._has_power = self._watts() is not None
        self._has_counter = self._try(nvml.nvmlDeviceGetTotalEnergyConsumption) is not None
        self._follower = CounterFollower(self._joules)
        self._default_clock = self._try(
            lambda h: nvml.nvmlDeviceGetDefaultApplicationsClock(h, _CLOCK_SM)
        )
        self._clear()

    def _clear(self) -> None:
        self._clocks: list[float] = []
        self._temperatures: list[float] = []
        self._foreign: set[int] = set()
        self._foreign_known = True
        self._next_power_s = self._next_state_s = 0.0
        self._throttle_before: dict[int, float] = {}
        self._throttled: dict[int, float] = {}

    @property
    def absent(self) -> Missing | None:
        """Return why this device gives no energy, if so."""
        if self._mig:
            detail = f"{self.uuid} is in MIG mode: counter and power are of the whole board; "
            return absent("rejected", detail + "nvidia-smi -mig 0 where you are its only tenant")
        if not (self._has_counter or self._has_power):
            return absent("not_supported", f"{self.uuid} has neither energy counter nor power")
        return None

    @property
    def instrument(self) -> Instrument:
        """Return what can be seen."""
        return Instrument(
            probe="nvml",
            device_id=self.uuid,
            source="hw_counter" if self._has_counter else "hw_power_integrated",
            scope="gpu_board",
            resolution_j=_RESOLUTION_J if self._has_counter else None,
            err_sys_rel=_ERR_SYS_REL,
            detail=str(self._try(self._nvml.nvmlDeviceGetName) or ""),
        )

    def _try(self, call: Any) -> Any:
        """Return what a call on the device says, None where it is not supported."""
        try:
            return call(self._handle)
        except self._nvml.NVMLError as error:
            if error.value in _REASONS:
                return None
            raise

    def _joules(self) -> float:
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000

    def _fields(self, ids: list[int]) -> dict[int, Any]:
        """Return the fields whose own return code says that they are good."""
        values = self._try(lambda h: self._nvml.nvmlDeviceGetFieldValues(h, ids))
        return {v.fieldId: v.value for v in values or () if v.nvmlReturn == 0}

    def _watts(self) -> float | None:
        found = self._fields([_POWER_INSTANT]).get(_POWER_INSTANT)
        return None if found is None else found.uiVal / 1000

    def start(self) -> None:
        """Begin a window."""
        self._follower.start()
        self._power.clear()
        self._clear()
        self._throttle_before = self._throttle()

    def _throttle(self) -> dict[int, float]:
        fields = self._fields(list(_THROTTLE_FIELDS))
        return {i: value.ullVal * _THROTTLE_S for i, value in fields.items()}

    def poll(self) -> float:
        """Read counter, power and state where they are due."""
        now = time.monotonic()
        due = now + _POWER_SPACING_S
        if self._has_counter:
            due = min(due, self._follower.poll())
        if self._has_power and now >= self._next_power_s:
            self._next_power_s = now + _POWER_SPACING_S * 0.9
            watts = self._watts()
            if watts is not None:
                self._power.add(time.monotonic(), watts)
        if now >= self._next_state_s:
            self._next_state_s = now + _STATE_SPACING_S
            self._look()
        return due

    def _look(self) -> None:
        nvml = self._nvml
        clock = self._try(lambda h: nvml.nvmlDeviceGetClockInfo(h, _CLOCK_SM))
        if clock is not None:
            self._clocks.append(float(clock))
        temperature = self._try(lambda h: nvml.nvmlDeviceGetTemperatureV(h, 0))
        if temperature is not None:
            self._temperatures.append(float(temperature))
        processes = self._try(nvml.nvmlDeviceGetComputeRunningProcesses)
        pids = {p.pid for p in processes or ()}
        if pids and not pids & set(self._pids):
            # Inside a container NVML speaks the host's numbers: one of them may be ours.
            self._foreign_known = self._foreign_known and not os.path.exists("/.dockerenv")  # noqa: PTH110
        self._foreign |= pids - set(self._pids)

    def stop(self, start_s: float, end_s: float) -> Found:
        """Return the energy: by the counter, else by integrating power."""
        self._look()
        after = self._throttle()
        self._throttled = {i: after[i] - b for i, b in self._throttle_before.items() if i in after}
        power = self._power if self._has_power else None
        by_counter: Found = ()
        if self._has_counter:
            by_counter = counter_readings(self._sensor, self._follower, power, start_s, end_s)
            if not any(isinstance(found, Missing) for found in by_counter):
                return tuple(found.model_copy(update={"reasons": self._doubts()})
                             for found in by_counter if not isinstance(found, Missing))  # fmt: skip
        if power is None:
            return by_counter
        by_power = power_readings(self._sensor, power, start_s, end_s)
        return (*by_counter, *by_power)

    def _doubts(self) -> tuple[str, ...]:
        throttled = sum(self._throttled.values())
        return (f"throttled for {throttled:.3g} s",) if throttled > 0 else ()

    def seen(self) -> Seen:
        """Return clocks, heat, throttling and neighbours of the window."""
        state: dict[str, str | int | float | bool] = {"mig": self._mig}
        unknown: dict[str, str] = {}
        if self._throttled:
            state["throttle_s"] = sum(self._throttled.values())
        else:
            unknown["throttle_s"] = "NVML has no throttle counters on this device"
        if self._clocks:
            state["clock_change_ratio"] = 1 - min(self._clocks) / max(self._clocks)
            if self._default_clock:
                state["clock_min_ratio"] = min(self._clocks) / self._default_clock
        if self._temperatures:
            state["temperature_c"] = max(self._temperatures)
        if self._limit_w is not None:
            state["power_limit_w"] = self._limit_w
        if self._foreign_known:
            state["foreign_pids_count"] = len(self._foreign)
        else:
            unknown["foreign_pids_count"] = "process numbers of a container are not the host's"
        return Seen(state=state, unknown=unknown)
