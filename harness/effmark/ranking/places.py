"""Rank intervals and ties: who is clearly better, over all pairs of a table together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from effmark.metrics import Direction
from effmark.ranking.contender import CONFIDENCE, Contender, spread
from effmark.stats.arrays import numpy_for
from effmark.stats.distributions import normal_quantile

__all__ = ["Rank", "ranks"]


@dataclass(frozen=True, slots=True)
class Rank:
    """The places that a row may hold, best first; rows that share `low` are tied."""

    low: int
    high: int
    certain: bool
    """False where the row's own error is unknown, so that only its value was compared."""


def ranks(contenders: Sequence[Contender], direction: Direction) -> list[Rank]:
    """Return the rank interval of each contender; exact ties and unclear differences share."""
    n = len(contenders)
    pairs_count = n * (n - 1) // 2
    critical = normal_quantile(1 - (1 - CONFIDENCE) / 2 / max(pairs_count, 1))
    sign = 1.0 if direction == "higher" else -1.0
    numpy = numpy_for(pairs_count)
    count = _clear_pairs if numpy is None else _clear_pairs_in_rows
    better, worse = count(contenders, sign, critical)
    return [
        Rank(1 + better[i], n - worse[i], c.error is not None) for i, c in enumerate(contenders)
    ]


def _clear_pairs(
    contenders: Sequence[Contender], sign: float, critical: float
) -> tuple[list[int], list[int]]:
    """Return for each contender how many are clearly better and how many clearly worse."""
    better, worse = [0] * len(contenders), [0] * len(contenders)
    for i, j in itertools.combinations(range(len(contenders)), 2):
        a, b = contenders[i], contenders[j]
        lead = 0.0 if a.value == b.value else sign * (a.value - b.value)  # inf equals inf
        if abs(lead) <= critical * _error_of_difference(a, b):
            continue
        winner, loser = (i, j) if lead > 0 else (j, i)
        better[loser] += 1
        worse[winner] += 1
    return better, worse


_ROWS_AT_ONCE = 256


def _clear_pairs_in_rows(
    contenders: Sequence[Contender], sign: float, critical: float
) -> tuple[list[int], list[int]]:
    """Return the same as `_clear_pairs` for thousands of contenders, many pairs at once."""
    n = len(contenders)
    numpy = numpy_for(n * n)
    assert numpy is not None
    values = sign * numpy.array([c.value for c in contenders])
    variances = numpy.array([c.error or 0.0 for c in contenders]) ** 2
    paired = _paired_groups(contenders)
    better, worse = numpy.zeros(n, dtype=int), numpy.zeros(n, dtype=int)
    for start in range(0, n, _ROWS_AT_ONCE):
        rows = slice(start, min(start + _ROWS_AT_ONCE, n))
        with numpy.errstate(invalid="ignore"):
            leads = values[rows, None] - values[None, :]
        leads[values[rows, None] == values[None, :]] = 0.0
        squares = variances[rows, None] + variances[None, :]
        for members, draws in paired:
            mine = members[(members >= rows.start) & (members < rows.stop)]
            own = draws[numpy.searchsorted(members, mine)]
            squares[numpy.ix_(mine - rows.start, members)] = _spread_squares(own, draws)
        clear = numpy.abs(leads) > critical * numpy.sqrt(squares)
        worse[rows] += (clear & (leads > 0)).sum(axis=1)
        better[rows] += (clear & (leads < 0)).sum(axis=1)
    return better.tolist(), worse.tolist()


def _paired_groups(contenders: Sequence[Contender]) -> list[tuple[Any, Any]]:
    """Return the indices and the centred draws of those that resampled the same items."""
    numpy = numpy_for(len(contenders) ** 2)
    assert numpy is not None
    groups: dict[tuple[str, int], list[int]] = {}
    for i, c in enumerate(contenders):
        if c.items and len(c.draws) > 1:
            groups.setdefault((c.items, len(c.draws)), []).append(i)
    found = []
    for members in groups.values():
        draws = numpy.array([contenders[i].draws for i in members])
        found.append((numpy.array(members), draws - draws.mean(axis=1, keepdims=True)))
    return found


def _spread_squares(some: Any, all_: Any) -> Any:
    """Return the variance of the difference of every pair of centred draws."""
    across = some @ all_.T / some.shape[1]
    own, other = (some**2).mean(axis=1), (all_**2).mean(axis=1)
    return (own[:, None] + other[None, :] - 2 * across).clip(0.0)


def _error_of_difference(a: Contender, b: Contender) -> float:
    if a.items and a.items == b.items and len(a.draws) == len(b.draws) > 1:
        return spread([x - y for x, y in zip(a.draws, b.draws, strict=True)])
    return math.hypot(a.error or 0.0, b.error or 0.0)
