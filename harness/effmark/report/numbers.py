"""A number with its interval as people read it."""

from __future__ import annotations

from effmark.record import Missing
from effmark.rows import Number
from effmark.units import format_quantity

__all__ = ["format_missing", "format_number"]


def format_number(number: Number, *, interval: bool = True) -> str:
    """Return `12.3 ms ±2 %`; the interval as half its width relative to the value."""
    text = format_quantity(number.value, number.unit)
    if number.source == "model_estimate":
        text = f"~{text}"
    if not interval or number.low is None or number.high is None or number.value == 0:
        return text
    half = (number.high - number.low) / 2 / abs(number.value)
    return f"{text} ±{_percent(half)}"


def format_missing(missing: Missing) -> str:
    """Return the mark of a missing number."""
    return f"– ({missing.reason.replace('_', ' ')})"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 1 else f"{percent:.1g} %"
