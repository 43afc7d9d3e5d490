"""Mean win rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effmark.scores import mean_win_rate

Oracles = Callable[[str], Any]
TABLES = st.integers(1, 4).flatmap(
    lambda columns: st.lists(
        st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=columns, max_size=columns),
        min_size=2,
        max_size=6,
    )
)


@given(TABLES)
def test_with_half_a_win_per_tie_the_rates_average_one_half(table: list[list[float]]) -> None:
    rates = [rate for rate in mean_win_rate(table) if rate is not None]
    assert len(rates) == len(table)
    assert math.fsum(rates) / len(rates) == pytest.approx(0.5)


@given(TABLES)
def test_turning_the_direction_round_turns_the_rates_round(table: list[list[float]]) -> None:
    higher = mean_win_rate(table)
    lower = mean_win_rate(table, [True] * len(table[0]))
    assert [1 - rate for rate in higher if rate is not None] == pytest.approx(lower)


@given(TABLES)
def test_without_tie_wins_no_rate_rises(table: list[list[float]]) -> None:
    half, none = mean_win_rate(table), mean_win_rate(table, ties="none")
    pairs = [(a, b) for a, b in zip(half, none, strict=True) if a is not None and b is not None]
    assert all(b <= a + 1e-12 for a, b in pairs)


@given(TABLES, st.floats(0.1, 10))
def test_only_the_order_within_a_column_matters(table: list[list[float]], factor: float) -> None:
    assert mean_win_rate([[x * factor for x in row] for row in table]) == mean_win_rate(table)


def test_an_infinite_cost_loses_and_ties_with_its_like() -> None:
    rates = mean_win_rate([[2.0], [math.inf], [math.inf]], [True])
    assert rates == [1.0, 0.25, 0.25]


def test_directions_must_fit_the_columns() -> None:
    with pytest.raises(ValueError, match=r"lower_is_better and .* must have the same length"):
        mean_win_rate([[1.0], [2.0]], [True, False])


def test_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scores\[1\]\[0\] must be a number, got nan"):
        mean_win_rate([[1.0], [math.nan]])


def test_win_rates_agree_with_helm(oracles: Oracles) -> None:
    for case in oracles("helm_win_rate")["cases"]:
        found = mean_win_rate(
            case["rows"], case["lower_is_better"], aggregation=case["aggregation"]
        )
        wanted = case["win_rates"]
        assert [x is None for x in found] == [x is None for x in wanted], case["name"]
        assert [x for x in found if x is not None] == pytest.approx(
            [x for x in wanted if x is not None], rel=1e-9
        ), case["name"]
