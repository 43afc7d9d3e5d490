"""The ratio of a quantile of two series that were measured in turns, by resampling the turns."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from random import Random

from effmark.stats.bootstrap import seed_of
from effmark.stats.dependence import serial_inflation
from effmark.stats.quantiles import quantile

__all__ = ["PairedQuantileRatio"]

_MOST_DRAWS = 2000
_FEWEST_DRAWS = 200
_MOST_WORK = 400_000
"""Samples that are drawn in all."""


class PairedQuantileRatio:
    """The ratio of one quantile of paired series, b / a, with a bootstrap of the pairs.

    Pairs are drawn in runs as long as neighbours depend on each other (moving blocks).

    Args:
        a: positive numbers, the baseline's.
        b: as many, the candidate's, each measured next to its partner.
        q: which quantile.
    """

    name = "bootstrap of pairs"

    def __init__(self, a: Sequence[float], b: Sequence[float], q: float) -> None:
        n = len(a)
        self.value = quantile(sorted(b), q) / quantile(sorted(a), q)
        length = min(
            n, math.ceil(serial_inflation([math.log(y / x) for x, y in zip(a, b, strict=True)]))
        )
        random = Random(seed_of(a, b))
        count = max(_FEWEST_DRAWS, min(_MOST_DRAWS, _MOST_WORK // n))
        self.draws = sorted(self._draw(a, b, q, length, random) for _ in range(count))
        self.reachable_p = 2 / count

    @staticmethod
    def _draw(
        a: Sequence[float], b: Sequence[float], q: float, length: int, random: Random
    ) -> float:
        n = len(a)
        starts = [random.randrange(n - length + 1) for _ in range(math.ceil(n / length))]
        chosen = [start + i for start in starts for i in range(length)][:n]
        return quantile(sorted(b[i] for i in chosen), q) / quantile(sorted(a[i] for i in chosen), q)

    def p_above(self, ratio: float) -> float:
        """Return the one-sided p of the claim that the true ratio is above `ratio`."""
        return (bisect.bisect_right(self.draws, ratio) + 1) / (len(self.draws) + 1)

    def p_below(self, ratio: float) -> float:
        """Return the one-sided p of the claim that the true ratio is below `ratio`."""
        above = len(self.draws) - bisect.bisect_left(self.draws, ratio)
        return (above + 1) / (len(self.draws) + 1)

    def bounds(self, confidence: float) -> tuple[float, float] | None:
        """Return the percentile interval."""
        tail = (1 - confidence) / 2
        return quantile(self.draws, tail), quantile(self.draws, 1 - tail)
