"""Where the level of a series changes: penalised segmentation by `ruptures`, then confirmed.

The segmentation (PELT, Killick et al. 2012) is on ranks, so single outliers do not make segments;
each change is then tested between its two neighbouring segments, Holm-corrected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from effmark.stats.decisions import holm
from effmark.stats.estimate import check_samples
from effmark.stats.ranks import mann_whitney

__all__ = ["change_points"]

PENALTY = 3.0
"""Times ln(n) x variance of a rank: the Schwarz criterion, with a reserve for chosen places."""


def change_points(values: Sequence[float], alpha: float = 0.01, shortest: int = 4) -> list[int]:
    """Return the indices at which a new level begins, rising.

    Args:
        values: finite numbers in order.
        alpha: error rate of all changes together.
        shortest: fewest values of a level.

    Raises:
        ImportError: `ruptures` is not installed.
    """
    check_samples(values)
    if len(values) < 2 * shortest or min(values) == max(values):
        return []
    cuts = _segmented(values, shortest)
    while cuts:
        edges = [0, *cuts, len(values)]
        p = [
            _p(values[edges[i] : edges[i + 1]], values[edges[i + 1] : edges[i + 2]])
            for i in range(len(cuts))
        ]
        adjusted = holm(p)
        worst = max(range(len(cuts)), key=adjusted.__getitem__)
        if adjusted[worst] < alpha:
            break
        del cuts[worst]
    return cuts


def _p(before: Sequence[float], after: Sequence[float]) -> float:
    return min(1.0, 2 * min(mann_whitney(before, after), mann_whitney(after, before)))


def _segmented(values: Sequence[float], shortest: int) -> list[int]:
    import numpy
    import ruptures

    n = len(values)
    order = sorted(range(n), key=values.__getitem__)
    ranks = numpy.empty(n)
    ranks[order] = numpy.arange(n) / n
    penalty = PENALTY * math.log(n) / 12  # 1 / 12: variance of uniform ranks
    search = ruptures.KernelCPD(kernel="linear", min_size=shortest).fit(ranks.reshape(-1, 1))
    return [int(cut) for cut in search.predict(pen=penalty)[:-1]]
