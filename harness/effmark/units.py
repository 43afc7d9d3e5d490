"""Quantities as text for people, and back: the only place that rounds.

Records hold SI base units and never a prefix; here a number gets three significant digits, a
prefix and its unit. Nothing downstream reads these strings back; what people type is parsed here.
"""

from __future__ import annotations

import math
import re

__all__ = ["format_duration", "format_quantity", "parse_quantity"]

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


_PREFIXES = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3, "": 1.0,
             "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}  # fmt: skip
_BYTES = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*")


def parse_quantity(text: str, unit: str) -> float:
    """Return what a person typed in the given unit: `20ms` is 0.02 of `s`, `5%` 0.05 of `ratio`.

    A number alone is in the unit already; `2 mJ` will do for `J/token`.

    Raises:
        ValueError: not a number, or another unit.
    """
    found = _NUMBER.fullmatch(text)
    scale = None if found is None else _scale(found[2], unit)
    value = math.nan if found is None or scale is None else float(found[1]) * scale
    if not math.isfinite(value):
        raise ValueError(f"{text!r:.80} is no quantity in {unit or 'plain numbers'}, such as "
                         f"{'5%' if unit == 'ratio' else f'20 {unit}'!r}")  # fmt: skip
    return value


def _scale(suffix: str, unit: str) -> float | None:
    """Return how many units a suffix stands for, None for a suffix of something else."""
    if suffix in ("", unit):
        return 1.0
    if unit == "ratio":
        return 0.01 if suffix == "%" else None
    base, slash, per = unit.partition("/")
    given = suffix.removesuffix(slash + per) if slash else suffix
    if base == "B" and given[:-2] in _BYTES and given.endswith("iB"):
        return float(_BYTES[given[:-2]])
    if not given.endswith(base):
        return None
    return _PREFIXES.get(given.removesuffix(base))


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
    magnitude = int(f"{abs(value):.2e}".partition("e")[2])  # of the rounded value: 99.97 is 100
    if magnitude < -4:
        return f"{value:.2e}"
    return f"{value:.{max(0, 2 - magnitude)}f}"
