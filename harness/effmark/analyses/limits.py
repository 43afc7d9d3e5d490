"""Limits that a user gives: `tpot_s=20ms`, checked against the table of metrics."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from effmark.errors import SpecError
from effmark.metrics import METRICS
from effmark.units import format_quantity, parse_quantity

__all__ = ["Limit", "known_metric", "parse_limit"]


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound that a number must keep to, in the unit of its metric."""

    metric: str
    bound: float
    is_upper: bool

    def holds(self, value: float) -> bool:
        """Return whether a value keeps to the limit; the bound itself does."""
        return value <= self.bound if self.is_upper else value >= self.bound

    @property
    def text(self) -> str:
        """Return the limit for people: `TPOT ≤ 20.0 ms`."""
        told = METRICS[self.metric]
        sign = "≤" if self.is_upper else "≥"
        return f"{told.label} {sign} {format_quantity(self.bound, told.unit)}"


def parse_limit(text: str, *, is_upper: bool) -> Limit:
    """Return a limit from `METRIC=VALUE`; the value may carry a unit.

    Raises:
        SpecError: no such metric, or no such quantity.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise SpecError(f"limit {text!r} has no value; write METRIC=VALUE, such as 'tpot_s=20ms'")
    name = known_metric(name.strip())
    try:
        return Limit(name, parse_quantity(value, METRICS[name].unit), is_upper)
    except ValueError as error:
        raise SpecError(f"limit {text!r}: {error}") from error


def known_metric(name: str) -> str:
    """Return the name of a metric, or raise SpecError with the nearest one."""
    if name in METRICS:
        return name
    close = difflib.get_close_matches(name, METRICS, n=1, cutoff=0.4)
    listed = "`effmark leaderboard --json` has those of all records"
    hint = f"did you mean {close[0]!r}?" if close else listed
    raise SpecError(f"no metric {name!r}; {hint}")
