"""Frontier cost-of-pass of a family of models: what the cheapest way to a correct answer costs.

Frontier of a problem = min over models of their cost-of-pass; with a human baseline, the min of
that and the baseline's cost. Task value V = plain mean over problems; infinite if one problem is.
Progress: V after each release / V of the baseline alone. Relative gain = (before - after) / before.
Essentialness of a group = (V(without it) - V(all)) / V(without it), in [0, 1].

Source: Erol et al., arXiv 2504.13359; read in mhamzaerol/Cost-of-Pass @ 6eb78899bc64, which raises
where a frontier is infinite; here it is inf.

Fault of the reference code: problems without a completed record vanish from the mean, so a family
that gives up on hard problems looks cheaper. Pass ``problems`` to say what the task consists of.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from effmark.scores import _average, _check

Model = TypeVar("Model", bound=Hashable)
Problem = TypeVar("Problem", bound=Hashable)


@dataclass(frozen=True, slots=True)
class FrontierStep:
    """What the release of one model did to the frontier."""

    model: Hashable
    """The model that was released."""
    frontier_usd: float
    """Frontier cost-of-pass in USD with this and all earlier models; may be inf."""
    normalised: float | None
    """That as a share of the baseline alone; None if the baseline is free."""
    relative_gain: float | None
    """Gain over the step before, the first over the baseline; None if that was free."""


def frontier_by_problem(
    values: Mapping[Model, Mapping[Problem, float]],
    *,
    baseline_usd: float | None = None,
    problems: Sequence[Problem] | None = None,
) -> dict[Problem, float]:
    """Return the frontier in USD of each problem; one that nobody tried: the baseline, else inf."""
    wanted = _problems(values, problems)
    highest = _baseline(baseline_usd)
    rows = values.values()
    return {
        problem: float(min([highest, *(row[problem] for row in rows if problem in row)]))
        for problem in wanted
    }


def frontier_cost_of_pass(
    values: Mapping[Model, Mapping[Problem, float]],
    *,
    baseline_usd: float | None = None,
    problems: Sequence[Problem] | None = None,
) -> float:
    """Return the mean frontier in USD over problems; without any, the baseline, else inf."""
    frontier = frontier_by_problem(values, baseline_usd=baseline_usd, problems=problems)
    return _average.mean(frontier.values()) if frontier else _baseline(baseline_usd)


def frontier_progress(
    values: Mapping[Model, Mapping[Problem, float]],
    release_order: Sequence[Model],
    *,
    baseline_usd: float,
    problems: Sequence[Problem] | None = None,
) -> tuple[FrontierStep, ...]:
    """Return what each release in turn did to the frontier, over the problems of all models."""
    wanted = _problems(values, problems)
    before = _baseline(baseline_usd)
    _check.distinct("release_order", release_order)
    _known("release_order", release_order, values)
    frontier = dict.fromkeys(wanted, before)
    steps = []
    for model in release_order:
        row = values[model]
        frontier = {p: min(usd, row.get(p, math.inf)) for p, usd in frontier.items()}
        after = _average.mean(frontier.values()) if frontier else before
        share = after / baseline_usd if baseline_usd > 0 else None
        steps.append(FrontierStep(model, after, share, relative_gain(before, after)))
        before = after
    return tuple(steps)


def essentialness(
    values: Mapping[Model, Mapping[Problem, float]],
    group: Iterable[Model],
    *,
    baseline_usd: float | None = None,
    problems: Sequence[Problem] | None = None,
) -> float | None:
    """Return the share of the cost without ``group`` that the group saves, in [0, 1].

    1 where only the group makes it finite; None where the cost without it is 0 or stays infinite.
    """
    members = list(group)
    _check.not_empty("group", members)
    _known("group", members, values)
    wanted = _problems(values, problems)
    if not wanted:
        return None
    others = {model: row for model, row in values.items() if model not in members}
    without = frontier_cost_of_pass(others, baseline_usd=baseline_usd, problems=wanted)
    everyone = frontier_cost_of_pass(values, baseline_usd=baseline_usd, problems=wanted)
    return relative_gain(without, everyone)


def relative_gain(before: float, after: float) -> float | None:
    """Return (before - after) / before; a loss is negative, None from 0 or from inf to inf."""
    _check.number("before", before, least=0, infinite=True)
    _check.number("after", after, least=0, infinite=True)
    if before == 0:
        return None
    if math.isinf(before):
        return None if math.isinf(after) else 1.0
    return (before - after) / before


def _baseline(baseline_usd: float | None) -> float:
    if baseline_usd is None:
        return math.inf
    return float(_check.number("baseline_usd", baseline_usd, least=0))


def _problems(
    values: Mapping[Model, Mapping[Problem, float]], problems: Sequence[Problem] | None
) -> list[Problem]:
    """Check the table and return the problems asked for, by default in order of appearance."""
    for model, row in values.items():
        for problem, usd in row.items():
            _check.number(f"values[{model!r}][{problem!r}]", usd, least=0, infinite=True)
    if problems is None:
        return list(dict.fromkeys(problem for row in values.values() for problem in row))
    _check.not_empty("problems", problems)
    _check.distinct("problems", problems)
    return list(problems)


def _known(name: str, models: Iterable[Model], values: Mapping[Model, object]) -> None:
    for model in models:
        if model not in values:
            raise ValueError(f"{name} must name models of values, got {model!r}")
