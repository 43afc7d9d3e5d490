"""How far apart two answers are: log-probabilities [positions, vocabulary] against a reference's.

The Kullback-Leibler divergence KL(reference || other) is in nats, the mean over positions. What a
large one is depends on the model: a flat one has little to lose. Its scale is the divergence that
remains when the text before is forgotten, KL(reference || mean over positions of the reference).
"""

from __future__ import annotations

from dataclasses import dataclass

from effmark.adapter import Array

__all__ = ["Distance", "distance"]

CLEAR_MARGIN_NATS = 1.0
"""Between the best and the second-best token, above which a position has a clear answer."""


@dataclass(frozen=True)
class Distance:
    """Of one set of rows from the reference's."""

    largest_ratio: float
    """Largest difference of a log-probability / largest of the reference's from its row's mean."""
    kl_nats: float
    kl_ratio: float
    """`kl_nats` / the divergence of a model that has forgotten the text; 1 is collapse."""
    top1_agreement_ratio: float
    clear_agreement_ratio: float | None
    """The same over positions with a clear answer; None where there are fewer than 10."""
    worst_row: int
    """Position of the largest difference."""


def distance(reference: Array, other: Array, all_rows: Array | None = None) -> Distance:
    """Return how far `other` is from the reference; columns that only one has are left out.

    Args:
        reference: log-probabilities [positions, vocabulary].
        other: the same of what is held against it.
        all_rows: more rows of the reference, which tell better than a few what forgetting is.

    Raises:
        ValueError: there is a NaN, or the numbers of rows differ.
    """
    import numpy as np

    if len(reference) != len(other):
        raise ValueError(f"{len(other)} rows came, {len(reference)} were asked for")
    if np.isnan(other).any():
        raise ValueError("a log-probability is no number")
    shared = min(reference.shape[1], other.shape[1])
    wanted, got = (_normalised(rows[:, :shared]) for rows in (reference, other))
    scale = wanted if all_rows is None else _normalised(all_rows[:, :shared])
    apart = np.abs(wanted - got).max(axis=1)
    spread = np.abs(wanted - wanted.mean(axis=1, keepdims=True)).max()
    same = wanted.argmax(axis=1) == got.argmax(axis=1)
    best = np.partition(wanted, -2, axis=1)
    clear = best[:, -1] - best[:, -2] > CLEAR_MARGIN_NATS
    kl = float(_divergence(wanted, got).mean())
    return Distance(
        largest_ratio=float(apart.max() / max(spread, _TINY)),
        kl_nats=kl,
        kl_ratio=kl / max(_forgotten(scale), _TINY),
        top1_agreement_ratio=float(same.mean()),
        clear_agreement_ratio=float(same[clear].mean()) if clear.sum() >= _FEWEST_CLEAR else None,
        worst_row=int(apart.argmax()),
    )


_TINY = 1e-9
_FEWEST_CLEAR = 10
_LEAST_LOG_PROB = -60.0
"""What is less likely than e^-60 is nothing; it keeps minus infinity out of differences."""


def _normalised(rows: Array) -> Array:
    """Return rows of which each sums to 1 over its columns, in float64."""
    import numpy as np

    raised = np.maximum(np.asarray(rows, np.float64), _LEAST_LOG_PROB)
    return raised - np.logaddexp.reduce(raised, axis=1, keepdims=True)


def _divergence(wanted: Array, got: Array) -> Array:
    """Return KL(wanted || got) of each row in nats, never below 0 by rounding."""
    import numpy as np

    return np.maximum((np.exp(wanted) * (wanted - got)).sum(axis=1), 0.0)


def _forgotten(wanted: Array) -> float:
    """Return the mean divergence of the rows from their common mean distribution."""
    import numpy as np

    mean = np.logaddexp.reduce(wanted, axis=0, keepdims=True) - np.log(len(wanted))
    return float(_divergence(wanted, mean).mean())
