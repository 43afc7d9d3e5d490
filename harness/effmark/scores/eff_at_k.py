"""eff@k and pass@k: the expected best of k samples, estimated without bias from n.

eff@k = sum over r = k..n of C(r-1, k-1) / C(n, k) * e_(r), with the n scores ascending. The weights
follow w_n = k / n and w_(r-1) = w_r * (r - k) / (r - 1), because float binomials overflow near
n = 1000. pass@k = 1 - C(n-c, k) / C(n, k), the case of scores 0 and 1. The value of a benchmark is
the plain mean over its problems.

Sources: Qiu et al., ICLR 2025, arXiv 2406.06647 (eff@k); Chen et al. 2021, arXiv 2107.03374
(pass@k); read in q-rz/enamel @ b97da79c779b and openai/human-eval @ 6d43fb980f9f.

Faults of the reference code that are not followed: both pass@k functions return 1.0 for k > n, even
where nothing passed, and eff@k returns 0.0 there; the evaluator drops a k above the smallest number
of samples silently, for all problems. Here that k is an error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from effmark.scores import _average, _check


def eff_at_k(scores: Sequence[float], k: int) -> float:
    """Return the expected best efficiency score of ``k`` of the samples; above 1 is possible."""
    ascending = sorted(_check.numbers("scores", scores, least=0))
    size = len(ascending)
    k = _check.whole("k", k, least=1, most=size)
    weight = k / size
    terms = []
    for rank in range(size, k - 1, -1):
        terms.append(weight * ascending[rank - 1])
        if rank > 1:
            weight *= (rank - k) / (rank - 1)
    return math.fsum(terms)


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the probability that one of ``k`` samples is correct, from ``c`` correct of ``n``."""
    n = _check.whole("n", n, least=1)
    c = _check.whole("c", c, most=n)
    k = _check.whole("k", k, least=1, most=n)
    if n - c < k:
        return 1.0
    # C(n-c, k) / C(n, k) is symmetric in c and k: take the product with fewer factors.
    few, many = min(c, k), max(c, k)
    log_all_wrong = math.fsum(math.log1p(-many / i) for i in range(n - few + 1, n + 1))
    return 0.0 - math.expm1(log_all_wrong)


def benchmark_eff_at_k(scores: Sequence[Sequence[float]], k: int) -> float:
    """Return the mean eff@k over problems; ``scores[problem][sample]``."""
    _check.not_empty("scores", scores)
    for index, row in enumerate(scores):
        _enough_samples(f"scores[{index}]", row, k)
    return _average.mean([eff_at_k(row, k) for row in scores])


def benchmark_pass_at_k(passed: Sequence[Sequence[bool]], k: int) -> float:
    """Return the mean pass@k over problems; ``passed[problem][sample]``."""
    _check.not_empty("passed", passed)
    for index, row in enumerate(passed):
        _enough_samples(f"passed[{index}]", row, k)
        for sample, flag in enumerate(row):
            _check.whole(f"passed[{index}][{sample}]", flag, most=1)
    return _average.mean([pass_at_k(len(row), sum(row), k) for row in passed])


def _enough_samples(name: str, row: Sequence[float], k: int) -> None:
    _check.whole("k", k, least=1)
    if len(row) < k:
        raise ValueError(f"{name} must hold at least k = {k} samples, got {len(row)}")
