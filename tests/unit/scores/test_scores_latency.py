"""Request timing, quantiles, distributions and goodput."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effmark.scores import distribution, goodput, quantile, request_timing

Oracles = Callable[[str], Any]
VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)
METHODS = st.sampled_from(["linear", "inverse_cdf", "loadgen"])
CHUNKS = st.lists(st.integers(0, 10**9), max_size=20).map(sorted)


@given(CHUNKS, st.integers(0, 100))
def test_the_parts_of_a_request_add_up(chunks: list[int], tokens: int) -> None:
    found = request_timing(0, chunks, output_tokens=tokens)
    assert len(found.gaps_s) == max(0, len(chunks) - 1)
    assert (found.ttft_s is None) == (not chunks)
    if found.ttft_s is not None:
        assert found.ttft_s + math.fsum(found.gaps_s) == found.latency_s
    if found.tpot_s is not None:
        assert found.tpot_s * (tokens - 1) == pytest.approx(math.fsum(found.gaps_s))


@given(CHUNKS, st.integers(2, 100))
def test_timing_is_scale_free(chunks: list[int], tokens: int) -> None:
    nanoseconds = request_timing(0, chunks, output_tokens=tokens)
    seconds = request_timing(0.0, [c / 1e9 for c in chunks], output_tokens=tokens)
    if nanoseconds.tpot_s is not None:
        assert seconds.tpot_s == pytest.approx(nanoseconds.tpot_s / 1e9, abs=1e-15)


def test_nanoseconds_since_1970_keep_every_digit() -> None:
    start = 1_780_000_000_123_456_789
    found = request_timing(start, [start + 7, start + 10], output_tokens=4)
    assert (found.ttft_s, found.gaps_s, found.tpot_s) == (7.0, (3.0,), 1.0)


def test_an_end_stands_in_where_nothing_was_streamed() -> None:
    found = request_timing(1.0, [], output_tokens=4, end_s=3.0)
    assert (found.latency_s, found.normalized_latency_s) == (2.0, 0.5)
    assert found.ttft_s is None


def test_the_end_counts_for_latency_but_not_for_time_per_token() -> None:
    found = request_timing(0.0, [1.0, 2.0], output_tokens=2, end_s=5.0)
    assert (found.latency_s, found.normalized_latency_s, found.tpot_s) == (5.0, 1.0, 1.0)


@given(VALUES, st.floats(0, 1), METHODS)
def test_a_quantile_lies_within_the_values(values: list[float], q: float, method: str) -> None:
    found = quantile(values, q, method=method)
    assert found is not None
    assert min(values) - 1e-9 <= found <= max(values) + 1e-9


@given(VALUES, st.floats(0, 1), st.floats(0, 1), METHODS)
def test_a_quantile_grows_with_q(values: list[float], p: float, q: float, method: str) -> None:
    low, high = (quantile(values, level, method=method) for level in sorted((p, q)))
    assert low is not None
    assert high is not None
    assert low <= high + 1e-9


@given(VALUES, st.data())
def test_a_weight_counts_like_repeating_the_value(values: list[float], data: st.DataObject) -> None:
    size = len(values)
    weights = data.draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))
    repeated = [v for v, w in zip(values, weights, strict=True) for _ in range(w)]
    for q in (0.1, 0.5, 0.9):
        found = quantile(values, q, method="inverse_cdf", weights=weights)
        wanted = quantile(repeated, q, method="inverse_cdf") if repeated else None
        assert found == wanted


@given(VALUES)
def test_a_summary_does_not_depend_on_order(values: list[float]) -> None:
    assert distribution(values) == distribution(sorted(values))


@given(st.floats(-1e6, 1e6), st.integers(1, 30))
def test_equal_values_have_no_spread(value: float, count: int) -> None:
    found = distribution([value] * count)
    assert (found.minimum, found.maximum, found.count) == (value, value, count)
    assert found.std == pytest.approx(0.0, abs=1e-9)


def test_goodput_counts_only_requests_that_meet_every_objective() -> None:
    requests = [{"ttft": 1.0, "rate": 5.0}, {"ttft": 3.0, "rate": 9.0}, {"ttft": 1.0}]
    assert goodput(requests, {"ttft": 1.0}, window_s=2.0) == 1.0
    assert goodput(requests, {"ttft": 1.0}, {"rate": 5.0}, window_s=2.0) == 0.5
    assert goodput(requests, {"ttft": 9.0}, {"ttft": 2.0}, window_s=1.0) == 1.0


@given(st.lists(st.floats(0, 10), min_size=1), st.floats(0, 10))
def test_a_looser_bound_never_lowers_goodput(latencies: list[float], bound: float) -> None:
    requests = [{"latency": value} for value in latencies]
    tight = goodput(requests, {"latency": bound}, window_s=1.0)
    assert goodput(requests, {"latency": bound + 1}, window_s=1.0) >= tight


def test_requests_agree_with_guidellm(oracles: Oracles) -> None:
    def ms(value: float | None) -> float | None:
        return None if value is None else value / 1000

    for case in oracles("serving_latency")["guidellm_requests"]:
        first, last = case["first_token"], case["last_token"]
        chunks = [] if first is None else [first, last]
        if case["token_iterations"] == 1:
            chunks = [first]
        # Without usage they count iterations, but none at all tells them nothing.
        tokens = case["output_tokens"]
        if tokens is None:
            tokens = case["token_iterations"] or None
        found = request_timing(
            case["request_start"], chunks, output_tokens=tokens, end_s=case["request_end"]
        )
        theirs = case["guidellm"]
        pairs = [
            (found.latency_s, theirs["request_latency"]),
            (found.ttft_s, ms(theirs["time_to_first_token_ms"])),
            (found.normalized_latency_s, ms(theirs["time_per_output_token_ms"])),
            (found.tpot_s, ms(theirs["inter_token_latency_ms"])),
            (found.output_tokens_per_s, theirs["output_tokens_per_second"]),
        ]
        for ours, wanted in pairs:
            assert ours == (wanted if wanted is None else pytest.approx(wanted, rel=1e-9)), case


def test_requests_agree_with_aiperf(oracles: Oracles) -> None:
    absent = ("NoMetricValue", "IndexError")
    for case in oracles("serving_latency")["aiperf_requests"]:
        start, chunks, theirs = case["start_ns"], case["response_ns"], case["aiperf"]
        if theirs["time_to_first_token"] == "ValueError":
            with pytest.raises(ValueError, match="must not be before start_s"):
                request_timing(start, chunks, output_tokens=case["output_tokens"])
            continue
        found = request_timing(start, chunks, output_tokens=case["output_tokens"])
        tpot = theirs["inter_token_latency"] if len(chunks) > 1 else None
        for ours, wanted in [
            (found.ttft_s, theirs["time_to_first_token"]),
            (found.ttst_s, theirs["time_to_second_token"]),
            (found.latency_s, theirs["request_latency"]),
            (found.tpot_s, tpot),
        ]:
            expected = None if wanted in absent else wanted
            assert ours == (expected if expected is None else pytest.approx(expected)), case["name"]
        assert found.gaps_s == tuple(b - a for a, b in itertools.pairwise(chunks))


def test_distributions_agree_with_three_tools(oracles: Oracles) -> None:
    for case in oracles("serving_latency")["distributions"]:
        values, theirs = case["values"], case["guidellm"]
        if not values:
            assert distribution(values).mean is None
            continue
        weights = None
        if isinstance(values[0], list):
            values, weights = [v for v, _ in values], [w for _, w in values]
        for q, wanted in case["inverse_cdf"].items():
            found = quantile(values, float(q), method="inverse_cdf", weights=weights)
            assert found == wanted, (case["name"], q)
        if weights is not None:
            continue
        for method, key in (("linear", "numpy_linear"), ("loadgen", "mlperf_index")):
            for name, wanted in case[key].items():
                found = quantile(values, float(f"0.{name[1:]}"), method=method)
                assert found == pytest.approx(wanted, rel=1e-9), (case["name"], name)
        summary = distribution(values)
        assert summary.count == theirs["count"]
        assert summary.mean == pytest.approx(theirs["mean"], rel=1e-9)
        assert summary.std == pytest.approx(theirs["std_dev"], rel=1e-9)
        assert (summary.minimum, summary.maximum) == (theirs["min"], theirs["max"])
        assert summary.total == pytest.approx(theirs["total_sum"], rel=1e-9)
