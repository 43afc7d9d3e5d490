"""Ranks that admit what they do not know, and the probability of being on the Pareto front.

Two rows share a rank unless their difference is clear: |a - b| > c x (standard error of a - b). The
error is that of *paired* bootstrap draws where both answered the same items (the same resampled
items for both, so that what is hard for both cancels), and of independent measurements otherwise.
c is the normal quantile at 5 % divided by the number of pairs (Bonferroni), so that with 95 %
confidence *every* order that a table shows is right; ten equal rows are not spread out by chance.
From those pairs: rank = 1 + rows clearly better, up to n - rows clearly worse (the confidence set
of Mogstad, Romano, Shaikh and Wilhelm, Review of Economic Studies 91(1), 2024).

The page computes the same in the browser, where filters change who is ranked.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from statistics import pstdev, stdev
from typing import Any

from effmark.metrics import Direction
from effmark.samples import Samples
from effmark.stats.arrays import numpy_for
from effmark.stats.distributions import normal_quantile, t_quantile

__all__ = [
    "DRAWS",
    "Contender",
    "Rank",
    "clearly_better",
    "front_probability",
    "paired_draws",
    "ranks",
    "sampling_error",
]

DRAWS = 200
"""Paired draws per number: the standard error of a difference is then known to 5 %."""
CONFIDENCE = 0.95
_Z = normal_quantile((1 + CONFIDENCE) / 2)


@dataclass(frozen=True, slots=True)
class Contender:
    """A number that wants a rank."""

    value: float
    error: float | None = None
    """Standard error in the unit of the value; None where nothing is known of it."""
    draws: Sequence[float] = ()
    """Bootstrap draws of the value, comparable draw by draw with others of the same `items`."""
    items: str = ""
    """What the draws resampled: a text, a task; empty where the number stands alone."""


@dataclass(frozen=True, slots=True)
class Rank:
    """The places that a row may hold, best first; rows that share `low` are tied."""

    low: int
    high: int
    certain: bool
    """False where the row's own error is unknown, so that only its value was compared."""


def sampling_error(
    low: float | None, high: float | None, samples: Samples | None, *, exact: bool = False
) -> float | None:
    """Return the standard error of a number in its unit, or None where nothing is known of it.

    Args:
        low: bound of the 95 % interval, where there is one; it already knows of dependence.
        high: the other bound.
        samples: raw samples, for numbers with too few of them for an interval of their own; the
            error is then that of their mean, widened as Student's t wants.
        exact: whether the number was counted, not sampled.
    """
    if low is not None and high is not None and math.isfinite(high - low):
        return (high - low) / (2 * _Z)
    if exact:
        return 0.0
    if samples is None or samples.estimator == "max" or len(samples.values) < 2:
        return None
    values = samples.per_sample
    return stdev(values) / math.sqrt(len(values)) * _few_samples(len(values))


def _few_samples(n: int) -> float:
    """Return by how much n samples widen a normal interval."""
    return t_quantile((1 + CONFIDENCE) / 2, n - 1) / _Z


def paired_draws(samples: Samples, items: str, draws: int = DRAWS) -> list[float]:
    """Return bootstrap draws of a ratio of sums or a mean; equal `items` draw the same indices.

    The spread of the draws is widened for few items (Hesterberg, The American Statistician 69(4),
    2015), which a bootstrap of n items otherwise understates by sqrt((n - 1) / n) and the tails.
    """
    values, weights = _condensed(samples)
    n, value = len(values), _ratio(values, weights)
    if n < 2:
        found = [value] * draws
    else:
        stretch = math.sqrt(n / (n - 1)) * _few_samples(n)
        drawn = zip(_sums(values, items, draws), _sums(weights, items, draws), strict=True)
        found = [value + (above / below - value) * stretch for above, below in drawn]
    return [math.exp(d) for d in found] if samples.estimator == "exp_ratio" else found


def _sums(values: Sequence[float], items: str, draws: int) -> list[float]:
    """Return the sum of every resample of the values."""
    n = len(values)
    numpy = numpy_for(n * draws)
    if numpy is None or n * draws * 8 > _MOST_TABLE_B:
        return [sum(map(values.__getitem__, drawn)) for drawn in _resamples(items, n, draws)]
    sums: list[float] = (_counts(items, n, draws) @ numpy.asarray(values, dtype=float)).tolist()
    return sums


_MOST_TABLE_B = 2**24


@lru_cache(maxsize=8)
def _counts(items: str, n: int, draws: int) -> Any:
    """Return how often each resample drew each item, as an array [draws, n]."""
    numpy = numpy_for(n * draws)
    assert numpy is not None
    drawn = (numpy.bincount(row, minlength=n) for row in _resamples(items, n, draws))
    return numpy.stack(list(drawn)).astype(float)


_MOST_ITEMS = 1000
"""More items are summed in neighbouring groups first, the same groups for all rows."""


def _condensed(samples: Samples) -> tuple[list[float], list[float]]:
    values = list(samples.values)
    weights = list(samples.weights) if samples.weights is not None else [1.0] * len(values)
    size = math.ceil(len(values) / _MOST_ITEMS)
    if size == 1:
        return values, weights
    starts = range(0, len(values), size)
    return (
        [math.fsum(values[i : i + size]) for i in starts],
        [math.fsum(weights[i : i + size]) for i in starts],
    )


@lru_cache(maxsize=32)
def _resamples(items: str, n: int, draws: int) -> list[list[int]]:
    """Return the indices of every draw: uniform below n, from 32 random bits each."""
    random = Random(f"{items} {n}")
    found = []
    for _ in range(draws):
        words = array("I", random.randbytes(4 * n))
        found.append([(word * n) >> 32 for word in words])
    return found


def _ratio(values: Sequence[float], weights: Sequence[float]) -> float:
    below = math.fsum(weights)
    return math.fsum(values) / below if below else 0.0


def clearly_better(
    contenders: Sequence[Contender], direction: Direction
) -> dict[int, tuple[set[int], set[int]]]:
    """Return for each contender who is clearly better and who clearly worse."""
    found: dict[int, tuple[set[int], set[int]]] = {
        i: (set(), set()) for i in range(len(contenders))
    }
    pairs = list(itertools.combinations(range(len(contenders)), 2))
    if not pairs:
        return found
    critical = normal_quantile(1 - (1 - CONFIDENCE) / 2 / len(pairs))
    sign = 1.0 if direction == "higher" else -1.0
    for i, j in pairs:
        lead = sign * _difference(contenders[i].value, contenders[j].value)
        if abs(lead) <= critical * _error_of_difference(contenders[i], contenders[j]):
            continue
        winner, loser = (i, j) if lead > 0 else (j, i)
        found[loser][0].add(winner)
        found[winner][1].add(loser)
    return found


def _difference(a: float, b: float) -> float:
    return 0.0 if a == b else a - b  # two infinite scores are equal


def _error_of_difference(a: Contender, b: Contender) -> float:
    if a.items and a.items == b.items and len(a.draws) == len(b.draws) > 1:
        return pstdev([x - y for x, y in zip(a.draws, b.draws, strict=True)])
    return math.hypot(a.error or 0.0, b.error or 0.0)


def ranks(contenders: Sequence[Contender], direction: Direction) -> list[Rank]:
    """Return the rank interval of each contender; exact ties and unclear differences share."""
    found = clearly_better(contenders, direction)
    return [
        Rank(1 + len(found[i][0]), len(contenders) - len(found[i][1]), c.error is not None)
        for i, c in enumerate(contenders)
    ]


def front_probability(
    points: Sequence[tuple[Contender, Contender]],
    directions: tuple[Direction, Direction],
    draws: int = DRAWS,
) -> list[float]:
    """Return the probability of each point that no other is at least as good in both.

    One draw of every number makes one possible world; the share of the worlds in which a point is
    not dominated is its probability. Numbers without a known error stay where they are.
    """
    if not points:
        return []
    signs = [1.0 if direction == "higher" else -1.0 for direction in directions]
    worlds = [
        tuple([sign * v for v in _world(c, draws, f"{index} {axis}")]
              for axis, (sign, c) in enumerate(zip(signs, point, strict=True)))
        for index, point in enumerate(points)
    ]  # fmt: skip
    hits = [0] * len(points)
    for draw in range(draws):
        for index in _front([(x[draw], y[draw]) for x, y in worlds]):
            hits[index] += 1
    return [hit / draws for hit in hits]


def _world(contender: Contender, draws: int, seed: str) -> list[float]:
    if len(contender.draws) == draws:
        return list(contender.draws)
    random = Random(seed)
    return [contender.value + (contender.error or 0.0) * random.gauss() for _ in range(draws)]


def _front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the points, larger being better, that no other dominates."""
    order = sorted(range(len(points)), key=lambda i: points[i], reverse=True)
    front: list[int] = []
    best = -math.inf
    for _, group in itertools.groupby(order, key=lambda i: points[i][0]):
        members = list(group)
        top = points[members[0]][1]
        if top > best:
            front += [i for i in members if points[i][1] == top]
            best = top
    return front
