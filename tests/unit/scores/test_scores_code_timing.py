"""Efficiency of one code sample: references, stops, failures, and the authors' evaluator."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effmark.scores import (
    benchmark_eff_at_k,
    benchmark_pass_at_k,
    code_efficiency,
    hodges_lehmann,
    level_score,
    reference_times,
)

Oracles = Callable[[str], Any]
TIMES = st.lists(st.floats(0, 1e3), min_size=1, max_size=12)


@given(TIMES, st.randoms(use_true_random=False))
def test_the_estimator_lies_between_the_extremes_and_ignores_order(
    times: list[float], shuffler: random.Random
) -> None:
    shuffled = list(times)
    shuffler.shuffle(shuffled)
    assert min(times) <= hodges_lehmann(times) <= max(times)
    assert hodges_lehmann(shuffled) == hodges_lehmann(times)


@given(TIMES, st.floats(0.01, 100))
def test_the_estimator_scales_with_its_unit(times: list[float], factor: float) -> None:
    scaled = hodges_lehmann([t * factor for t in times])
    assert scaled == pytest.approx(hodges_lehmann(times) * factor, rel=1e-12, abs=1e-300)


def test_the_diagonal_pairs_count() -> None:
    # Pairs of (0, 0, 6): 0, 0, 0, 3, 3, 6 with the diagonal, 0, 3, 3 without.
    assert hodges_lehmann([0.0, 0.0, 6.0]) == 1.5


@given(st.floats(0, 10), st.floats(0, 10))
def test_slower_never_scores_higher(first: float, second: float) -> None:
    slow, fast = max(first, second), min(first, second)
    assert level_score(slow, 1.0, 2.0) <= level_score(fast, 1.0, 2.0)
    assert 0 <= level_score(slow, 1.0, 2.0) <= 2


def test_the_reference_itself_scores_one_and_the_limit_zero() -> None:
    assert level_score(0.3, 0.3, 0.9) == 1.0
    assert level_score(0.9, 0.3, 0.9) == 0.0
    assert level_score(math.inf, 0.3, 0.9) == 0.0


def test_running_the_reference_scores_about_one() -> None:
    times = [[[0.01]], [[0.1, 0.12], [0.2, 0.2]], [[0.3, 0.31]], [[0.5, 0.5]]]
    found = reference_times(times)
    sample = code_efficiency(times, found.levels_s, found.limit_s)
    assert found.levels_s[0] is None
    assert sample.passed
    assert sample.score == pytest.approx(1.0)
    assert sample.levels == pytest.approx([0, 1, 1, 1])


@given(st.sampled_from(["wrong", "error", "exit"]), st.integers(0, 3))
def test_a_failure_at_any_level_scores_nothing_at_all(outcome: str, level: int) -> None:
    runs: list[Any] = [[[0.1]] for _ in range(4)]
    runs[level] = [[0.1], [outcome]]
    found = code_efficiency(runs[: level + 1], [None, 0.2, 0.2, 0.2], 0.4)
    assert not found.passed
    assert found.score == 0
    assert found.levels == (0, 0, 0, 0)
    assert len(found.elapsed_s) == level


@given(st.sampled_from(["timeout", "memory", "overflow"]), st.integers(0, 3))
def test_a_stop_passes_except_in_the_first_level(outcome: str, level: int) -> None:
    runs: list[Any] = [[[0.2]] for _ in range(level)] + [[[0.2], [outcome]]]
    found = code_efficiency(runs, [None, 0.2, 0.2, 0.2], 0.4)
    assert found.passed == (level > 0)
    assert found.score == pytest.approx([0, 0, 0.3, 0.6][level])
    assert found.elapsed_s[-1] == (0.2,)


def test_more_levels_than_hardness_are_refused() -> None:
    with pytest.raises(ValueError, match="runs must not hold more levels"):
        code_efficiency([[[0.1]], [[0.1]]], [0.2], 0.4, [1])


@pytest.mark.parametrize("runs", [[[]], [[[]]]])
def test_a_level_without_a_time_is_refused(runs: Any) -> None:
    with pytest.raises(ValueError, match=r"runs\[0\].* must not be empty"):
        code_efficiency(runs, [0.2], 0.4, [1])


def test_times_of_a_level_that_does_not_count_are_not_needed() -> None:
    assert reference_times([[], [[0.1]]], [0, 1]).levels_s == (None, 0.1)


def test_estimator_and_level_score_agree_with_the_authors(oracles: Oracles) -> None:
    data = oracles("enamel_time")
    for case in data["hodges_lehmann"]:
        assert hodges_lehmann(case["times"]) == pytest.approx(case["hodges_lehmann"], rel=1e-9)
    for case in data["calc_eff"]:
        reference = None if case["ref"] == "-inf" else case["ref"]
        value = level_score(float(case["elapsed"]), reference, case["timeout"])
        assert value == pytest.approx(case["eff"], rel=1e-9), case


def runs_of(sample: list[Any]) -> list[list[list[float | str]]]:
    return [
        [["wrong" if isinstance(event, dict) else event for event in case] for case in level]
        for level in sample
    ]


def check_problem(case: dict[str, Any], index: int) -> tuple[list[float], list[bool]]:
    expected = case["expected"]
    problem, refs = case["problems"][index], expected["refs"][index]
    found = reference_times(problem["ref_times"], case["hardness"], alpha=case["alpha"])
    assert found.limit_s == pytest.approx(refs["timeout"], rel=1e-9)
    assert found.slowest_s == pytest.approx(refs["ref_max"], rel=1e-9)
    assert [level is None for level in refs["level_ref"]] == [x is None for x in found.levels_s]
    known = [x for x in found.levels_s if x is not None]
    assert known == pytest.approx([x for x in refs["level_ref"] if x is not None], rel=1e-9)
    scores, passed = [], []
    for sample, wanted in zip(problem["samples"], expected["samples"][index], strict=True):
        got = code_efficiency(
            runs_of(sample),
            refs["level_ref"],
            refs["timeout"],
            case["hardness"],
            tolerance_s=case["tolerance"],
        )
        assert got.passed == wanted["passed"], case["name"]
        assert got.score == pytest.approx(wanted["e"], rel=1e-9), case["name"]
        assert got.levels == pytest.approx(wanted["level_eff"], rel=1e-9), case["name"]
        assert len(got.elapsed_s) == len(wanted["level_elapsed"]), case["name"]
        for ours, theirs in zip(got.elapsed_s, wanted["level_elapsed"], strict=True):
            assert list(ours) == pytest.approx(theirs, rel=1e-9), case["name"]
        scores.append(got.score)
        passed.append(got.passed)
    return scores, passed


def test_whole_evaluations_agree_with_the_authors(oracles: Oracles) -> None:
    for case in oracles("enamel_scoring")["cases"]:
        results = [check_problem(case, index) for index in range(len(case["problems"]))]
        scores, passed = [row[0] for row in results], [row[1] for row in results]
        for k in case["k"]:
            metrics = case["expected"]["metrics"]
            if f"eff@{k}" in metrics:
                eff, ok = benchmark_eff_at_k(scores, k), benchmark_pass_at_k(passed, k)
                assert eff == pytest.approx(metrics[f"eff@{k}"], rel=1e-9), case["name"]
                assert ok == pytest.approx(metrics[f"pass@{k}"], rel=1e-9), case["name"]
            else:
                with pytest.raises(ValueError, match="must hold at least"):
                    benchmark_eff_at_k(scores, k)
