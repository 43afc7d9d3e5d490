"""A number with its interval as people read it."""

from __future__ import annotations

import math
import re

from effmark.rows import Number
from effmark.units import format_quantity

__all__ = ["format_cell", "format_number"]

_SAID_BY_HEADING = re.compile(r"/(token|image|request)$| (token/s|image/s|bit|bit/B|nat|1/J)$")


def format_number(number: Number, *, interval: bool = True) -> str:
    """Return `12.3 ms ±2 %`: half the interval relative to the value; at zero `0 ±0.05`."""
    text = format_quantity(number.value, number.unit)
    if number.source == "model_estimate":
        text = f"~{text}"
    if not interval or number.low is None or number.high is None or math.isinf(number.value):
        return text
    if number.value == 0:
        farther = max(-number.low, number.high)
        return f"{text} ±{format_quantity(farther, number.unit)}" if farther else text
    half = (number.high - number.low) / 2 / abs(number.value)
    return f"{text} ±∞" if math.isinf(half) else f"{text} ±{_percent(half)}"


def format_cell(number: Number, *, interval: bool = True) -> str:
    """Return a number for a column whose heading says what it is per: `12.3 mJ ±2 %`."""
    value, plus, spread = format_number(number, interval=interval).partition(" ±")
    return _SAID_BY_HEADING.sub("", value) + plus + spread


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 1 else f"{percent:.1g} %"
