"""Decision reliability of a benchmark, and the rank correlation under it."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effmark.scores import bootstrap_indices, dior, kendall_tau_b

Oracles = Callable[[str], Any]
RANKS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=15)


def sign(value: int) -> int:
    return (value > 0) - (value < 0)


@given(RANKS)
def test_tau_is_the_sum_over_all_pairs(points: list[tuple[int, int]]) -> None:
    signs = [(sign(a[0] - b[0]), sign(a[1] - b[1])) for a, b in combinations(points, 2)]
    untied = [sum(pair[side] != 0 for pair in signs) for side in (0, 1)]
    found = kendall_tau_b([x for x, _ in points], [y for _, y in points])
    if 0 in untied:
        assert found is None
    else:
        expected = sum(a * b for a, b in signs) / math.sqrt(untied[0] * untied[1])
        assert found == pytest.approx(expected)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=15, unique=True))
def test_a_ranking_agrees_with_itself_and_opposes_its_reverse(values: list[float]) -> None:
    assert kendall_tau_b(values, values) == 1.0
    assert kendall_tau_b(values, [-v for v in values]) == -1.0


def test_an_infinite_cost_ranks_last() -> None:
    assert kendall_tau_b([1.0, 2.0, math.inf], [1.0, 2.0, 3.0]) == 1.0


def test_indices_are_uniform() -> None:
    draws = bootstrap_indices(5, 100, 200, seed=9)
    counts = [sum(row.count(index) for row in draws) for index in range(5)]
    # 20,000 draws at p = 0.2: standard deviation 57.
    assert all(abs(count - 4000) < 4 * 57 for count in counts)


def test_indices_are_fixed_by_the_seed() -> None:
    assert bootstrap_indices(7, 4, 3, seed=1) == bootstrap_indices(7, 4, 3, seed=1)
    assert bootstrap_indices(7, 4, 3, seed=1) != bootstrap_indices(7, 4, 3, seed=2)


def test_a_model_that_wins_everywhere_is_never_doubted() -> None:
    scores = [[0.9] * 8, [0.5] * 8, [0.1] * 8]
    found = dior(scores, bootstrap_indices(8, 8, 50, seed=3))
    assert (found.value, found.switch_rate, found.max_difference) == (1.0, 0.0, 0.0)
    assert found.win_rates == (1.0, 0.5, 0.0)


def test_tied_models_have_no_tau_and_never_keep_a_strict_order() -> None:
    found = dior([[0.5, 0.5], [0.5, 0.5]], [[0, 1], [1, 1]])
    assert found.value is None
    assert found.taus == (None, None)
    assert (found.undefined, found.switch_rate) == (2, 1.0)


@given(st.integers(0, 1000))
def test_the_two_sided_bound_is_never_above_the_one_sided(seed: int) -> None:
    scores = [[0.3, 0.9, 0.4, 0.5], [0.2, 0.8, 0.9, 0.1], [0.7, 0.1, 0.6, 0.2]]
    resamples = bootstrap_indices(4, 4, 30, seed=seed)
    one, two = dior(scores, resamples), dior(scores, resamples, sided="two")
    assert one.value is not None
    assert two.value is not None
    assert two.value <= one.value
    assert one.taus == two.taus


def test_more_columns_are_more_reliable() -> None:
    # Model a beats b in two thirds of the columns.
    few, many = 6, 60
    values = []
    for columns in (few, many):
        a = [1.0 if i % 3 else 0.0 for i in range(columns)]
        scores = [a, [0.5] * columns, [-1.0] * columns]
        values.append(dior(scores, bootstrap_indices(columns, columns, 300, seed=4)).switch_rate)
    assert values[1] < values[0]


@pytest.mark.parametrize("resamples", [[], [[]], [[0.0]]])
def test_impossible_resamples_are_refused(resamples: Any) -> None:
    with pytest.raises(ValueError, match="resamples"):
        dior([[1.0], [2.0]], resamples)


def test_reliability_agrees_with_exact_arithmetic(oracles: Oracles) -> None:
    for case in oracles("dior_formula")["cases"]:
        one = dior(case["scores"], case["resample_indices"])
        two = dior(case["scores"], case["resample_indices"], sided="two")
        assert list(one.win_rates) == pytest.approx(case["mean_win_rate_full"], rel=1e-9)
        assert one.undefined == case["undefined_tau"]
        wanted = case["kendall_tau_b"]
        defined = [tau for tau in one.taus if tau is not None]
        assert defined == pytest.approx([tau for tau in wanted if tau is not None], rel=1e-9)
        assert one.value == pytest.approx(case["dior_one_sided_5pct"], rel=1e-9)
        assert two.value == pytest.approx(case["dior_two_sided_lower_2_5pct"], rel=1e-9)
        assert one.switch_rate == pytest.approx(case["top2_switch_rate"], rel=1e-9)
        assert one.max_difference == pytest.approx(case["mean_of_max_abs_mwr_diff"], rel=1e-9)
