"""Bootstrap draws of the ratio of a quantile of two series: the draws of the standard library.

The q-quantile of n uniform numbers is Beta(q (n + 1), (1 - q) (n + 1)); its sample is the one at
that fraction. A beta is made of two gammas, a gamma by rejection (Cheng, Applied Statistics 26(1),
1977) from two uniform numbers a trial. With numpy all trials are judged at once; the logarithms
and exponentials that reach a result are those of `math`, so every bit is the same without numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any

from effmark.stats.arrays import numpy_after
from effmark.stats.quantiles import quantile

__all__ = ["ratio_draws"]

_LOG_4 = math.log(4.0)
_QUICK = 1.0 + math.log(4.5)
"""Of the quick acceptance test, as in the standard library."""
_MOST_REJECTED = 1.35
"""Trials per accepted one, with room; at most 1.13 are needed on average for shapes above 1."""
_TIE = 1e-9
"""A trial that is judged by less than this is left to the standard library."""


def ratio_draws(
    top: Sequence[float],
    bottom: Sequence[float],
    q: float,
    worth: tuple[float, float],
    random: Random,
    count: int,
) -> list[float]:
    """Return draws of the ratio of the q-quantiles of two series in rising order, in rising order.

    Args:
        top: the numerator's.
        bottom: the denominator's.
        q: which quantile.
        worth: independent samples that bottom and top are worth.
        random: the source of all draws.
        count: how many.
    """
    shapes = [part * (size + 1) for size in reversed(worth) for part in (q, 1 - q)]
    numpy = numpy_after(4 * count) if min(shapes) > 1 else None
    state = random.getstate()
    gammas = None if numpy is None else _gammas(numpy, shapes, random, count)
    if numpy is not None and gammas is not None:
        above = _quantiles(numpy, top, gammas[:, 0] / (gammas[:, 0] + gammas[:, 1]))
        below = _quantiles(numpy, bottom, gammas[:, 2] / (gammas[:, 2] + gammas[:, 3]))
        draws: list[float] = numpy.sort(above / below).tolist()
        return draws
    random.setstate(state)
    return sorted(
        quantile(top, random.betavariate(*shapes[:2]))
        / quantile(bottom, random.betavariate(*shapes[2:]))
        for _ in range(count)
    )


def _quantiles(numpy: Any, ordered: Sequence[float], shares: Any) -> Any:
    """Return the quantiles of a series, as `quantile` does one by one."""
    values, n = numpy.asarray(ordered, dtype=float), len(ordered)
    ranks = 1 + shares * (n - 1)
    below = numpy.clip(numpy.floor(ranks).astype(int), 1, n)
    above = numpy.minimum(below + 1, n)
    low, high = values[below - 1], values[above - 1]
    return numpy.where(low == high, low, low + (ranks - below) * (high - low))


def _gammas(numpy: Any, shapes: Sequence[float], random: Random, count: int) -> Any | None:
    """Return gammas as an array [draw, shape], or None where a trial was too close to call."""
    different = list(dict.fromkeys(shapes))
    wanted = count * len(shapes)
    first, second = _uniforms(numpy, random, int(wanted * _MOST_REJECTED))
    if first.min() <= 1e-7 or first.max() >= 0.9999999:
        return None  # the standard library draws such a number again, which shifts all others
    odds = first / (1.0 - first)
    logs, squares = numpy.log(odds), first * first * (1.0 - second)
    verdicts = [_verdicts(numpy, shape, logs, squares) for shape in different]
    if any(verdict is None for verdict in verdicts):
        return None
    turns = [different.index(shape) for shape in shapes]
    trials = _walk(numpy, verdicts, turns, wanted)
    if trials is None:
        return None
    exact = numpy.fromiter(map(math.log, odds[trials].tolist()), float, wanted)
    shape = numpy.tile(numpy.asarray(shapes), count)
    powers = (exact / numpy.tile([math.sqrt(2.0 * s - 1.0) for s in shapes], count)).tolist()
    exps = numpy.fromiter(map(math.exp, powers), float, wanted)
    return (shape * exps).reshape(count, len(shapes))


def _uniforms(numpy: Any, random: Random, trials: int) -> tuple[Any, Any]:
    """Return the two uniform numbers of each trial, the next ones of `random.random()`."""
    words = numpy.frombuffer(random.randbytes(16 * trials), dtype="<u4")
    high, low = (words[0::2] >> 5).astype(float), (words[1::2] >> 6).astype(float)
    uniform = (high * 67108864.0 + low) / 9007199254740992.0
    return uniform[0::2], uniform[1::2]


def _verdicts(numpy: Any, shape: float, logs: Any, squares: Any) -> Any | None:
    """Return which trials a shape accepts, or None where one is too close to call."""
    root = math.sqrt(2.0 * shape - 1.0)
    powers = logs / root
    gains = shape - _LOG_4 + (shape + root) * powers - shape * numpy.exp(powers)
    quick, slow = gains + _QUICK - 4.5 * squares, gains - numpy.log(squares)
    scale = _TIE * (1 + shape)
    if min(numpy.abs(quick).min(), numpy.abs(slow).min()) < scale:
        return None
    return (quick >= 0.0) | (slow >= 0.0)


def _walk(numpy: Any, verdicts: Sequence[Any], turns: Sequence[int], wanted: int) -> Any | None:
    """Return the trial that gives each gamma: the next one that the shape in turn accepts.

    Shapes judge nearly all trials alike, so only the others are gone through one by one.
    """
    accepted = numpy.logical_and.reduce(verdicts)
    before = numpy.cumsum(accepted)
    more = 0
    for trial in numpy.flatnonzero(numpy.logical_or.reduce(verdicts) & ~accepted).tolist():
        turn = turns[(int(before[trial]) + more) % len(turns)]
        if verdicts[turn][trial]:
            accepted[trial] = True
            more += 1
    found = numpy.flatnonzero(accepted)
    return found[:wanted] if len(found) >= wanted else None
