"""What an interval is: a value with its bounds, or the reason why there are none."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["Estimate", "TooFew", "check_confidence", "check_samples"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with a two-sided confidence interval; never NaN, never 0 for the unknown."""

    value: float
    low: float | None
    """Lower bound; None where the samples support none (`reason` says why)."""
    high: float | None
    n: int
    """Samples that went in."""
    method: str
    """How the bounds were found, in words for people."""
    confidence: float
    n_effective: float | None = None
    """Independent samples that the n are worth; None where independence was assumed."""
    reason: str = ""
    """Why there are no bounds, or what to know about them (`constant samples`)."""

    @property
    def half_width(self) -> float | None:
        """Return half the length of the interval, in the unit of the value."""
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / 2

    @property
    def rel_half_width(self) -> float | None:
        """Return the half-width relative to the value; None without bounds or at value 0."""
        width = self.half_width
        if width is None or self.value == 0:
            return None
        return width / abs(self.value)

    def scaled(self, factor: float) -> Estimate:
        """Return the estimate of `factor` times the quantity; `factor` is above 0."""
        low = None if self.low is None else self.low * factor
        high = None if self.high is None else self.high * factor
        return replace(self, value=self.value * factor, low=low, high=high)

    def exponentiated(self) -> Estimate:
        """Return the estimate of exp(quantity)."""
        low = None if self.low is None else math.exp(self.low)
        high = None if self.high is None else math.exp(self.high)
        return replace(self, value=math.exp(self.value), low=low, high=high)

    def inverted(self) -> Estimate:
        """Return the estimate of 1 / quantity; value and bounds must be above 0."""
        if self.value <= 0 or (self.low is not None and self.low <= 0):
            raise ValueError(f"estimate: cannot invert {self.value!r}, wants a value above 0")
        low = None if self.high is None else 1 / self.high
        high = None if self.low is None else 1 / self.low
        return replace(self, value=1 / self.value, low=low, high=high)


@dataclass(frozen=True, slots=True)
class TooFew:
    """There is no such number yet: more samples are needed."""

    n: int
    needed: int
    what: str
    """What was wanted, `p99` say."""

    @property
    def detail(self) -> str:
        """Return the sentence for people."""
        return f"{self.what} needs {self.needed} independent samples, got {self.n}"


def check_samples(samples: Sequence[float], what: str = "samples", at_least: int = 1) -> None:
    """Raise ValueError unless there are enough samples and all of them are finite."""
    if len(samples) < at_least:
        raise ValueError(f"{what}: too few, {len(samples)}, wants {at_least} or more")
    if all(map(math.isfinite, samples)):
        return
    index, value = next((i, v) for i, v in enumerate(samples) if not math.isfinite(v))
    raise ValueError(f"{what}: sample {index} is {float(value)!r}, wants a finite number")


def check_confidence(confidence: float) -> None:
    """Raise ValueError unless a confidence lies between 0.5 and 1."""
    if not 0.5 < confidence < 1:
        raise ValueError(f"confidence: {confidence!r} is not between 0.5 and 1")


def as_bytes(*samples: Sequence[float]) -> bytes:
    """Return the samples as bytes, from which reproducible seeds are made."""
    return b"|".join(array("d", part).tobytes() for part in samples)
