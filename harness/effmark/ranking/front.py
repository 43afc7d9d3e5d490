"""The probability of being on the Pareto front: the share of possible worlds in which one is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from random import Random

from effmark.metrics import Direction
from effmark.ranking.contender import Contender
from effmark.ranking.draws import DRAWS

__all__ = ["front_probability"]


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
