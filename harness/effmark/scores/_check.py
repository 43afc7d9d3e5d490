"""The checks that every score shares: bad input is a ValueError of one sentence.

The sentence names the argument (with its index where it is one of many), what would be right and
the value that is wrong. Nothing is clipped, rounded or repaired.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence, Sized


def number(
    name: str,
    value: float,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    infinite: bool = False,
) -> float:
    """Return ``value`` if it is a number within the bounds; ``infinite`` admits infinity."""
    fault = _fault(value, least, most, above, below, infinite)
    if fault is not None:
        raise ValueError(f"{name} {fault}, got {value!r}")
    return value


def numbers(
    name: str,
    values: Iterable[float],
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    infinite: bool = False,
    empty: bool = False,
) -> list[float]:
    """Return ``values`` as a list if each is within the bounds; ``empty`` admits none at all."""
    found = list(values)
    if not found and not empty:
        raise ValueError(f"{name} must not be empty, got {values!r}")
    for index, value in enumerate(found):
        fault = _fault(value, least, most, above, math.inf, infinite)
        if fault is not None:
            raise ValueError(f"{name}[{index}] {fault}, got {value!r}")
    return found


def whole(name: str, value: int, *, least: int = 0, most: int | None = None) -> int:
    """Return ``value`` as an int if it is a whole number within the bounds."""
    try:
        found = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {value!r}") from None
    if found < least:
        raise ValueError(f"{name} must be at least {least}, got {value!r}")
    if most is not None and found > most:
        raise ValueError(f"{name} must be at most {most}, got {value!r}")
    return found


def not_empty(name: str, values: Sized) -> None:
    """Refuse a sequence or table without an entry."""
    if len(values) == 0:
        raise ValueError(f"{name} must not be empty, got {values!r}")


def same_length(first_name: str, first: Sized, second_name: str, second: Sized) -> None:
    """Refuse two sequences of which one is longer."""
    if len(first) != len(second):
        raise ValueError(
            f"{first_name} and {second_name} must have the same length, "
            f"got {len(first)} and {len(second)}"
        )


def distinct(name: str, values: Iterable[object]) -> None:
    """Refuse a value that is listed twice."""
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{name} must not repeat an entry, got {value!r} twice")
        seen.add(value)


def option(name: str, value: str, options: Sequence[str]) -> None:
    """Refuse a word that is not one of ``options``."""
    if value not in options:
        known = ", ".join(repr(word) for word in options)
        raise ValueError(f"{name} must be one of {known}, got {value!r}")


def ascending(name: str, times: Sequence[float]) -> None:
    """Refuse times that go back; equal ones are fine."""
    for index in range(1, len(times)):
        if times[index] < times[index - 1]:
            raise ValueError(
                f"{name}[{index}] must not go back in time, "
                f"got {times[index]!r} after {times[index - 1]!r}"
            )


def _fault(
    value: float, least: float, most: float, above: float, below: float, infinite: bool
) -> str | None:
    try:
        finite = math.isfinite(value)
    except (TypeError, ValueError, OverflowError):
        return "must be a number that fits a float"
    if not finite and (not infinite or math.isnan(value)):
        return "must be a number" if infinite else "must be finite"
    if value < least:
        return f"must be at least {least}"
    if value > most:
        return f"must be at most {most}"
    # The exclusive bounds default to infinity, which an admitted infinity must not trip over.
    if above > -math.inf and value <= above:
        return f"must be above {above}"
    if below < math.inf and value >= below:
        return f"must be below {below}"
    return None
