"""Cost-of-pass from a ledger, in any currency: per problem and per data set, kept apart.

Per problem: mean cost of an attempt / mean score of an attempt; infinite where nothing was solved,
and so is then the mean over problems. Over the data set: sum of costs / sum of scores. They answer
different questions and never compare. The interval resamples problems, then attempts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any

from effmark.code.cost_interval import at_the_edge, resampled
from effmark.code.ledger import Attempt
from effmark.code.prices import Currency, Prices
from effmark.errors import SpecError
from effmark.scores import (
    cost_of_pass,
    dataset_cost_of_pass,
    essentialness,
    frontier_by_problem,
    frontier_cost_of_pass,
    frontier_progress,
)

__all__ = ["Tries", "cost_document", "per_problem_means", "tries_of", "written"]

Tries = Mapping[str, Sequence[tuple[float, float]]]
"""Cost and score of each attempt, by problem."""


def tries_of(
    attempts: Sequence[Attempt], prices: Prices, currency: Currency
) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Return cost and score of the attempts, by model and problem."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for attempt in attempts:
        cost = math.fsum(prices.cost(call, currency) for call in attempt.calls)
        problems = found.setdefault(attempt.model, {})
        problems.setdefault(attempt.problem, []).append((cost, attempt.score or 0.0))
    return found


def cost_document(
    models: Mapping[str, Tries],
    currency: Currency,
    *,
    baseline: float | None = None,
    prices_version: str | None = None,
    release_order: Sequence[str] = (),
    families: Mapping[str, Sequence[str]] | None = None,
    estimated: bool = False,
) -> dict[str, Any]:
    """Return what `effmark score cost --json` prints; infinite values are written "inf".

    `estimated` says that joules in it come from a model of the hardware.

    Raises:
        SpecError: a release or a family names a model that is not in the ledger, or a release
            order comes without a baseline, from which progress starts.
    """
    problems = list(dict.fromkeys(problem for tries in models.values() for problem in tries))
    values = {model: _by_problem(tries) for model, tries in models.items()}
    groups = {**{model: [model] for model in models}, **(families or {})}
    _check_known("--release-order", release_order, models)
    for name, members in groups.items():
        _check_known(f"--family {name}", members, models)
    return {
        "currency": currency,
        "prices_version": prices_version,
        "estimated": estimated,
        "baseline": baseline,
        "problems_count": len(problems),
        "models": {model: _model(tries, problems) for model, tries in models.items()},
        "frontier": {
            "models_only": _frontier(values, problems, None),
            "with_baseline": None if baseline is None else _frontier(values, problems, baseline),
        },
        "essentialness": {
            name: _essential(values, members, problems, baseline)
            for name, members in groups.items()
        },
        "progress": _progress(values, release_order, problems, baseline),
    }


def _check_known(option: str, names: Iterable[str], models: Mapping[str, Tries]) -> None:
    for name in names:
        if name not in models:
            raise SpecError(f"{option}: no model {name!r} in the ledger; it has {sorted(models)}")


def _progress(
    values: Mapping[str, Mapping[str, float]],
    release_order: Sequence[str],
    problems: Sequence[str],
    baseline: float | None,
) -> list[dict[str, Any]] | None:
    """Return what each release did to the frontier; None where no order is given."""
    if not release_order:
        return None
    if baseline is None:
        raise SpecError("--release-order: progress starts from a human expert; give --baseline")
    if len(set(release_order)) < len(release_order):
        raise SpecError(f"--release-order: a model stands twice in {list(release_order)}")
    steps = frontier_progress(values, release_order, baseline_usd=baseline, problems=problems)
    return [
        {
            "model": step.model,
            "frontier": written(step.frontier_usd),
            "normalised": None if step.normalised is None else written(step.normalised),
            "relative_gain": step.relative_gain,
        }
        for step in steps
    ]


def per_problem_means(tries: Tries) -> tuple[list[float], list[float]]:
    """Return mean cost and mean score of the attempts at each problem."""
    costs = [_mean([cost for cost, _ in row]) for row in tries.values()]
    return costs, [_mean([score for _, score in row]) for row in tries.values()]


def _dataset_value(tries: Tries) -> float:
    return dataset_cost_of_pass(*per_problem_means(tries))


def _mean_of_problems(tries: Tries) -> float:
    return _mean(list(_by_problem(tries).values()))


def _by_problem(tries: Tries) -> dict[str, float]:
    return {
        problem: cost_of_pass([cost for cost, _ in row], [score for _, score in row])
        for problem, row in tries.items()
    }


def _model(tries: Tries, problems: Sequence[str]) -> dict[str, Any]:
    by_problem = _by_problem(tries)
    values = list(by_problem.values())
    return {
        "problems_count": len(tries),
        "untried_count": len(problems) - len(tries),
        "attempts_count": sum(len(row) for row in tries.values()),
        "spent": math.fsum(cost for row in tries.values() for cost, _ in row),
        "unsolved_count": sum(math.isinf(value) for value in values),
        "mean_of_problems": _interval(tries, _mean_of_problems),
        "dataset": _interval(tries, _dataset_value, edge=True),
        "per_problem": {problem: written(value) for problem, value in by_problem.items()},
    }


def _interval(
    tries: Tries, statistic: Callable[[Tries], float], *, edge: bool = False
) -> dict[str, Any]:
    """Return a value with its 95 % percentile interval; bounds may be infinite."""
    rows = list(tries.values())

    def draw(random: Random) -> float:
        problems = random.choices(rows, k=len(rows))
        return statistic({str(i): random.choices(r, k=len(r)) for i, r in enumerate(problems)})

    low, high, infinite = resampled(draw)
    if edge:
        low, high = at_the_edge(*per_problem_means(tries), low, high)
    return {
        "value": written(statistic(tries)),
        "low": written(low),
        "high": written(high),
        "infinite_draws_ratio": infinite,
    }


def _frontier(
    values: Mapping[str, Mapping[str, float]], problems: Sequence[str], baseline: float | None
) -> dict[str, Any]:
    by_problem = frontier_by_problem(values, baseline_usd=baseline, problems=problems)
    mean = frontier_cost_of_pass(values, baseline_usd=baseline, problems=problems)
    return {
        "value": written(mean),
        "unsolved_count": sum(map(math.isinf, by_problem.values())),
        "per_problem": {problem: written(value) for problem, value in by_problem.items()},
    }


def _essential(
    values: Mapping[str, Mapping[str, float]],
    group: Sequence[str],
    problems: Sequence[str],
    baseline: float | None,
) -> float | dict[str, str]:
    found = essentialness(values, group, baseline_usd=baseline, problems=problems)
    if found is None:
        return {"missing": "undefined", "detail": "the cost without it is 0 or stays infinite"}
    return found


def written(value: float) -> float | str:
    """Return a value as JSON can hold it."""
    return "inf" if math.isinf(value) else value


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
