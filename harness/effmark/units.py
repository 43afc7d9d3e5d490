"""Quantities as text for people: the only place that rounds.

Records hold SI base units and never a prefix; here a number gets three significant digits, a
prefix and its unit. Nothing downstream reads these strings back.
"""

from __future__ import annotations

import math

__all__ = ["format_duration", "format_quantity"]

_DECIMAL = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SMALL = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))
_DENOMINATORS = ("token", "request", "image", "call", "step")
_PREFIXED = {
    *(f"g/{unit}" for unit in _DENOMINATORS),
    "s",
    "J",
    "W",
    "Hz",
    "J/token",
    "J/image",
    "J/request",
    "J/call",
    "J/step",
    "J·s/token",
    "FLOP",
}


def format_quantity(value: float, unit: str) -> str:
    """Return a value with three significant digits, a prefix where usual, and its unit."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if unit == "B":
        return _prefixed(value, "B", _DECIMAL)
    if unit in _PREFIXED:
        return _prefixed(value, unit, _DECIMAL if abs(value) >= 1 else _SMALL)
    if unit.startswith("USD/") and unit[4:] in _DENOMINATORS:
        return f"{_digits(value * 1e6)} USD/M {unit[4:]}"  # as prices of tokens are told
    if unit in ("ratio", ""):
        return _digits(value)
    if unit in ("count", "FLOP/token", "instruction/token"):
        return _prefixed(value, "", _DECIMAL)
    return f"{_digits(value)} {unit}"


def format_duration(seconds: float) -> str:
    """Return a duration as people say it: `42 s`, `3 min 10 s`, `1 h 04 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _prefixed(value: float, unit: str, steps: tuple[tuple[float, str], ...]) -> str:
    for scale, prefix in steps:
        if abs(value) >= scale * 0.9995:
            return f"{_digits(value / scale)} {prefix}{unit}".rstrip()
    scale, prefix = steps[-1]
    return f"{_digits(value / scale)} {prefix}{unit}".rstrip()


def _digits(value: float) -> str:
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -4:
        return f"{value:.2e}"
    return f"{value:.{max(0, 2 - magnitude)}f}"
