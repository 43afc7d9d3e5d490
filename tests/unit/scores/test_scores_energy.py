"""Energy under power samples, and what is derived from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effmark.scores import (
    energy_delay_product,
    energy_joules,
    joules_per_token,
    zeus_cost,
)

Oracles = Callable[[str], Any]
SAMPLES = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 500)), min_size=2, max_size=20).map(
    sorted
)


@given(SAMPLES, st.floats(0, 100))
def test_two_neighbouring_windows_add_up(samples: list[tuple[float, float]], cut: float) -> None:
    whole = energy_joules(samples) or 0.0
    parts = [energy_joules(samples, end_s=cut), energy_joules(samples, start_s=cut)]
    assert math.fsum(p for p in parts if p is not None) == pytest.approx(whole, rel=1e-9, abs=1e-9)


@given(SAMPLES, st.floats(0, 50), st.floats(0, 50))
def test_a_longer_window_never_holds_less_energy(
    samples: list[tuple[float, float]], start: float, length: float
) -> None:
    short = energy_joules(samples, start_s=start, end_s=start + length)
    longer = energy_joules(samples, start_s=start, end_s=start + length + 1)
    assert short is None or (longer is not None and longer >= short - 1e-9)


@given(SAMPLES)
def test_a_window_beyond_the_samples_is_not_extrapolated(
    samples: list[tuple[float, float]],
) -> None:
    assert energy_joules(samples, start_s=-1e6, end_s=1e6) == energy_joules(samples)


def test_a_ramp_has_the_area_of_a_triangle() -> None:
    assert energy_joules([(0.0, 0.0), (10.0, 100.0)], start_s=2.0, end_s=4.0) == pytest.approx(60)


def test_a_step_at_one_instant_adds_no_energy() -> None:
    assert energy_joules([(0.0, 10.0), (1.0, 10.0), (1.0, 90.0), (2.0, 90.0)]) == 100.0


def test_samples_a_hair_apart_give_a_number() -> None:
    assert energy_joules([(0.0, 2.0), (1e-308, 0.0)]) == pytest.approx(0.0)


def test_a_window_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"end_s must not be before start_s, got 1.0 before 2.0"):
        energy_joules([(0.0, 1.0), (3.0, 1.0)], start_s=2.0, end_s=1.0)


def test_a_negative_power_is_refused_even_where_nothing_can_be_integrated() -> None:
    with pytest.raises(ValueError, match=r"samples\[0\] must be at least 0, got -1.0"):
        energy_joules([(0.0, -1.0)])


@given(st.floats(0, 1e6), st.floats(0, 1e3))
def test_at_fixed_power_the_delay_counts_twice(power: float, seconds: float) -> None:
    product = energy_delay_product(power * seconds, seconds)
    assert product == pytest.approx(power * seconds**2, rel=1e-12, abs=1e-300)


def test_ed2p_weighs_the_delay_more() -> None:
    assert energy_delay_product(3.0, 2.0, exponent=2) == 12.0


def test_no_token_has_no_energy_per_token() -> None:
    assert joules_per_token(10.0, 0) is None
    assert joules_per_token(10.0, 4) == 2.5


def test_energy_agrees_with_zeus(oracles: Oracles) -> None:
    for case in oracles("zeus_energy")["power_logs"]:
        # Their reader drops the last line of the log.
        samples = [(time, power) for time, power in case["samples"][:-1]]
        value = energy_joules(samples, start_s=case["kwargs"].get("start"))
        if isinstance(case["energy_J"], str):
            assert value is None
        else:
            assert value == pytest.approx(case["energy_J"], rel=2e-6)


def test_energy_time_costs_agree_with_zeus(oracles: Oracles) -> None:
    for case in oracles("zeus_energy")["zeus_cost"]:
        value = zeus_cost(
            case["energy_J"], case["time_s"], max_power_w=case["max_power_W"], eta=case["eta"]
        )
        assert value == pytest.approx(case["cost"], rel=1e-9)
