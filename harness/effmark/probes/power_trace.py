"""Power samples to energy: trapezoids with interpolation at both ends of the window.

The error of the integral is at most half the change of power within each gap times its length,
plus what happens within one refresh of the sensor at both ends.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

__all__ = ["Integral", "PowerTrace"]

_MOST = 2_000_000


@dataclass(frozen=True, slots=True)
class Integral:
    """The energy of a window by its power samples."""

    joules: float
    err_j: float
    """Bound on the error of integration, the sensor's own error apart."""
    max_gap_s: float
    samples: int
    changes: int
    """How often the value changed: the refreshes that were seen."""


class PowerTrace:
    """Watts with their moments, in order."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._watts: list[float] = []

    def __len__(self) -> int:
        return len(self._times)

    @property
    def samples(self) -> list[tuple[float, float]]:
        """Return all moments in s and powers in W."""
        return list(zip(self._times, self._watts, strict=True))

    def clear(self) -> None:
        """Forget all samples."""
        self._times, self._watts = [], []

    def add(self, time_s: float, watts: float) -> None:
        """Take a sample; one that is not later than the last is dropped."""
        if len(self._times) < _MOST and (not self._times or time_s > self._times[-1]):
            self._times.append(time_s)
            self._watts.append(watts)

    def covers(self, start_s: float, end_s: float) -> bool:
        """Return whether there are samples at or beyond both ends."""
        return bool(self._times) and self._times[0] <= start_s and self._times[-1] >= end_s

    @property
    def span(self) -> tuple[float, float] | None:
        """Return the moments of the first and the last sample."""
        return (self._times[0], self._times[-1]) if len(self._times) > 1 else None

    def integrate(self, start_s: float, end_s: float) -> Integral | None:
        """Return the energy in [start_s, end_s]; None where the samples do not cover it."""
        if not self.covers(start_s, end_s) or end_s <= start_s:
            return None
        first = bisect.bisect_right(self._times, start_s)
        last = bisect.bisect_left(self._times, end_s)
        times = [start_s, *self._times[first:last], end_s]
        watts = [self._at(start_s), *self._watts[first:last], self._at(end_s)]
        joules = error = gap = 0.0
        changes = 0
        for i in range(1, len(times)):
            length = times[i] - times[i - 1]
            joules += length * (watts[i] + watts[i - 1]) / 2
            error += length * abs(watts[i] - watts[i - 1]) / 2
            gap = max(gap, length)
            changes += watts[i] != watts[i - 1]
        return Integral(joules, error, gap, last - first, changes)

    def _at(self, time_s: float) -> float:
        right = bisect.bisect_left(self._times, time_s)
        if self._times[right] == time_s:
            return self._watts[right]
        share = (time_s - self._times[right - 1]) / (self._times[right] - self._times[right - 1])
        return self._watts[right - 1] + share * (self._watts[right] - self._watts[right - 1])
