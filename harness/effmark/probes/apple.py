"""Apple chips: not read.

The energy counters of Apple silicon sit behind `powermetrics`, which needs root, or behind a
private interface (IOReport). No maintained Python library with a clear licence offers them on the
package index today, so this probe only says so; a vendor or a user can add one by entry point.
"""

from __future__ import annotations

import math
import platform
from typing import ClassVar

from effmark.probes.contract import Instrument, Target, absent
from effmark.probes.readings import Found
from effmark.record import Missing

__all__ = ["AppleProbe"]


class AppleProbe:
    """The reason why there is no energy on a Mac."""

    name: ClassVar[str] = "apple"
    measures: ClassVar[bool] = True

    def __init__(self, system: str | None = None) -> None:
        self._system = system or platform.system()

    def open(self, target: Target) -> tuple[Instrument, ...] | Missing:
        """Return why nothing can be read."""
        if self._system != "Darwin":
            return absent("not_applicable", "this is no Mac")
        detail = "powermetrics needs root and IOReport has no public interface; "
        return absent("not_permitted", detail + "use an external meter (EFFMARK_METER)")

    def start(self) -> None:
        """Never called."""

    def poll(self) -> float:
        """Never called."""
        return math.inf

    def stop(self, start_s: float, end_s: float) -> Found:
        """Never called."""
        return ()

    def close(self) -> None:
        """Nothing to give back."""
