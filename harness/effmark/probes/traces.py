"""What a quantity did over time, in at most 200 slots: small enough to keep, enough to draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from effmark.record import Trace

__all__ = ["SLOTS", "Quantity", "Samples", "condensed"]

SLOTS = 200
_DIGITS = 5

Quantity = Literal["memory_b", "device_memory_b", "power_w", "clock_hz", "temperature_c"]
Samples = Sequence[tuple[float, float]]
"""Moments and values, in order."""


def condensed(
    quantity: Quantity,
    source: str,
    samples: Samples,
    start_s: float,
    end_s: float,
    period_s: float,
    keeps: Literal["max", "mean"] = "mean",
) -> tuple[Trace, ...]:
    """Return samples of a window as one trace; none where there were none.

    Args:
        quantity: what was read.
        source: from where.
        samples: what was read and when; what lies outside of the window is left out.
        start_s: start of the window.
        end_s: its end.
        period_s: spacing of the reads; slots are never shorter.
        keeps: what a slot holds of its samples.
    """
    inside = [(time_s, value) for time_s, value in samples if start_s <= time_s <= end_s]
    if not inside or end_s <= start_s:
        return ()
    count = min(SLOTS, max(1, math.floor((end_s - start_s) / period_s)))
    slot_s = (end_s - start_s) / count
    slots: list[list[float]] = [[] for _ in range(count)]
    for time_s, value in inside:
        slots[min(count - 1, int((time_s - start_s) / slot_s))].append(value)
    values = tuple(_value(slot, keeps) for slot in slots)
    return (
        Trace(quantity=quantity, source=source, start_s=start_s, slot_s=slot_s,
              period_s=period_s, keeps=keeps, values=values),
    )  # fmt: skip


def _value(slot: Sequence[float], keeps: Literal["max", "mean"]) -> float | None:
    """Return what a slot holds, to the digits that a drawing shows."""
    if not slot:
        return None
    value = max(slot) if keeps == "max" else sum(slot) / len(slot)
    return float(f"{value:.{_DIGITS}g}")
