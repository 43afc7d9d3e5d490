"""Problems to a benchmark value: eff@k, pass@k and DPS with intervals.

The interval resamples problems, and within each its samples; repeats of a measurement are no
independent observations. One sample per problem leaves only the problems to resample.

A resampling of equal values has no width, and would claim certainty where everything passed, or
nothing did. So pass@k of problems that are each all right or all wrong has Wilson's interval for
their share, pass@k of a single problem that of its samples (p becomes 1 - (1 - p)^k), and any other
value that is the same throughout may differ in as large a share as Wilson allows for 0 of n, by as
much as its definition lets it: pass@k and DPS by their range, eff@k up to alpha / (alpha - 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from effmark.code.bout import ALPHA
from effmark.code.scoring import ProblemScore, SampleScore
from effmark.scores import eff_at_k, pass_at_k, quantile
from effmark.stats import proportion_interval

__all__ = ["KS", "problem_value", "summary"]

KS = (1, 10, 100)
"""The k that are always given where there are samples enough."""
_DRAWS = 1000
_POOL = 100
"""Resamplings of a problem's samples that the draws choose from."""

_MOST_EFF = ALPHA / (ALPHA - 1)
"""Efficiency score of a sample that takes no time at all."""


@dataclass(frozen=True)
class _Score:
    """One of the values: how it follows from the samples of a problem."""

    name: str
    of: Callable[[Sequence[SampleScore]], float]
    rows: list[list[SampleScore]]
    """The samples of each problem that has some."""
    most: float
    """Largest value that a problem can have; the least is 0."""
    pass_k: int = 0
    """k of pass@k, 0 for the others."""


def summary(problems: Sequence[ProblemScore], ks: Sequence[int]) -> dict[str, Any]:
    """Return the values over all problems, such as `pass@1`, `eff@10`, `dps`, by name."""
    return {
        score.name: _absent(score.name, problems, score.rows) or _interval(score)
        for score in _scores(problems, ks)
    }


def problem_value(problem: ProblemScore, ks: Sequence[int]) -> dict[str, Any]:
    """Return the values of one problem, by name."""
    return summary([problem], ks)


def _scores(problems: Sequence[ProblemScore], ks: Sequence[int]) -> list[_Score]:
    samples = [problem.scored for problem in problems]
    graded = [row for row in samples if row and row[0].score is not None]
    profiled = [[s for s in row if s.dps is not None] for row in samples]
    profiled = [row for row in profiled if row]
    return [
        *(_Score(f"pass@{k}", lambda row, k=k: _pass(row, k), samples, 1.0, k) for k in ks),  # type: ignore[misc]
        *(_Score(f"eff@{k}", lambda row, k=k: _eff(row, k), graded, _MOST_EFF) for k in ks),  # type: ignore[misc]
        _Score("dps", lambda row: _mean([s.dps or 0.0 for s in row]), profiled, 100.0),
        _Score("dps_norm", lambda row: _mean([s.dps_norm or 0.0 for s in row]), profiled, 100.0),
    ]


def _absent(
    name: str, problems: Sequence[ProblemScore], scored: Sequence[Sequence[SampleScore]]
) -> dict[str, str] | None:
    """Return why there is no value, or None where there is one."""
    if name.startswith("dps"):
        if not any(problem.ladder for problem in problems):
            passed = any(s.passed for problem in problems for s in problem.samples)
            graded = any(s.score is not None for problem in problems for s in problem.samples)
            if graded and not passed:
                return {"missing": "undefined", "detail": "no sample passed: nothing to profile"}
            return {"missing": "not_applicable", "detail": "the set has no ladder of references"}
        return None if scored else {"missing": "undefined", "detail": "no sample was profiled"}
    if name.startswith("eff") and not scored:
        return {"missing": "not_applicable", "detail": "the set has no graded inputs"}
    k = int(name.partition("@")[2])
    fewest = min((len(row) for row in scored), default=0)
    if fewest < k:
        detail = f"a problem has {fewest} scored samples, {name} needs {k} of each"
        return {"missing": "too_few_samples", "detail": detail}
    return None


def _pass(row: Sequence[SampleScore], k: int) -> float:
    return pass_at_k(len(row), sum(sample.passed for sample in row), k)


def _eff(row: Sequence[SampleScore], k: int) -> float:
    return eff_at_k([sample.score or 0.0 for sample in row], k)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _interval(score: _Score) -> dict[str, Any]:
    """Return value and 95 % interval of the mean over problems."""
    values = [score.of(row) for row in score.rows]
    bounds = _bounds_of_one(score) if len(values) == 1 else _bounds(score, values)
    return {"value": _mean(values), "low": bounds[0], "high": bounds[1]}


def _bounds_of_one(score: _Score) -> tuple[float | None, float | None]:
    """Return the bounds for a single problem, whose samples are then what is resampled."""
    (row,) = score.rows
    if score.pass_k:
        share = proportion_interval(sum(sample.passed for sample in row), len(row))
        low, high = (1 - (1 - (p or 0.0)) ** score.pass_k for p in (share.low, share.high))
        return low, high
    if len(row) < 2:
        return None, None
    return _widened(_pool(score, row, Random(0)), len(row), score.most)


def _bounds(score: _Score, values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the bounds of the mean over several problems."""
    if score.pass_k and set(values) <= {0.0, 1.0}:
        share = proportion_interval(round(sum(values)), len(values))
        return share.low, share.high
    random = Random(0)
    pools = [_pool(score, row, random) for row in score.rows]
    draws = [_mean([random.choice(random.choice(pools)) for _ in pools]) for _ in range(_DRAWS)]
    return _widened(draws, len(values), score.most)


def _widened(draws: Sequence[float], n: int, most: float) -> tuple[float | None, float | None]:
    """Return the percentiles of draws; where all are equal, what n equal observations allow."""
    low, high = quantile(draws, 0.025), quantile(draws, 0.975)
    if min(draws) < max(draws):
        return low, high
    value, unseen = draws[0], proportion_interval(0, n).high or 0.0
    return value * (1 - unseen), value + max(0.0, most - value) * unseen


def _pool(score: _Score, row: Sequence[SampleScore], random: Random) -> list[float]:
    """Return values of a problem under resampling of its samples; one where it has one sample."""
    if len(row) < 2:
        return [score.of(row)]
    return [score.of(random.choices(row, k=len(row))) for _ in range(_POOL)]
