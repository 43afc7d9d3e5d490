"""Time means, latency, throughput and compression of EfficientLLM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effmark.scores import (
    average_latency,
    energy_joules,
    model_compression_rate,
    throughput,
    time_weighted_mean,
)

Oracles = Callable[[str], Any]
SAMPLES = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 500)), min_size=2, max_size=20).map(
    sorted
)


@given(SAMPLES)
def test_the_mean_lies_between_the_extremes(samples: list[tuple[float, float]]) -> None:
    mean = time_weighted_mean(samples)
    values = [value for _, value in samples]
    assert mean is None or min(values) - 1e-6 <= mean <= max(values) + 1e-6


@given(SAMPLES, st.floats(-10, 110), st.floats(-10, 110))
def test_energy_is_mean_power_times_the_window_within_the_samples(
    samples: list[tuple[float, float]], one: float, two: float
) -> None:
    start, end = min(one, two), max(one, two)
    mean = time_weighted_mean(samples, start_s=start, end_s=end)
    energy = energy_joules(samples, start_s=start, end_s=end)
    seconds = min(end, samples[-1][0]) - max(start, samples[0][0])
    assert (mean is None) == (energy is None) == (seconds <= 0)
    if mean is not None:
        assert energy == pytest.approx(mean * seconds, rel=1e-9, abs=1e-9)


def test_a_mean_may_be_of_negative_values() -> None:
    assert time_weighted_mean([(0.0, -4.0), (2.0, 0.0)]) == -2.0


def test_a_dense_stretch_of_samples_does_not_count_more() -> None:
    dense = [(i / 100, 0.0) for i in range(101)]
    assert time_weighted_mean([*dense, (1.0, 10.0), (3.0, 10.0)]) == pytest.approx(20 / 3)


def test_latency_adds_compute_and_communication() -> None:
    assert average_latency([1.0, 2.0], [0.5, 0.5]) == 2.0


def test_throughput_is_a_ratio_of_sums() -> None:
    assert throughput([10, 90], [1.0, 3.0]) == 25.0
    assert throughput([10, 90], [1.0, 3.0], parameters=5) == 5.0


def test_published_compression_rate_follows_from_the_published_scores(oracles: Oracles) -> None:
    for row in oracles("published_values")["efficientllm"]["rows"]:
        if "perf" in row["bf16"]:
            value = model_compression_rate(4, 1, row["bf16"]["perf"], row["int4"]["perf"])
            assert value == pytest.approx(row["MCR_from_formula_with_ratio_4"], abs=1e-3)


def test_mean_power_agrees_with_zeus(oracles: Oracles) -> None:
    for case in oracles("zeus_energy")["power_logs"]:
        # Their reader drops the last line of the log.
        samples = [(time, power) for time, power in case["samples"][:-1]]
        value = time_weighted_mean(samples, start_s=case["kwargs"].get("start"))
        if isinstance(case["avg_power_W"], str):
            assert value is None
        else:
            assert value == pytest.approx(case["avg_power_W"], rel=2e-6)
