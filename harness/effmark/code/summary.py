"""Problems to a benchmark value: eff@k, pass@k and DPS with intervals.

The interval resamples problems, and within each its samples; repeats of a measurement are no
independent observations. One sample per problem leaves only the problems to resample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from effmark.code.scoring import ProblemScore, SampleScore
from effmark.scores import eff_at_k, pass_at_k, quantile

__all__ = ["KS", "problem_value", "summary"]

KS = (1, 10, 100)
"""The k that are always given where there are samples enough."""
_DRAWS = 1000
_POOL = 100
"""Resamplings of a problem's samples that the draws choose from."""

Statistic = Callable[[Sequence[SampleScore]], float | None]


def summary(problems: Sequence[ProblemScore], ks: Sequence[int]) -> dict[str, Any]:
    """Return the values over all problems, such as `pass@1`, `eff@10`, `dps`, by name."""
    found: dict[str, Any] = {}
    for name, statistic, scored in _statistics(problems, ks):
        found[name] = _absent(name, problems, scored) or _interval(scored, statistic)
    return found


def problem_value(problem: ProblemScore, ks: Sequence[int]) -> dict[str, Any]:
    """Return the values of one problem, by name."""
    return {
        name: _absent(name, [problem], scored) or _interval(scored, statistic)
        for name, statistic, scored in _statistics([problem], ks)
    }


def _statistics(
    problems: Sequence[ProblemScore], ks: Sequence[int]
) -> list[tuple[str, Statistic, list[list[SampleScore]]]]:
    """Return each value's name, how it follows from samples, and the samples of each problem."""
    samples = [problem.scored for problem in problems]
    graded = [row for row in samples if row and row[0].score is not None]
    profiled = [[s for s in row if s.dps is not None] for row in samples]
    profiled = [row for row in profiled if row]
    rows: list[tuple[str, Statistic, list[list[SampleScore]]]] = []
    for k in ks:
        rows.append((f"pass@{k}", lambda row, k=k: _pass(row, k), samples))  # type: ignore[misc]
    for k in ks:
        rows.append((f"eff@{k}", lambda row, k=k: _eff(row, k), graded))  # type: ignore[misc]
    rows.append(("dps", lambda row: _mean([s.dps or 0.0 for s in row]), profiled))
    rows.append(("dps_norm", lambda row: _mean([s.dps_norm or 0.0 for s in row]), profiled))
    return rows


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


def _interval(rows: Sequence[Sequence[SampleScore]], statistic: Statistic) -> dict[str, Any]:
    """Return value and 95 % percentile interval of the mean over problems."""
    random = Random(0)
    value = _mean([statistic(row) or 0.0 for row in rows])
    pools = [_pool(row, statistic, random) for row in rows]
    if len(rows) == 1:
        draws = pools[0]
    else:
        draws = [_mean([random.choice(random.choice(pools)) for _ in pools]) for _ in range(_DRAWS)]
    if len(draws) < 2:
        return {"value": value, "low": None, "high": None}
    return {"value": value, "low": quantile(draws, 0.025), "high": quantile(draws, 0.975)}


def _pool(row: Sequence[SampleScore], statistic: Statistic, random: Random) -> list[float]:
    """Return values of a problem under resampling of its samples; one where it has one sample."""
    if len(row) < 2:
        return [statistic(row) or 0.0]
    return [statistic(random.choices(row, k=len(row))) or 0.0 for _ in range(_POOL)]
