"""Apple chips: the system's own energy model, through `zeus-apple-silicon`; needs no root.

Physics: macOS keeps counters of millijoules per part of the chip (IOReport, "Energy Model"). They
are computed from use, frequency and voltage rather than sensed, and Apple's own tool says of them
that they may be inaccurate; by how much is not known, so no sensor error is given. The parts do
not overlap: CPU, GPU, neural engine and memory are four scopes, and the display, the regulators
and the power supply are in none of them.
"""

from __future__ import annotations

import platform
import time
from importlib import import_module
from typing import Any, ClassVar

from effmark.probes.contract import Instrument, Target, absent
from effmark.probes.readings import Found
from effmark.probes.traces import condensed
from effmark.record import EnergyReading, Missing, Trace

__all__ = ["AppleProbe"]

_PARTS = {
    "cpu_total_mj": "rail:CPU",
    "gpu_mj": "rail:GPU",
    "ane_mj": "rail:ANE",
    "dram_mj": "dram",
}
_J = 1e-3
_RESOLUTION_J = 1e-3
_SPACING_S = 0.1
_REASON = "computed by macOS from use, frequency and voltage, not sensed; its error is not known"


class AppleProbe:
    """The parts of an Apple chip."""

    name: ClassVar[str] = "apple"
    measures: ClassVar[bool] = True

    def __init__(self, system: str | None = None) -> None:
        self._system = system or platform.system()
        self._monitor: Any = None
        self._reads: list[tuple[float, dict[str, float]]] = []
        self._window = (0.0, 0.0)

    def open(self, target: Target) -> tuple[Instrument, ...] | Missing:
        """Return the parts that this chip tells."""
        if self._system != "Darwin":
            return absent("not_applicable", "this is no Mac")
        try:
            self._monitor = import_module("zeus_apple_silicon").AppleEnergyMonitor()
        except ImportError:
            return absent("not_present", "not installed; pip install 'effmark[apple]'")
        except Exception as error:  # noqa: BLE001 - a compiled library on a chip that it cannot know
            return absent("failed", f"zeus-apple-silicon: {type(error).__name__}: {error}")
        parts = self._read()
        if not parts:
            return absent("not_supported", "this chip tells no energy of its parts")
        return tuple(
            Instrument(
                probe=self.name, device_id="soc", source="hw_counter", scope=scope,
                resolution_j=_RESOLUTION_J, detail=_REASON,
            )
            for scope in parts
        )  # fmt: skip

    def _read(self) -> dict[str, float]:
        """Return the joules of each part since some moment that stays the same."""
        found = self._monitor.get_cumulative_energy()
        values = {scope: getattr(found, field, None) for field, scope in _PARTS.items()}
        return {scope: value * _J for scope, value in values.items() if value is not None}

    def start(self) -> None:
        """Begin a window."""
        self._reads = []

    def poll(self) -> float:
        """Read all parts."""
        before = time.monotonic()
        parts = self._read()
        now = time.monotonic()
        self._reads.append(((before + now) / 2, parts))
        return now + _SPACING_S

    def stop(self, start_s: float, end_s: float) -> Found:
        """Return the energy of each part between the first and the last read."""
        self.poll()
        self._window = (start_s, end_s)
        (begin, first), (end, last) = self._reads[0], self._reads[-1]
        return tuple(
            self._reading(scope, last[scope] - joules, begin, end)
            for scope, joules in first.items()
            if scope in last
        )

    def _reading(
        self, scope: str, joules: float, begin: float, end: float
    ) -> EnergyReading | Missing:
        if joules < 0 or end <= begin:
            return absent("rejected", f"apple: {scope} went backwards")
        if joules == 0 and scope == "rail:CPU":
            return absent("rejected", f"apple: {scope} stood still for {end - begin:.2g} s")
        moved = len({parts[scope] for _, parts in self._reads if scope in parts}) - 1
        period_s = (end - begin) / moved if moved else None
        bound = _RESOLUTION_J / joules if joules else 0.0
        return EnergyReading(
            joules=joules, source="hw_counter", scope=scope, probe=self.name, device_id="soc",
            start_s=begin, end_s=end, updates_count=moved, update_period_s=period_s,
            max_gap_s=_SPACING_S, err_window_rel=bound + 2 * (period_s or 0.0) / (end - begin),
            reasons=(_REASON,),
        )  # fmt: skip

    def traces(self) -> tuple[Trace, ...]:
        """Return the power of each part over time."""
        found: tuple[Trace, ...] = ()
        for scope in self._reads[0][1] if self._reads else ():
            pairs = zip(self._reads, self._reads[1:], strict=False)
            powers = [
                ((a + b) / 2, (q[scope] - p[scope]) / (b - a))
                for (a, p), (b, q) in pairs
                if scope in p and scope in q and b > a
            ]
            found += condensed("power_w", f"apple {scope}", powers, *self._window, 2 * _SPACING_S)
        return found

    def close(self) -> None:
        """Nothing to give back."""
