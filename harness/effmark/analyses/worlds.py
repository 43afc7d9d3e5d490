"""Possible worlds: what the numbers could be, given their errors.

One draw of every number makes one world. Numbers that answered the same items have paired draws,
in which what is hard for all cancels; others are drawn from a normal distribution of their standard
error; a number without a known error stays where it is. The leaderboard's probability of being on
the Pareto front uses the same worlds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from effmark.ranking import DRAWS, Contender
from effmark.stats.quantiles import quantile

__all__ = ["central", "world_values"]

_FEWEST_INSIDE = 0.95


def world_values(contender: Contender, key: str) -> list[float]:
    """Return the value in each world, in the unit of the number.

    Args:
        contender: the number with what is known of its error.
        key: what the number is of; different keys draw independently.
    """
    if len(contender.draws) == DRAWS:
        return list(contender.draws)
    error = contender.error or 0.0
    if not math.isfinite(contender.value):
        return [contender.value] * DRAWS
    random = Random(key)
    return [contender.value + error * random.gauss() for _ in range(DRAWS)]


def central(draws: Sequence[float | None], confidence: float = 0.95) -> tuple[float, float] | None:
    """Return the central share of draws; None where too many worlds have no value."""
    inside = sorted(d for d in draws if d is not None)
    if len(inside) < _FEWEST_INSIDE * len(draws):
        return None
    tail = (1 - confidence) / 2
    return quantile(inside, tail), quantile(inside, 1 - tail)
