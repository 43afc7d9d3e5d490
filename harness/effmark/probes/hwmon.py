"""AMD GPUs by the kernel's hwmon files: power in uW, and energy in uJ where the driver has it.

Physics: the amdgpu driver refreshes its power average every 1 ms (data centre) to 100 ms (desktop)
boards. Needs no library. Used where `amdsmi` has no counter that can be trusted.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import ClassVar

from effmark.probes.contract import Instrument, Target, absent, sysfs_root
from effmark.probes.power_trace import PowerTrace
from effmark.probes.readings import Found, Sensor, combined, power_readings
from effmark.probes.traces import condensed
from effmark.record import Missing, Trace

__all__ = ["HwmonProbe", "amd_cards", "visible"]

_AMD = "0x1002"
_SPACING_S = 0.02
_ERR_SYS_REL = 0.05


def amd_cards(root: Path) -> list[Path]:
    """Return the device folders of AMD GPUs in bus order."""
    found = []
    for vendor in root.glob("class/drm/card[0-9]*/device/vendor"):
        if vendor.parents[1].name[4:].isdigit() and vendor.read_text().strip() == _AMD:
            found.append(vendor.parent)
    return sorted(found, key=lambda folder: str(folder.resolve()))


def visible(count: int, indices: tuple[int, ...]) -> tuple[int, ...] | Missing:
    """Return the physical numbers of ROCm device numbers, by the variables that hide devices."""
    numbers = list(range(count))
    for name in ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        given = os.environ.get(name)
        if given is None:
            continue
        entries = [entry.strip() for entry in given.split(",") if entry.strip()]
        if not all(entry.isdigit() and int(entry) < len(numbers) for entry in entries):
            return absent("undefined", f"{name}={given}: cannot be mapped; name devices by number")
        numbers = [numbers[int(entry)] for entry in entries]
    beyond = [i for i in indices if i >= len(numbers)]
    if beyond:
        return absent("not_present", f"device {beyond[0]} is not among {len(numbers)} AMD GPUs")
    return tuple(numbers[i] for i in indices)


class _Card:
    """One GPU whose power can be read."""

    def __init__(self, device: Path) -> None:
        names = ("power1_average", "power1_input")
        files = [f for name in names for f in device.glob(f"hwmon/hwmon*/{name}")]
        if not files:
            raise FileNotFoundError(f"{device}/hwmon has neither power1_average nor power1_input")
        self._file = files[0]
        cap = self._file.parent / "power1_cap"
        limit_w = int(cap.read_text()) * 1e-6 if cap.is_file() else None
        unique = device / "unique_id"
        name = unique.read_text().strip() if unique.is_file() else device.resolve().name
        self.sensor = Sensor("hwmon", name, "gpu_board", _ERR_SYS_REL, limit_w=limit_w)
        self.power = PowerTrace()
        self.poll()

    def poll(self) -> None:
        """Read the power once."""
        self.power.add(time.monotonic(), int(self._file.read_text()) * 1e-6)


class HwmonProbe:
    """AMD GPUs by integrating power."""

    name: ClassVar[str] = "hwmon"
    measures: ClassVar[bool] = True

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or sysfs_root()
        self._cards: list[_Card] = []
        self._window = (0.0, 0.0)

    def open(self, target: Target) -> tuple[Instrument, ...] | Missing:
        """Return the AMD GPUs of the target."""
        if target.kind not in ("rocm", "hip"):
            return absent("not_applicable", f"{target.device} is no AMD device")
        cards = amd_cards(self._root)
        if not cards:
            return absent("not_present", f"no AMD GPU in {self._root}/class/drm")
        numbers = visible(len(cards), target.indices)
        if isinstance(numbers, Missing):
            return numbers
        try:
            self._cards = [_Card(cards[number]) for number in numbers]
        except PermissionError as error:
            return absent("not_permitted", f"{error.filename}: may not be read")
        except (OSError, ValueError) as error:
            return absent("not_supported", f"{error}")
        return tuple(
            Instrument(
                probe=self.name, device_id=card.sensor.device_id, source="hw_power_integrated",
                scope="gpu_board", err_sys_rel=_ERR_SYS_REL,
            )
            for card in self._cards
        )  # fmt: skip

    def start(self) -> None:
        """Begin a window."""
        for card in self._cards:
            card.power.clear()

    def poll(self) -> float:
        """Read the power of all GPUs."""
        for card in self._cards:
            card.poll()
        return time.monotonic() + _SPACING_S

    def stop(self, start_s: float, end_s: float) -> Found:
        """Return the energy of the GPUs together."""
        self.poll()
        self._window = (start_s, end_s)
        return combined(
            [power_readings(card.sensor, card.power, start_s, end_s) for card in self._cards]
        )

    def traces(self) -> tuple[Trace, ...]:
        """Return the power of each card over time."""
        parts = (
            condensed("power_w", f"hwmon {card.sensor.device_id}", card.power.samples,
                      *self._window, _SPACING_S)
            for card in self._cards
        )  # fmt: skip
        return tuple(trace for part in parts for trace in part)

    def close(self) -> None:
        """Nothing is held open."""
