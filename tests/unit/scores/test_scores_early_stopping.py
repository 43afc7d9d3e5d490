"""MLPerf's early stopping, against exact binomials and the compiled original."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effmark.scores import (
    early_stopping_estimate,
    early_stopping_passes,
    early_stopping_queries,
)

Oracles = Callable[[str], Any]
SHARES = st.sampled_from([0.5, 0.75, 0.9, 0.95])


def exact_cdf(most: int, n: int, share: Fraction) -> Fraction:
    return sum(
        (math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(most + 1)), Fraction(0)
    )


@given(st.integers(0, 12), SHARES, st.sampled_from([0.2, 0.6, 0.9, 0.99]))
def test_the_number_of_queries_is_the_least_that_suffices(
    over: int, q: float, confidence: float
) -> None:
    n = early_stopping_queries(over, q, confidence=confidence)
    share, doubt = 1 - Fraction(str(q)), 1 - Fraction(str(confidence))
    assert exact_cdf(over, n, share) <= doubt
    assert exact_cdf(over, n - 1, share) > doubt


@given(st.integers(0, 300), st.integers(0, 40), SHARES)
def test_a_run_passes_iff_it_has_enough_queries(more: int, over: int, q: float) -> None:
    n = over + more
    assert early_stopping_passes(n, over, q) == (n >= early_stopping_queries(over, q))


@given(st.integers(1, 400), SHARES)
def test_the_estimate_drops_as_many_as_the_number_of_queries_allows(n: int, q: float) -> None:
    found = early_stopping_estimate([float(i) for i in range(n)], q)
    allowed = len(list(takewhile(lambda t: early_stopping_queries(t, q) <= n, range(1, n))))
    assert found == (float(n - allowed) if allowed else None)


def test_the_table_of_least_queries() -> None:
    table = {0.9: (44, 64), 0.95: (90, 130), 0.99: (459, 662), 0.999: (4603, 6636)}
    for q, wanted in table.items():
        assert tuple(early_stopping_queries(t, q) for t in (0, 1)) == wanted


def test_a_hundred_thousand_misses_are_counted_too() -> None:
    n = early_stopping_queries(100_000, 0.999)
    assert early_stopping_passes(n, 100_000, 0.999)
    assert not early_stopping_passes(n - 1, 100_000, 0.999)
    # The normal approximation: n p - t is 2.33 standard deviations.
    assert (n * 0.001 - 100_000) / math.sqrt(100_000) == pytest.approx(2.33, abs=0.02)


def test_a_claim_just_met_passes_with_the_chance_that_confidence_allows() -> None:
    # Where exactly 10 % of queries are slow, "p90 is met" must be accepted at most 1 % of times.
    generator = random.Random(8)
    runs, queries = 3000, 150
    accepted = 0
    for _ in range(runs):
        over = sum(generator.random() < 0.1 for _ in range(queries))
        accepted += early_stopping_passes(queries, over, 0.9)
    assert accepted / runs <= 0.01 + 4 * math.sqrt(0.01 * 0.99 / runs)


def test_no_query_passes_nothing() -> None:
    assert not early_stopping_passes(0, 0, 0.9)


def test_a_tolerance_that_leaves_nothing_to_prove_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tolerance must be below q = 0.9, got 0.9"):
        early_stopping_queries(1, 0.9, tolerance=0.9)


def test_queries_agree_with_loadgen(oracles: Oracles) -> None:
    for case in oracles("mlperf_early_stopping")["min_passing"]:
        options = {"confidence": case["confidence"], "tolerance": case["tolerance"]}
        over, q = case["overlatency_t"], case["percentile"]
        assert early_stopping_queries(over, q, **options) == case["min_queries"], case


def test_estimates_agree_with_loadgen(oracles: Oracles) -> None:
    for case in oracles("mlperf_early_stopping")["single_stream"]:
        found = early_stopping_estimate(
            [float(i) for i in range(case["queries"])], case["percentile"]
        )
        wanted = case["index_of_estimate_in_ascending_sort"]
        assert found == (float(wanted) if case["valid"] else None), case


def test_published_least_numbers_of_queries(oracles: Oracles) -> None:
    rules = oracles("published_values")["mlperf"]
    for name, wanted in rules["early_stopping_min_queries"].items():
        assert early_stopping_queries(1, float(f"0.{name[1:]}")) == wanted
    assert (
        early_stopping_queries(1, rules["multi_stream_percentile"])
        == (rules["multistream_min_queries"])
    )
