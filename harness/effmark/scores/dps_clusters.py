"""Clusters of solution costs, and the references that the differential performance score uses.

Costs are sorted descending and split after i when (x_i - x_(i+1)) / x_i > base + sqrt(w / x_i): the
fewer instructions, the more of a difference is noise. Base is 0.20 (and at least 4 clusters) for
selecting tasks, 0.10 for building references; w = 1e4 instructions. The reference of a cluster is
its slowest solution; its score is the cumulative percentage of solutions up to that cluster.

Source: Liu et al., COLM 2024, arXiv 2408.06450; read in evalplus/evalplus @ 26d6d00bb1fd.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from effmark.scores import _check


@dataclass(frozen=True, slots=True)
class ReferenceCluster:
    """One cluster of solutions, represented by its slowest."""

    index: int
    """Position of the slowest solution in the costs given; the first of equal ones."""
    cost: float
    """Cost of that solution, in the unit given."""
    score: float
    """Cumulative percentage of solutions up to this cluster."""


def cluster_threshold(cost: float, *, base: float = 0.10, weight: float = 1e4) -> float:
    """Return the relative gap below ``cost`` that starts a new cluster."""
    _check.number("cost", cost, above=0)
    _check.number("base", base, least=0)
    _check.number("weight", weight, least=0)
    return base + math.sqrt(weight / cost)


def cluster_costs(
    costs: Sequence[float], *, base: float = 0.10, weight: float = 1e4
) -> list[list[float]]:
    """Return the costs in clusters, slow to fast."""
    return [[costs[i] for i in members] for members in _clusters(costs, base, weight)]


def reference_clusters(
    costs: Sequence[float], *, base: float = 0.10, weight: float = 1e4
) -> tuple[ReferenceCluster, ...]:
    """Return a reference per cluster of solutions, slow to fast, scores in percent."""
    references = []
    counted = 0
    for members in _clusters(costs, base, weight):
        counted += len(members)
        slowest = members[0]
        references.append(ReferenceCluster(slowest, costs[slowest], 100 * counted / len(costs)))
    return tuple(references)


def _clusters(costs: Sequence[float], base: float, weight: float) -> list[list[int]]:
    """Return the indices of the costs in clusters, slow to fast."""
    _check.numbers("costs", costs, above=0)
    order = sorted(range(len(costs)), key=lambda index: (-costs[index], index))
    clusters = [[order[0]]]
    for before, after in pairwise(order):
        gap = (costs[before] - costs[after]) / costs[before]
        if gap > cluster_threshold(costs[before], base=base, weight=weight):
            clusters.append([])
        clusters[-1].append(after)
    return clusters
