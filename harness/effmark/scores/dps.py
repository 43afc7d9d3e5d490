"""Differential performance score (EvalPerf): how much of all solutions a sample is as fast as.

References are ordered slow to fast, one per cluster of solutions, each the SLOWEST of its cluster;
score_j = cumulative percentage of solutions in clusters 0..j, the last 100. A sample of cost x
matches the FASTEST cluster j with x <= cost(ref_j): DPS = score_j, DPS_norm = 100 (j + 1) / n;
slower than ref_0, time-out or error: 0, cluster -1. The search starts at the fast end, so that
references which measure out of order are used as they are.

Task value = mean over the profiled samples; failing samples are not profiled. Model value = mean
over its tasks with a value. Models have values on different tasks, so rank them pairwise: mean over
the tasks that both have, win 1, tie 1/2; the task win rate pools all (task, opponent) pairs.

Source: Liu et al., COLM 2024, arXiv 2408.06450; read in evalplus/evalplus @ 26d6d00bb1fd. Cost is
CPU instructions there; a substitute (time) must be labelled. Fault of the reference code: its mean
over no profiled sample raises; here that is None.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from effmark.scores import _average, _check

Model = TypeVar("Model", bound=Hashable)
Task = TypeVar("Task", bound=Hashable)

# A cumulative sum of percentages may end a rounding error above 100.
SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class DpsScore:
    """Score of one sample on one task."""

    cluster: int
    """Number of the matched cluster, from the slow end; -1 for none."""
    dps: float
    """Percentage of solutions that are no faster than the matched cluster."""
    dps_norm: float
    """Rank of the matched cluster in percent."""


@dataclass(frozen=True, slots=True)
class TaskDps:
    """Score of a model on one task: means over its profiled samples."""

    dps: float
    """Mean DPS, 0 to 100."""
    dps_norm: float
    """Mean DPS_norm, 0 to 100."""
    profiled: int
    """Number of samples that were profiled."""


@dataclass(frozen=True, slots=True)
class WinRates:
    """How often a model wins against the others of a table; None with nobody to compare with."""

    model: float | None
    """Share of opponents beaten on the tasks that both have; a tie is 1/2."""
    task: float | None
    """Share of (task, opponent) pairs won; a tie is 1/2."""


def differential_performance_score(
    cost: float | None, reference_costs: Sequence[float], reference_scores: Sequence[float]
) -> DpsScore:
    """Return cluster, DPS and DPS_norm of a sample; a ``cost`` of None is a broken profile."""
    costs, scores = _references(reference_costs, reference_scores)
    return _match(cost, "cost", costs, scores)


def task_dps(
    costs: Sequence[float | None],
    reference_costs: Sequence[float],
    reference_scores: Sequence[float],
) -> TaskDps | None:
    """Return the mean DPS and DPS_norm, in percent, of the profiled samples; None without one."""
    steps, scores = _references(reference_costs, reference_scores)
    found = [_match(cost, f"costs[{i}]", steps, scores) for i, cost in enumerate(costs)]
    if not found:
        return None
    dps = _average.mean([score.dps for score in found])
    return TaskDps(dps, _average.mean([score.dps_norm for score in found]), len(found))


def coefficient_of_variation(values: Sequence[float]) -> float | None:
    """Return the population standard deviation in percent of the mean; None where that is 0."""
    found = _check.numbers("values", values)
    mean = _average.mean(found)
    return None if mean == 0 else 100 * _average.population_std(found) / mean


def model_dps(task_scores: Mapping[Task, float | None]) -> float | None:
    """Return the mean score over the tasks that have one; None without any."""
    found = list(_scores("task_scores", task_scores).values())
    return _average.mean(found) if found else None


def aligned_dps(
    first: Mapping[Task, float | None], second: Mapping[Task, float | None]
) -> tuple[float, float] | None:
    """Return both mean scores over the tasks that both have; None without a common task."""
    ours, theirs = _scores("first", first), _scores("second", second)
    common = [task for task in ours if task in theirs]
    if not common:
        return None
    return _average.mean([ours[t] for t in common]), _average.mean([theirs[t] for t in common])


def dps_win_rates(
    task_scores: Mapping[Model, Mapping[Task, float | None]],
) -> dict[Model, WinRates]:
    """Return each model's win rates, in 0..1, against the others of the table."""
    table = {m: _scores(f"task_scores[{m!r}]", row) for m, row in task_scores.items()}
    return {
        model: _win_rates(row, [other for name, other in table.items() if name != model])
        for model, row in table.items()
    }


def _references(
    reference_costs: Sequence[float], reference_scores: Sequence[float]
) -> tuple[list[float], list[float]]:
    _check.same_length("reference_costs", reference_costs, "reference_scores", reference_scores)
    costs = _check.numbers("reference_costs", reference_costs, above=0)
    scores = _check.numbers("reference_scores", reference_scores, least=-SLACK, most=100 + SLACK)
    return costs, scores


def _match(
    cost: float | None, name: str, costs: Sequence[float], scores: Sequence[float]
) -> DpsScore:
    if cost is not None:
        _check.number(name, cost, least=0)
        for cluster in reversed(range(len(costs))):
            if cost <= costs[cluster]:
                return DpsScore(cluster, float(scores[cluster]), 100 * (cluster + 1) / len(costs))
    return DpsScore(-1, 0.0, 0.0)


def _scores(name: str, row: Mapping[Task, float | None]) -> dict[Task, float]:
    return {
        task: _check.number(f"{name}[{task!r}]", score, least=-SLACK, most=100 + SLACK)
        for task, score in row.items()
        if score is not None
    }


def _win_rates(ours: Mapping[Task, float], others: Sequence[Mapping[Task, float]]) -> WinRates:
    models: list[float] = []
    tasks: list[float] = []
    for theirs in others:
        common = [task for task in ours if task in theirs]
        if common:
            mine = math.fsum(ours[task] for task in common)
            models.append(_win(mine, math.fsum(theirs[task] for task in common)))
            tasks += [_win(ours[task], theirs[task]) for task in common]
    if not models:
        return WinRates(None, None)
    return WinRates(_average.mean(models), _average.mean(tasks))


def _win(mine: float, other: float) -> float:
    return 1.0 if mine > other else 0.5 if mine == other else 0.0
