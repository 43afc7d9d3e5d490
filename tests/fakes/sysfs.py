"""Trees as the kernel would show them below /sys, in a folder; and a process that moves a counter.

`python sysfs.py ROOT WATTS PERIOD_S [RANGE_UJ [RAMP]]` rewrites the package counter of ROOT until
killed, each time by a rename, with the energy that a constant power has drawn since the machine's
start; with a ramp the power grows by so many watts per second from the process's start on.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

RANGE_UJ = 262143328850


def write(path: Path, text: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")
    return path


def rapl(root: Path, energies_uj: dict[str, int], range_uj: int = RANGE_UJ) -> Path:
    """A powercap tree: `{"package-0": uj, "package-0/dram": uj, "psys": uj}`."""
    powercap = root / "class/powercap"
    sockets = [name for name in energies_uj if "/" not in name]
    for number, name in enumerate(sockets):
        zone(powercap / f"intel-rapl:{number}", name, energies_uj[name], range_uj)
        parts = [part for part in energies_uj if part.startswith(f"{name}/")]
        for inner, part in enumerate(parts):
            folder = powercap / f"intel-rapl:{number}:{inner}"
            zone(folder, part.partition("/")[2], energies_uj[part], range_uj)
    return powercap


def zone(folder: Path, name: str, uj: int, range_uj: int) -> None:
    write(folder / "name", name)
    write(folder / "max_energy_range_uj", range_uj)
    write(folder / "energy_uj", uj)


def set_energy(file: Path, uj: int) -> None:
    """Change a counter at once, as the kernel does."""
    partial = file.with_name("partial")
    partial.write_text(f"{uj}\n")
    partial.rename(file)


def jetson(root: Path, rails: dict[str, tuple[int, int]]) -> None:
    """INA3221 rails: `{"VDD_IN": (mV, mA)}`."""
    folder = root / "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
    for number, (label, (volts, amperes)) in enumerate(rails.items(), start=1):
        write(folder / f"in{number}_label", label)
        write(folder / f"in{number}_input", volts)
        write(folder / f"curr{number}_input", amperes)


def amd_gpu(root: Path, card: int, watts: float, cap_w: float = 500) -> Path:
    """An AMD GPU whose power can be read by hwmon."""
    device = root / f"class/drm/card{card}/device"
    write(device / "vendor", "0x1002")
    write(device / "unique_id", f"gpu{card}")
    write(device / "hwmon/hwmon3/power1_cap", int(cap_w * 1e6))
    return write(device / "hwmon/hwmon3/power1_average", int(watts * 1e6))


def cpu(root: Path, governor: str, *, no_turbo: bool, khz: int) -> None:
    """Frequency files of the first core."""
    folder = root / "devices/system/cpu"
    write(folder / "cpu0/cpufreq/scaling_governor", governor)
    write(folder / "cpu0/cpufreq/scaling_cur_freq", khz)
    write(folder / "intel_pstate/no_turbo", int(no_turbo))
    write(folder / "smt/active", 1)


def move(
    root: Path, watts: float, period_s: float, range_uj: int = RANGE_UJ, ramp: float = 0.0
) -> None:
    """Move the package counter until killed; hardware is not kept waiting, where we may say so."""
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    file = root / "class/powercap/intel-rapl:0/energy_uj"
    due = began = time.monotonic()
    while True:
        now = time.monotonic()
        set_energy(file, int((now * watts + ramp * (now - began) ** 2 / 2) * 1e6) % range_uj)
        due = max(due + period_s, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    _, folder, watts, period_s, *rest = sys.argv
    defaults = (str(RANGE_UJ), "0")
    range_uj, ramp = (*rest, *defaults[len(rest) :])
    move(Path(folder), float(watts), float(period_s), int(range_uj), float(ramp))
