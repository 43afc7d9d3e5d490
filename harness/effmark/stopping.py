"""When the samples are enough: a sequential rule whose 95 % stay 95 %.

Looking at an interval after every sample and stopping when it is narrow selects the moments at
which chance made it narrow: coverage falls, with the mean of normal noise to about 87 %. Three
things keep it: looks are few, on a geometric schedule; three looks in a row must agree; and the
interval that decides is more cautious than the one that is reported, as if the dependence between
neighbours were one standard error stronger than it seems. docs/design/0003 shows the simulation.
The budget comes second: when it is used up, measuring ends with what there is.
"""

from __future__ import annotations

import math

from effmark.record import StopVerdict
from effmark.spec import Precision
from effmark.stats import median_interval
from effmark.stats.quantiles import cautious_half_width, needed_samples

__all__ = ["SequentialRule"]

LOOK_FACTOR = 1.25
"""Each look comes when there are this many times the samples of the look before."""
LOOKS_IN_A_ROW = 3
"""So many looks must find the interval narrow enough."""


class SequentialRule:
    """Decides after each block whether measuring may end.

    Args:
        precision: wanted relative half-width of the interval of the median, and its confidence.
        budget_s: seconds of measuring; None for no budget.
        min_blocks: blocks that are measured even when the budget is used up.
        max_blocks: blocks after which measuring ends in any case.
    """

    def __init__(
        self,
        precision: Precision,
        budget_s: float | None = None,
        min_blocks: int = 5,
        max_blocks: int = 1000,
    ) -> None:
        if budget_s is not None and not budget_s > 0:
            raise ValueError(f"budget: {budget_s!r} s, wants more than 0 or None")
        if not 0 < min_blocks <= max_blocks:
            raise ValueError(f"blocks: {min_blocks!r} to {max_blocks!r}, wants 1 <= min <= max")
        self.precision, self.budget_s = precision, budget_s
        self.min_blocks, self.max_blocks = min_blocks, max_blocks
        self.values: list[float] = []
        self._elapsed_s = 0.0
        self._next_look = max(min_blocks, needed_samples(0.5, precision.confidence))
        self._narrow_looks = 0

    def add(self, value_s: float, elapsed_s: float) -> None:
        """Take the time of a block, and the seconds since measuring began.

        Args:
            value_s: finite, 0 or more.
            elapsed_s: finite, never smaller than before.
        """
        if not math.isfinite(value_s) or value_s < 0:
            raise ValueError(f"block: {value_s!r} s, wants a finite time of 0 or more")
        if not elapsed_s >= self._elapsed_s:
            raise ValueError(
                f"clock: went from {self._elapsed_s!r} s to {elapsed_s!r} s, wants a monotonic one"
            )
        self.values.append(value_s)
        self._elapsed_s = elapsed_s
        if len(self.values) == self._next_look:
            self._look()

    def _look(self) -> None:
        half = cautious_half_width(self.values, self.precision.confidence)
        narrow = half is not None and half <= self.precision.rel_half_width
        self._narrow_looks = self._narrow_looks + 1 if narrow else 0
        self._next_look = max(self._next_look + 1, math.ceil(self._next_look * LOOK_FACTOR))

    def verdict(self) -> StopVerdict | None:
        """Return why measuring ends now, or None to go on; `steady` is the caller's to set."""
        n = len(self.values)
        if n < self.min_blocks:
            return None
        if self._narrow_looks >= LOOKS_IN_A_ROW:
            return self._ended("precision")
        if n >= self.max_blocks:
            return self._ended("count")
        if self.budget_s is not None and self._elapsed_s >= self.budget_s:
            return self._ended("budget")
        return None

    def _ended(self, rule: str) -> StopVerdict:
        estimate = median_interval(self.values, self.precision.confidence, serial=True)
        return StopVerdict.model_validate(
            {
                "rule": rule,
                "rel_half_width": estimate.rel_half_width,
                "confidence": self.precision.confidence,
            }
        )
