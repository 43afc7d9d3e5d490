"""Cost-of-pass and the frontier of a family of models."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effmark.scores import (
    attempt_cost,
    cost_of_pass,
    dataset_cost_of_pass,
    essentialness,
    frontier_by_problem,
    frontier_cost_of_pass,
    frontier_progress,
    relative_gain,
    run_cost,
)

Oracles = Callable[[str], Any]
Table = dict[str, dict[int, float]]

ATTEMPTS = st.lists(
    st.tuples(st.floats(0, 10), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=9
)
COSTS = st.one_of(st.floats(0.001, 100), st.just(math.inf))
TABLES = st.dictionaries(
    st.sampled_from("abcde"),
    st.dictionaries(st.integers(0, 5), COSTS, min_size=1, max_size=6),
    min_size=1,
    max_size=5,
)


@given(ATTEMPTS, st.randoms(use_true_random=False))
def test_the_order_of_attempts_does_not_matter(
    attempts: list[tuple[float, float]], shuffler: random.Random
) -> None:
    shuffled = list(attempts)
    shuffler.shuffle(shuffled)
    value = cost_of_pass([c for c, _ in attempts], [s for _, s in attempts])
    assert cost_of_pass([c for c, _ in shuffled], [s for _, s in shuffled]) == value


@given(ATTEMPTS)
def test_a_pass_costs_at_least_an_attempt(attempts: list[tuple[float, float]]) -> None:
    costs, scores = [c for c, _ in attempts], [s for _, s in attempts]
    value = cost_of_pass(costs, scores)
    assert value >= math.fsum(costs) / len(costs) * (1 - 1e-12)
    assert math.isinf(value) == (not any(scores))


def test_attempts_until_the_first_pass_cost_the_cost_of_pass() -> None:
    # Geometric waiting: with price 2 and success 0.25, a correct answer costs 8.
    generator = random.Random(5)
    spent = []
    for _ in range(4000):
        attempts = 1
        while generator.random() >= 0.25:
            attempts += 1
        spent.append(2.0 * attempts)
    mean = math.fsum(spent) / len(spent)
    assert mean == pytest.approx(cost_of_pass([2.0] * 4, [1, 0, 0, 0]), rel=0.05)


def test_the_data_set_ratio_stays_finite_where_a_problem_is_unsolved() -> None:
    assert dataset_cost_of_pass([1.0, 3.0], [1.0, 0.0]) == 4.0
    assert frontier_cost_of_pass({"m": {1: 1.0, 2: math.inf}}) == math.inf


def test_power_is_added_to_the_hire() -> None:
    cost = run_cost(3600, 2, 1.5, energy_j=7.2e6, usd_per_kwh=0.25)
    assert cost == pytest.approx(3.0 + 0.5)


@given(TABLES, st.floats(0, 50))
def test_a_baseline_caps_every_problem(values: Table, baseline: float) -> None:
    capped = frontier_by_problem(values, baseline_usd=baseline)
    free = frontier_by_problem(values)
    assert capped == {problem: min(usd, baseline) for problem, usd in free.items()}


@given(TABLES)
def test_the_frontier_only_falls_as_models_are_released(values: Table) -> None:
    steps = frontier_progress(values, sorted(values), baseline_usd=20.0)
    costs = [20.0, *(step.frontier_usd for step in steps)]
    assert all(b <= a + 1e-12 for a, b in itertools.pairwise(costs))
    assert costs[-1] == pytest.approx(frontier_cost_of_pass(values, baseline_usd=20.0))
    assert all(step.relative_gain is not None and step.relative_gain >= -1e-12 for step in steps)


@given(TABLES, st.one_of(st.none(), st.floats(0.01, 50)))
def test_essentialness_is_a_share(values: Table, baseline: float | None) -> None:
    for model in values:
        value = essentialness(values, [model], baseline_usd=baseline)
        assert value is None or -1e-12 <= value <= 1


def test_a_problem_left_out_of_the_table_counts_when_named() -> None:
    values = {"m": {"easy": 1.0}}
    assert frontier_cost_of_pass(values, baseline_usd=9.0) == 1.0
    assert frontier_cost_of_pass(values, baseline_usd=9.0, problems=["easy", "hard"]) == 5.0


def test_an_empty_family_costs_the_baseline() -> None:
    nothing: Table = {}
    assert frontier_cost_of_pass(nothing, baseline_usd=3.5) == 3.5


@pytest.mark.parametrize(
    ("before", "after", "gain"),
    [(4.0, 1.0, 0.75), (1.0, math.inf, -math.inf), (math.inf, math.inf, None)],
)
def test_a_relative_gain_may_be_unbounded_or_undefined(
    before: float, after: float, gain: float | None
) -> None:
    assert relative_gain(before, after) == gain


@pytest.mark.parametrize("name", ["problems", "release_order"])
def test_a_repeated_entry_is_refused(name: str) -> None:
    arguments = {"problems": ["p"], "release_order": ["m"]}
    arguments[name] *= 2
    with pytest.raises(ValueError, match=f"{name} must not repeat an entry"):
        frontier_progress({"m": {"p": 1.0}}, baseline_usd=1.0, **arguments)


def test_an_empty_group_is_refused() -> None:
    with pytest.raises(ValueError, match="group must not be empty"):
        essentialness({"m": {"p": 1.0}}, [])


def attempt(record: dict[str, Any]) -> float:
    return attempt_cost(
        record["prompt_tokens"],
        record["completion_tokens"],
        record["usd_per_prompt_token"],
        record["usd_per_completion_token"],
    )


def test_cost_of_pass_agrees_with_the_authors(oracles: Oracles) -> None:
    for case in oracles("cost_of_pass")["cost_of_pass"]:
        if min(r["usd_per_prompt_token"] for r in case["records"]) < 0:
            with pytest.raises(ValueError, match="usd_per_prompt_token must be at least 0, got -1"):
                attempt(case["records"][0])
            continue
        costs = [attempt(record) for record in case["records"]]
        assert costs == pytest.approx(case["record_costs"], rel=1e-9), case["name"]
        value = cost_of_pass(case["record_costs"], [r["score"] for r in case["records"]])
        assert value == pytest.approx(float(case["cost_of_pass"]), rel=1e-9), case["name"]


def table_of(records: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    values: dict[str, dict[str, float]] = {}
    for model, rows in records.items():
        attempts: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            if row["completed"]:
                attempts.setdefault(str(row["q"]), []).append(row)
        values[model] = {
            q: cost_of_pass([attempt(r) for r in found], [r["score"] for r in found])
            for q, found in attempts.items()
        }
    return values


def number(expected: Any) -> float:
    """Return an expected cost; the authors raise where the frontier is infinite."""
    if isinstance(expected, str):
        assert expected == "inf" or "inifinite" in expected
        return math.inf
    return float(expected)


def check_frontier(family: dict[str, Any]) -> None:
    values, baseline = table_of(family["records"]), family["baseline_usd"]
    expected, name = family["expected"], family["name"]
    for key, usd in (("with_baseline", baseline), ("lm_only", None)):
        by_problem = frontier_by_problem(values, baseline_usd=usd)
        wanted = {q: number(cost) for q, cost in expected[f"per_problem_{key}"].items()}
        assert by_problem == pytest.approx(wanted, rel=1e-9), name
        total = frontier_cost_of_pass(values, baseline_usd=usd)
        assert total == pytest.approx(number(expected[f"frontier_{key}"]), rel=1e-9), name
        for model, cost in expected[f"single_model_{key}"].items():
            alone = frontier_cost_of_pass({model: values[model]}, baseline_usd=usd)
            assert alone == pytest.approx(number(cost), rel=1e-9), (name, model)
    nothing: dict[str, dict[str, float]] = {}
    assert frontier_cost_of_pass(nothing, baseline_usd=baseline) == expected["empty_family"]


def check_progress(family: dict[str, Any]) -> None:
    values, baseline = table_of(family["records"]), family["baseline_usd"]
    expected, name = family["expected"], family["name"]
    steps = frontier_progress(values, family["release"] or [], baseline_usd=baseline)
    for step, wanted in zip(steps, expected.get("release_order", []), strict=True):
        assert step.model == wanted["model"]
        assert step.frontier_usd == pytest.approx(wanted["frontier"], rel=1e-9), name
        assert step.normalised == pytest.approx(wanted["normalised"], rel=1e-9), name
        assert step.relative_gain == pytest.approx(wanted["relative_gain"], rel=1e-9, abs=1e-12)
    groups = [(family["groups"][g], v) for g, v in expected.get("essentialness", {}).items()]
    singles = [([m], v) for m, v in expected.get("counterfactual_single_model", {}).items()]
    for group, wanted in groups + singles:
        value = essentialness(values, group, baseline_usd=baseline)
        assert value == pytest.approx(wanted, rel=1e-9, abs=1e-12), (name, group)


def test_frontiers_agree_with_the_authors(oracles: Oracles) -> None:
    families = oracles("cost_of_pass")["families"]
    for family in families:
        check_frontier(family)
        check_progress(family)
    assert any(family["expected"].get("essentialness") for family in families)


def test_published_rows_of_efficient_agents_are_data_set_ratios(oracles: Oracles) -> None:
    rows = oracles("published_values")["efficient_agents"]["rows"]
    for row in rows:
        value = dataset_cost_of_pass([row["cost_usd"]], [row["accuracy"]])
        assert value == pytest.approx(row["cost_over_accuracy"], abs=5.1e-4), row["name"]
        if row["consistent"]:
            assert value == pytest.approx(row["published_cost_of_pass"], abs=6e-3), row["name"]
