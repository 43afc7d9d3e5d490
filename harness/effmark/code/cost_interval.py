"""Cost-of-pass with its interval, from one entry per problem; pure.

A data set's cost-of-pass is sum(costs) / sum(scores) over problems; resampled problems, in which
nothing was solved, make a draw infinite, and so may be a bound. Where nothing was solved at all, or
everything was, resampling says nothing about how often problems are solved. Then Wilson's interval
for 0 (or n) of n problems bounds what a right answer costs from below (or above).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from effmark.stats import Estimate, proportion_interval

__all__ = ["at_the_edge", "cost_estimate", "mean_cost_estimate", "resampled"]

_DRAWS = 1000
_CONFIDENCE = 0.95


def _ratio_of_sums(costs: Sequence[float], scores: Sequence[float]) -> float:
    """Return sum(costs) / sum(scores); infinite where nothing was solved."""
    solved = math.fsum(scores)
    return math.fsum(costs) / solved if solved > 0 else math.inf


def cost_estimate(costs: Sequence[float], scores: Sequence[float]) -> Estimate:
    """Return the cost-of-pass of a data set: sum of costs / sum of scores."""
    found = _estimate(costs, scores, _ratio_of_sums, "ratio of sums")
    if found.low is None or found.high is None:
        return found
    low, high = at_the_edge(costs, scores, found.low, found.high)
    return replace(found, low=low, high=high)


def at_the_edge(
    costs: Sequence[float], scores: Sequence[float], low: float, high: float
) -> tuple[float, float]:
    """Return bounds of a data set's cost-of-pass, widened where all scores are 0, or all are 1."""
    n, solved = len(scores), sum(map(bool, scores))
    share = proportion_interval(solved, n)
    mean = math.fsum(costs) / n
    if solved == 0:
        return mean / (share.high or 1.0), high
    if min(scores) >= 1 and share.low:
        return low, max(high, mean / share.low)
    return low, high


def mean_cost_estimate(costs: Sequence[float], scores: Sequence[float]) -> Estimate:
    """Return the mean over problems of cost / score; infinite as soon as one was never solved."""
    return _estimate(costs, scores, _mean_of_ratios, "mean of problems")


def _mean_of_ratios(costs: Sequence[float], scores: Sequence[float]) -> float:
    each = [c / s if s > 0 else math.inf for c, s in zip(costs, scores, strict=True)]
    return math.inf if math.inf in each else math.fsum(each) / len(each)


def _estimate(
    costs: Sequence[float],
    scores: Sequence[float],
    statistic: Callable[[Sequence[float], Sequence[float]], float],
    method: str,
) -> Estimate:
    rows, n = list(zip(costs, scores, strict=True)), len(costs)
    unsolved = sum(1 for score in scores if not score)
    told = f"{method}, problems resampled; {unsolved} of {n} problems unsolved"
    value = statistic(costs, scores)
    if n < 2:
        reason = "one problem; an interval needs 2"
        return Estimate(value, None, None, n, told, _CONFIDENCE, None, reason)

    def draw(random: Random) -> float:
        drawn = random.choices(rows, k=n)
        return statistic([cost for cost, _ in drawn], [score for _, score in drawn])

    low, high, _ = resampled(draw)
    return Estimate(value, low, high, n, told, _CONFIDENCE)


def resampled(draw: Callable[[Random], float]) -> tuple[float, float, float]:
    """Return the 95 % percentile bounds of draws, and the share of them that is infinite."""
    random = Random(0)
    draws = sorted(draw(random) for _ in range(_DRAWS))
    low, high = draws[round(0.025 * (_DRAWS - 1))], draws[round(0.975 * (_DRAWS - 1))]
    return low, high, sum(map(math.isinf, draws)) / _DRAWS
