"""DIoR: how reliably a benchmark ranks models, from resampling its scenarios.

DIoR = lower bound of the 95 % interval, over random instantiations of the benchmark (columns drawn
with replacement), of the similarity to the full one: Kendall's tau-b between mean win rates, a tie
being no win. The lower bound is the linear quantile of the defined taus at 1 - level (one-sided) or
(1 - level) / 2 (two-sided); the paper does not say which: name it. Switch rate: share of resamples
in which the best two models (ties by order of rows) do not keep their strict order. Max difference:
mean over resamples of the largest change of a win rate. The paper draws 1,000 resamples.

A DIoR is a property of the benchmark, not of a model.

Win rates are sums of fractions; in floating point, rounding breaks exact ties and changes tau and
the switch rate. So wins are counted here as integers.

Source: Perlitz et al., NAACL 2024, arXiv 2308.11696; there is no public code.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from effmark.scores import _average, _check
from effmark.scores.quantiles import quantile
from effmark.scores.rank_correlation import kendall_tau_b


@dataclass(frozen=True, slots=True)
class Dior:
    """Reliability of a benchmark's ranking."""

    value: float | None
    """Lower bound of tau; None if no tau is defined."""
    win_rates: tuple[float, ...]
    """Mean win rate of each model on the full table, in 0..1."""
    taus: tuple[float | None, ...]
    """Tau-b of each resample with the full table; None where all models tie."""
    undefined: int
    """Number of resamples without a tau."""
    switch_rate: float
    """Share of resamples in which the best two do not keep their strict order."""
    max_difference: float
    """Mean over resamples of the largest absolute change of a win rate."""


def bootstrap_indices(n: int, size: int, repetitions: int, *, seed: int) -> list[list[int]]:
    """Return ``repetitions`` lists of ``size`` indices below ``n``, uniform with replacement."""
    n = _check.whole("n", n, least=1)
    size = _check.whole("size", size, least=1)
    repetitions = _check.whole("repetitions", repetitions, least=1)
    generator = random.Random(seed)
    return [generator.choices(range(n), k=size) for _ in range(repetitions)]


def dior(
    scores: Sequence[Sequence[float]],
    resamples: Sequence[Sequence[int]],
    *,
    sided: str = "one",
    level: float = 0.95,
) -> Dior:
    """Return the decision reliability of ``scores[model][column]`` under resampled columns."""
    _check.option("sided", sided, ("one", "two"))
    _check.number("level", level, above=0, below=1)
    wins = _wins(scores)
    draws = _draws(resamples, len(wins[0]))
    full = [sum(row) for row in wins]
    drawn = [[sum(row[column] for column in draw) for row in wins] for draw in draws]
    taus = tuple(kendall_tau_b(full, totals) for totals in drawn)
    defined = [tau for tau in taus if tau is not None]
    tail = 1 - level if sided == "one" else (1 - level) / 2
    rates = _rates(full, len(wins[0]))
    changes = [
        max(abs(a - b) for a, b in zip(_rates(totals, len(draw)), rates, strict=True))
        for totals, draw in zip(drawn, draws, strict=True)
    ]
    best, second = sorted(range(len(full)), key=lambda model: (-full[model], model))[:2]
    return Dior(
        value=quantile(defined, tail) if defined else None,
        win_rates=rates,
        taus=taus,
        undefined=len(taus) - len(defined),
        switch_rate=_average.mean([totals[best] <= totals[second] for totals in drawn]),
        max_difference=_average.mean(changes),
    )


def _wins(scores: Sequence[Sequence[float]]) -> list[list[int]]:
    """Return how many models each model strictly beats in each column."""
    if len(scores) < 2:
        raise ValueError(f"scores must hold at least 2 models, got {len(scores)}")
    rows = [
        _check.numbers(f"scores[{index}]", row, infinite=True) for index, row in enumerate(scores)
    ]
    for index, row in enumerate(rows):
        _check.same_length(f"scores[{index}]", row, "scores[0]", rows[0])
    ascending = [sorted(column) for column in zip(*rows, strict=True)]
    return [
        [bisect_left(column, value) for column, value in zip(ascending, row, strict=True)]
        for row in rows
    ]


def _draws(resamples: Sequence[Sequence[int]], columns: int) -> list[list[int]]:
    _check.not_empty("resamples", resamples)
    draws = []
    for index, resample in enumerate(resamples):
        _check.not_empty(f"resamples[{index}]", resample)
        name = f"resamples[{index}]"
        draws.append([_check.whole(name, column, most=columns - 1) for column in resample])
    return draws


def _rates(totals: Sequence[int], columns: int) -> tuple[float, ...]:
    games = columns * (len(totals) - 1)
    return tuple(total / games for total in totals)
