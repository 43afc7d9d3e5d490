"""AMD GPUs through amdsmi: an energy accumulator that carries its own time stamp.

Physics: J = change of `energy_accumulator` x `counter_resolution` (about 15.3 uJ) x 1e-6; because
each value comes with the moment at which it was true (ns), no edges need to be found. It is known
to stand still (MI100, MI210), to be of the wrong scale and to run backwards, and between ROCm 6.2
and 7 a structure changed without a version, so it is compared with the reported power when it is
opened, and every number must be possible. Importing the library may raise anything and print.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

from effmark.probes.contract import Instrument, Target, absent
from effmark.probes.hwmon import visible
from effmark.probes.readings import Found, Sensor, combined
from effmark.probes.traces import condensed
from effmark.record import EnergyReading, Missing, Trace

__all__ = ["AmdProbe"]

_ERR_SYS_REL = 0.05
_TRIAL_S = 0.5
_AGREES = (0.5, 2.0)
"""Counter power over reported power while opening: outside, the counter is not believed."""
_SPACING_S = 0.02
_MOST_W = 3000.0
"""No board draws more; a larger number is a wrong structure layout."""


@dataclass(frozen=True, slots=True)
class _Count:
    joules: float
    device_s: float
    host_s: float


class AmdProbe:
    """The GPUs that a ROCm cell runs on, by their accumulators."""

    name: ClassVar[str] = "amdsmi"
    measures: ClassVar[bool] = True

    def __init__(self) -> None:
        self._cards: list[_Card] = []
        self._window = (0.0, 0.0)

    def open(self, target: Target) -> tuple[Instrument, ...] | Missing:
        """Return the accumulators that agree with the reported power."""
        if target.kind not in ("rocm", "hip"):
            return absent("not_applicable", f"{target.device} is no AMD device")
        smi = _library()
        if isinstance(smi, Missing):
            return smi
        try:
            smi.amdsmi_init()
            handles = smi.amdsmi_get_processor_handles()
            numbers = visible(len(handles), target.indices)
            if isinstance(numbers, Missing):
                return numbers
            self._cards = [_Card(smi, handles[number]) for number in numbers]
            doubts = [doubt for card in self._cards if (doubt := card.doubt())]
        except Exception as error:  # noqa: BLE001 - amdsmi's own classes, KeyError, ctypes errors
            return absent("failed", f"amdsmi: {type(error).__name__}: {error}")
        if doubts:
            return absent("rejected", f"{doubts[0]}; power is sampled by hwmon instead")
        return tuple(
            Instrument(
                probe=self.name, device_id=card.sensor.device_id, source="hw_counter",
                scope="gpu_board", err_sys_rel=_ERR_SYS_REL,
            )
            for card in self._cards
        )  # fmt: skip

    def start(self) -> None:
        """Begin a window."""
        for card in self._cards:
            card.counts.clear()

    def poll(self) -> float:
        """Read all accumulators."""
        for card in self._cards:
            card.poll()
        return time.monotonic() + _SPACING_S

    def stop(self, start_s: float, end_s: float) -> Found:
        """Return the energy between the first and the last new value of the window."""
        self.poll()
        self._window = (start_s, end_s)
        return combined([card.reading(start_s, end_s) for card in self._cards])

    def traces(self) -> tuple[Trace, ...]:
        """Return the power of each card over time, from neighbouring values of its counter."""
        parts = (
            condensed("power_w", f"amdsmi {card.sensor.device_id}", card.powers(), *self._window,
                      2 * _SPACING_S)
            for card in self._cards
        )  # fmt: skip
        return tuple(trace for part in parts for trace in part)

    def close(self) -> None:
        """The library ends with the sampler."""


def _library() -> Any:
    """Return the module amdsmi, or why it cannot be used; it prints while it is imported."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return import_module("amdsmi")
    except ImportError:
        return absent("not_present", "not installed; pip install 'effmark[rocm]'")
    except Exception as error:  # noqa: BLE001 - KeyError without ROCm, AttributeError when older
        detail = f"amdsmi: {type(error).__name__}: {error}; the ROCm library is missing or older"
        return absent("not_present", detail)


class _Card:
    """One GPU's accumulator."""

    def __init__(self, smi: Any, handle: Any) -> None:
        self._smi, self._handle = smi, handle
        name = str(smi.amdsmi_get_gpu_device_uuid(handle))
        self.sensor = Sensor("amdsmi", name, "gpu_board", _ERR_SYS_REL)
        self.counts: list[_Count] = []
        self._backwards = False

    def poll(self) -> None:
        """Read once; values that have not been refreshed are left out."""
        found = self._smi.amdsmi_get_energy_count(self._handle)
        now = time.monotonic()
        raw = found.get("energy_accumulator", found.get("power"))
        count = _Count(raw * found["counter_resolution"] * 1e-6, found["timestamp"] * 1e-9, now)
        if self.counts and count.joules < self.counts[-1].joules:
            self._backwards = True
        if not self.counts or count.device_s > self.counts[-1].device_s:
            self.counts.append(count)

    def powers(self) -> list[tuple[float, float]]:
        """Return the mean power in W between neighbouring values, on the host's clock."""
        return [
            ((a.host_s + b.host_s) / 2, (b.joules - a.joules) / (b.device_s - a.device_s))
            for a, b in itertools.pairwise(self.counts)
        ]

    def _reported_w(self) -> float | None:
        found = self._smi.amdsmi_get_power_info(self._handle)
        for key in ("average_socket_power", "current_socket_power", "socket_power"):
            value = found.get(key)
            if isinstance(value, int | float) and 0 < value < _MOST_W:
                return float(value)
        return None

    def doubt(self) -> str:
        """Return why the accumulator is not to be believed, or nothing."""
        self.poll()
        deadline = time.monotonic() + _TRIAL_S
        while time.monotonic() < deadline:
            time.sleep(_SPACING_S)
            self.poll()
        name, reported = self.sensor.device_id, self._reported_w()
        if self._backwards:
            return f"counter of {name} runs backwards"
        first, last = self.counts[0], self.counts[-1]
        if last.joules <= first.joules or last.device_s <= first.device_s:
            return f"counter of {name} stands still"
        counted = (last.joules - first.joules) / (last.device_s - first.device_s)
        if reported is None:
            return f"power of {name} is not a possible number: the library's layout is another's"
        if not _AGREES[0] <= counted / reported <= _AGREES[1]:
            return f"counter of {name} says {counted:.4g} W, its power {reported:.4g} W"
        return ""

    def reading(self, start_s: float, end_s: float) -> Found:
        """Return the energy of the window; the device's clock gives its length."""
        name = f"amdsmi: counter of {self.sensor.device_id}"
        if self._backwards:
            self._backwards = False
            return (absent("rejected", f"{name}: went backwards; the driver was reset"),)
        inside = [c for c in self.counts if start_s <= c.host_s <= end_s]
        if len(inside) < 2:
            return (absent("too_few_samples", f"{name}: {len(inside)} values, two are needed"),)
        first, last = inside[0], inside[-1]
        length = last.device_s - first.device_s
        joules = last.joules - first.joules
        if joules <= 0 or joules / length > _MOST_W:
            return (absent("rejected", f"{name}: says {joules / length:.4g} W"),)
        # The host read the value a little after it was true: by how much varies, that is the error.
        lag = abs((last.host_s - first.host_s) - length)
        reading = EnergyReading(
            joules=joules, source="hw_counter", scope="gpu_board", probe="amdsmi",
            device_id=self.sensor.device_id, start_s=first.host_s, end_s=first.host_s + length,
            updates_count=len(inside) - 1, err_window_rel=(lag + _SPACING_S / 10) / length,
            update_period_s=length / (len(inside) - 1), err_sys_rel=_ERR_SYS_REL,
        )  # fmt: skip
        return (reading,)
