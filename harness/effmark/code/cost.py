"""Cost-of-pass from a ledger, in any currency: per problem and per data set, kept apart.

Per problem: mean cost of an attempt / mean score of an attempt; infinite where nothing was solved,
and so is then the mean over problems. Over the data set: sum of costs / sum of scores. They answer
different questions and never compare. The interval resamples problems, then attempts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from effmark.code.ledger import Attempt
from effmark.code.prices import Currency, Prices
from effmark.scores import (
    cost_of_pass,
    dataset_cost_of_pass,
    essentialness,
    frontier_by_problem,
    frontier_cost_of_pass,
)

__all__ = ["Tries", "cost_document", "dataset_value", "tries_of", "written"]

_DRAWS = 1000

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
) -> dict[str, Any]:
    """Return what `effmark score cost --json` prints; infinite values are written "inf"."""
    problems = list(dict.fromkeys(problem for tries in models.values() for problem in tries))
    values = {model: _by_problem(tries) for model, tries in models.items()}
    return {
        "currency": currency,
        "prices_version": prices_version,
        "baseline": baseline,
        "problems_count": len(problems),
        "models": {model: _model(tries, problems) for model, tries in models.items()},
        "frontier": {
            "models_only": _frontier(values, problems, None),
            "with_baseline": None if baseline is None else _frontier(values, problems, baseline),
        },
        "essentialness": {model: _essential(values, model, problems, baseline) for model in models},
    }


def dataset_value(tries: Tries) -> float:
    """Return the data set's cost-of-pass: sums over problems of mean cost and mean score."""
    costs = [_mean([cost for cost, _ in row]) for row in tries.values()]
    scores = [_mean([score for _, score in row]) for row in tries.values()]
    return dataset_cost_of_pass(costs, scores)


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
        "dataset": _interval(tries, dataset_value),
        "per_problem": {problem: written(value) for problem, value in by_problem.items()},
    }


def _interval(tries: Tries, statistic: Callable[[Tries], float]) -> dict[str, Any]:
    """Return a value with its 95 % percentile interval; bounds may be infinite."""
    random = Random(0)
    rows = list(tries.values())
    draws = sorted(
        statistic(
            {
                str(i): random.choices(row, k=len(row))
                for i, row in enumerate(random.choices(rows, k=len(rows)))
            }
        )
        for _ in range(_DRAWS)
    )
    return {
        "value": written(statistic(tries)),
        "low": written(draws[int(0.025 * _DRAWS)]),
        "high": written(draws[int(0.975 * _DRAWS)]),
        "infinite_draws_ratio": sum(map(math.isinf, draws)) / _DRAWS,
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
    model: str,
    problems: Sequence[str],
    baseline: float | None,
) -> float | dict[str, str]:
    found = essentialness(values, [model], baseline_usd=baseline, problems=problems)
    if found is None:
        return {"missing": "undefined", "detail": "the cost without it is 0 or stays infinite"}
    return found


def written(value: float) -> float | str:
    """Return a value as JSON can hold it."""
    return "inf" if math.isinf(value) else value


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
