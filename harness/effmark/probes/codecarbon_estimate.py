"""codecarbon's estimate, on our windows: the last resort, labelled as what it is.

Without a sensor codecarbon multiplies a table's TDP by the load of the *whole machine* (mode
`cpu_load`: TDP (0.1 + 0.9 load^3)) and adds a fixed power per guessed memory module. It cannot tell
one process from another and knows no uncertainty; 40 % is what studies found (arXiv 2509.22092).
It runs only where no sensor was found. Nothing is printed or written, and no network is asked.
"""

from __future__ import annotations

import math
import os
import time
from importlib import import_module
from typing import Any, ClassVar

from effmark.probes.contract import Instrument, Target, absent
from effmark.record import EnergyReading, Missing

__all__ = ["CodecarbonEstimate"]

_ERR_SYS_REL = 0.4
_J_PER_KWH = 3.6e6


class CodecarbonEstimate:
    """codecarbon's offline tracker, one task per window."""

    name: ClassVar[str] = "codecarbon"
    measures: ClassVar[bool] = False

    def __init__(self) -> None:
        self._tracker: Any = None
        self._start_s = 0.0
        self._running = False
        self._what = ""

    def open(self, target: Target) -> tuple[Instrument, ...] | Missing:
        """Start the tracker once; it looks for hardware then, which takes a second or two."""
        try:
            codecarbon = import_module("codecarbon")
        except ImportError:
            return absent("not_present", "not installed; pip install 'effmark[energy]'")
        country = os.environ.get("CODECARBON_COUNTRY_ISO_CODE", "USA")  # of no effect on energy
        self._tracker = codecarbon.OfflineEmissionsTracker(
            country_iso_code=country,
            save_to_file=False,
            log_level="critical",
            allow_multiple_runs=True,
            tracking_mode="machine",
            measure_power_secs=3600,
        )
        self.start()
        if isinstance(first := self.stop(0.0, math.inf)[0], Missing) and first.reason == "failed":
            return first
        modes = [str(getattr(part, "_mode", "")) for part in self._tracker._hardware]
        self._what = f"codecarbon {codecarbon.__version__}: {', '.join(m for m in modes if m)}"
        instrument = Instrument(
            probe=self.name,
            device_id="machine",
            source="model_estimate",
            scope="machine",
            err_sys_rel=_ERR_SYS_REL,
            detail=self._what,
        )
        return (instrument,)

    def start(self) -> None:
        """Begin a task; one whose end nobody waited for is dropped."""
        if self._running:
            self._tracker.stop_task()
        self._tracker.start_task()
        self._running = True
        self._start_s = time.monotonic()

    def poll(self) -> float:
        """Return inf: codecarbon has a clock of its own."""
        return math.inf

    def stop(self, start_s: float, end_s: float) -> tuple[EnergyReading | Missing, ...]:
        """Return the energy of the task."""
        stop_s = time.monotonic()
        found = self._tracker.stop_task()
        self._running = False
        if found is None or not math.isfinite(found.energy_consumed):
            return (absent("failed", "codecarbon gave no number"),)
        if found.energy_consumed <= 0:
            return (absent("too_few_samples", "codecarbon saw no energy; the window is too short"),)
        reading = EnergyReading(
            joules=found.energy_consumed * _J_PER_KWH,
            source="model_estimate",
            scope="machine",
            probe=self.name,
            device_id="machine",
            start_s=self._start_s,
            end_s=stop_s,
            err_sys_rel=_ERR_SYS_REL,
            reasons=(f"estimated by {self._what}; the whole machine, other processes included",),
        )
        return (reading,)

    def close(self) -> None:
        """Nothing to give back; the tracker dies with the sampler."""
