"""The metrics of EfficientLLM: time means of memory, utilisation and power; latency; compression.

AMU = time mean of the memory in use (bytes). PCU = time mean of utilisation / peak (a MEAN, despite
its name, "peak compute utilisation"). AEC = time mean of the power: WATTS, not energy. All three
are ``time_weighted_mean``, by trapezoids, because sampling is irregular. AL = sum(compute +
communication) / N. TT, ST, IT = sum of tokens or samples / sum of time, the first two also per
parameter. MCR = (size original / size compressed) * (score compressed / score original).

Source: arXiv 2505.13840; no metric code is published, the definitions come from two transcriptions
of the paper that agree. Its figures min-max normalise: do not rank normalised values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from effmark.scores import _average, _check, _trapezoid


def time_weighted_mean(
    samples: Sequence[tuple[float, float]],
    *,
    start_s: float | None = None,
    end_s: float | None = None,
) -> float | None:
    """Return the mean over time of (s, value) samples, in the unit of the values.

    The window is cut to the sampled span; None for fewer than two samples or no duration.
    """
    found = _trapezoid.area_and_duration(samples, start_s, end_s)
    return None if found is None else found[0] / found[1]


def average_latency(compute_s: Sequence[float], communication_s: Sequence[float]) -> float:
    """Return the mean over items of compute plus communication time, in seconds."""
    _check.same_length("compute_s", compute_s, "communication_s", communication_s)
    compute = _check.numbers("compute_s", compute_s, least=0)
    communication = _check.numbers("communication_s", communication_s, least=0)
    return _average.mean([a + b for a, b in zip(compute, communication, strict=True)])


def throughput(
    counts: Sequence[float], times_s: Sequence[float], *, parameters: float = 1
) -> float | None:
    """Return items per second, a ratio of sums, per parameter; None where no time passed."""
    _check.same_length("counts", counts, "times_s", times_s)
    total = math.fsum(_check.numbers("counts", counts, least=0))
    seconds = math.fsum(_check.numbers("times_s", times_s, least=0))
    _check.number("parameters", parameters, above=0)
    return total / seconds / parameters if seconds > 0 else None


def model_compression_rate(
    size_original: float, size_compressed: float, score_original: float, score_compressed: float
) -> float:
    """Return how much smaller a model became, times the share of its score that it kept."""
    _check.number("size_original", size_original, above=0)
    _check.number("size_compressed", size_compressed, above=0)
    _check.number("score_original", score_original, above=0)
    _check.number("score_compressed", score_compressed)
    return (size_original / size_compressed) * (score_compressed / score_original)
