"""Where the steady state begins: detected, not counted.

The first blocks of a process are slower (caches, clocks, compilers) or, on a cool machine, faster.
The start is where cutting off the beginning makes the mean of the rest most certain (marginal
standard error rule: White, Simulation 69(6), 1997), on clipped logarithms, so that one interrupt
does not count as a phase. What remains must be level: a trend (Mann-Kendall on batch means) that
is beyond chance and moves the time by more than `TOLERATED_DRIFT` means that no steady state was
reached; so does a cut in the last half. Many programs never reach one (Barrett et al., OOPSLA
2017), so that is a result, not an error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from effmark.stats.dependence import FEWEST, batch_means, serial_inflation
from effmark.stats.distributions import normal_cdf
from effmark.stats.estimate import check_samples
from effmark.stats.quantiles import quantile

__all__ = ["WarmupRule", "WarmupVerdict", "steady_start"]

FEWEST_BLOCKS = 6
"""Below this nothing can be said of a phase."""
CLIP = 4.0
"""Times further from the median than so many scaled MADs of the last half count as that far."""
_MAD_TO_SIGMA = 1.4826
PHASE_SIGMAS = 3.5
"""Standard errors by which a first phase must differ; the cut was chosen to make it differ, so
more than the usual 2 (by simulation: 2 % false cuts)."""
TREND_P = 0.001
"""Two-sided p of Mann and Kendall below which a trend is beyond chance; strict, since a verdict
"never reached" makes a result suspect."""
TOLERATED_DRIFT = 0.01
"""A trend or a phase that moves the time by less than 1 % does not matter."""
LOOK_FACTOR = 1.5
"""The online rule looks at 6, 9, 14, 21 … blocks: cost stays in proportion to the blocks."""
LOOKS_IN_A_ROW = 2
"""So many looks must see the steady state: six equal blocks may all belong to a first phase."""
_MOST_POINTS = 200
"""Longer series are averaged to so many points first: the trend test is quadratic."""


def steady_start(values: Sequence[float]) -> int | None:
    """Return the index of the first steady block, or None where no steady state is seen.

    Args:
        values: times of blocks in order, above 0.
    """
    check_samples(values)
    if min(values) <= 0:
        raise ValueError(f"warm-up: block of {float(min(values))!r} s, wants times above 0")
    if len(values) < FEWEST_BLOCKS:
        return None
    size = math.ceil(len(values) / _MOST_POINTS)
    points = _clipped(batch_means([math.log(v) for v in values], size))
    start = _phase(points)
    if start > len(points) // 2 or _drifts(points[start:]):
        return None
    return start * size


def _clipped(values: Sequence[float]) -> list[float]:
    """Return the values no further from the typical late one than noise goes."""
    late = sorted(values[len(values) // 2 :])
    centre = quantile(late, 0.5)
    mad = quantile(sorted(abs(v - centre) for v in late), 0.5)
    if mad == 0:
        return list(values)
    reach = CLIP * _MAD_TO_SIGMA * mad
    return [min(max(v, centre - reach), centre + reach) for v in values]


def _cut(values: Sequence[float]) -> int:
    """Return how many values to cut off so that the mean of the rest is most certain."""
    n = len(values)
    total, square, best, start = 0.0, 0.0, math.inf, 0
    for index in range(n - 1, -1, -1):
        total += values[index]
        square += values[index] * values[index]
        kept = n - index
        if kept < max(3, n // 2 - 1):
            continue
        spread = max(square - total * total / kept, 0.0) / (kept * kept)
        if spread <= best * (1 + 1e-12):
            best, start = spread, index
    return start


def _phase(values: Sequence[float]) -> int:
    """Return how many values belong to a first phase that differs from the rest beyond noise."""
    start = _cut(values)
    if _distance(values, start) > PHASE_SIGMAS:
        return start
    if len(values) < FEWEST:
        return 0
    distances = [_distance(values, cut) for cut in range(len(values) // 2)]
    furthest = max(range(len(distances)), key=distances.__getitem__)
    return furthest if distances[furthest] > PHASE_SIGMAS else 0


def _distance(values: Sequence[float], start: int) -> float:
    """Return by how many standard errors the values before a cut differ from those after it."""
    head, rest = values[:start], values[start:]
    if not head:
        return 0.0
    centre = math.fsum(rest) / len(rest)
    variance = math.fsum((v - centre) ** 2 for v in rest) / (len(rest) - 1)
    distance = abs(math.fsum(head) / len(head) - centre)
    if distance < TOLERATED_DRIFT:
        return 0.0
    error = math.sqrt(variance * (1 / len(head) + 1 / len(rest)))
    return distance / error if error > 0 else math.inf


def _drifts(values: Sequence[float]) -> bool:
    """Return whether values have a trend that is beyond chance and that matters."""
    n = len(values)
    if n < FEWEST_BLOCKS:
        return False
    rising = 0
    slopes = []
    for i in range(n):
        for j in range(i + 1, n):
            difference = values[j] - values[i]
            rising += (difference > 0) - (difference < 0)
            slopes.append(difference / (j - i))
    slope = quantile(sorted(slopes), 0.5)
    if abs(slope) * (n - 1) < TOLERATED_DRIFT:
        return False
    detrended = [v - slope * i for i, v in enumerate(values)]
    variance = n * (n - 1) * (2 * n + 5) / 18 * serial_inflation(detrended)
    return 2 * normal_cdf(-(abs(rising) - 1) / math.sqrt(variance)) < TREND_P


@dataclass(frozen=True, slots=True)
class WarmupVerdict:
    """What the first blocks showed."""

    steady: Literal["reached", "never_reached", "unknown"]
    start: int
    """Blocks to set aside as warm-up; where never reached, half of those seen; where too few
    blocks were seen to know, the first."""
    blocks: int
    """Blocks that were seen."""


class WarmupRule:
    """Decides block by block whether the steady state has begun.

    Blocks after `start` of the verdict are steady and may be kept as measurements.

    Args:
        max_blocks: blocks after which "never reached" is the verdict.
        budget_s: seconds after which it is, too, however few blocks there are; None for none.
    """

    def __init__(self, max_blocks: int = 60, budget_s: float | None = None) -> None:
        if max_blocks < FEWEST_BLOCKS:
            raise ValueError(f"warm-up: {max_blocks!r} blocks, wants {FEWEST_BLOCKS} or more")
        self.max_blocks, self.budget_s = max_blocks, budget_s
        self.values: list[float] = []
        self._next_look = FEWEST_BLOCKS
        self._steady_looks = 0
        self._verdict: WarmupVerdict | None = None

    def add(self, value_s: float, elapsed_s: float) -> None:
        """Take the time of a block, above 0, and the seconds since the first block began."""
        self.values.append(value_s)
        n = len(self.values)
        used_up = self.budget_s is not None and elapsed_s >= self.budget_s
        last = n >= self.max_blocks or used_up
        if self._verdict is not None or not (last or n >= self._next_look):
            return
        self._next_look = math.ceil(n * LOOK_FACTOR)
        start = steady_start(self.values)
        self._steady_looks = 0 if start is None else self._steady_looks + 1
        if start is not None and (self._steady_looks >= LOOKS_IN_A_ROW or last):
            self._verdict = WarmupVerdict("reached", start, n)
        elif last and n < FEWEST_BLOCKS:
            self._verdict = WarmupVerdict("unknown", min(1, n), n)
        elif last:
            self._verdict = WarmupVerdict("never_reached", n // 2, n)

    def verdict(self) -> WarmupVerdict | None:
        """Return where the steady state began, or None to go on."""
        return self._verdict
