"""Area under (time, value) samples in a window: straight lines between samples, no extrapolation.

A window edge between two samples is interpolated; a window that reaches beyond the samples is cut
to the sampled span.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from effmark.scores import _check


def area_and_duration(
    samples: Sequence[tuple[float, float]],
    start_s: float | None,
    end_s: float | None,
    *,
    least: float = -math.inf,
) -> tuple[float, float] | None:
    """Return (area, seconds) of the window; None for fewer than two samples or no duration."""
    times = _check.numbers("samples", [time for time, _ in samples], empty=True)
    values = _check.numbers("samples", [value for _, value in samples], least=least, empty=True)
    _check.ascending("samples", times)
    start = -math.inf if start_s is None else _check.number("start_s", start_s)
    end = math.inf if end_s is None else _check.number("end_s", end_s)
    if end < start:
        raise ValueError(f"end_s must not be before start_s, got {end_s!r} before {start_s!r}")
    if len(times) < 2:
        return None
    start, end = max(start, times[0]), min(end, times[-1])
    if end <= start:
        return None
    pieces = [
        _piece(times[i - 1], values[i - 1], times[i], values[i], start, end)
        for i in range(1, len(times))
    ]
    return math.fsum(pieces), end - start


def _piece(t0: float, v0: float, t1: float, v1: float, start: float, end: float) -> float:
    left, right = max(t0, start), min(t1, end)
    if right <= left:
        return 0.0
    # Shares of the step, not a slope: that overflows where two times hardly differ.
    at_left = v0 + (v1 - v0) * ((left - t0) / (t1 - t0))
    at_right = v1 - (v1 - v0) * ((t1 - right) / (t1 - t0))
    return (at_left + at_right) / 2 * (right - left)
