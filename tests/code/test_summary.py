"""Intervals of scores: where resampling says something, and where all samples are alike."""

from __future__ import annotations

import math
from typing import Any

import pytest

from effmark.code.scoring import ProblemScore, SampleScore
from effmark.code.summary import problem_value, summary


def problem(name: str, *scores: float | None, dps: float | None = None) -> ProblemScore:
    """A problem with one sample per efficiency score; None failed."""
    samples = [
        SampleScore(
            task_id=name, sample=i, line=i + 1, verdict="wrong" if e is None else "passed",
            passed=e is not None, score=e or 0.0, dps=dps, dps_norm=dps,
        )
        for i, e in enumerate(scores)
    ]  # fmt: skip
    return ProblemScore(task_id=name, samples=tuple(samples), ladder=(2.0, 1.0) if dps else ())


def rounded(found: dict[str, Any]) -> tuple[float | None, ...]:
    bounds = (found["value"], found["low"], found["high"])
    return tuple(None if bound is None else round(bound, 3) for bound in bounds)


def test_everything_right_leaves_room_for_what_was_not_seen() -> None:
    found = summary([problem(str(i), 1.0, dps=100.0) for i in range(20)], [1])
    assert rounded(found["pass@1"]) == (1.0, 0.839, 1.0)  # Wilson: 20 of 20
    assert rounded(found["eff@1"]) == (1.0, 0.839, 1.161)  # up to 2, alpha / (alpha - 1)
    assert rounded(found["dps"]) == (100.0, 83.887, 100.0)


def test_nothing_right_leaves_room_as_well() -> None:
    found = summary([problem(str(i), None) for i in range(20)], [1])
    assert rounded(found["pass@1"]) == (0.0, 0.0, 0.161)
    assert rounded(found["eff@1"]) == (0.0, 0.0, 0.322)


def test_problems_that_are_all_right_or_all_wrong_are_counted() -> None:
    some = [problem(str(i), 1.0, 1.0) for i in range(15)] + [problem("x", None, None)] * 5
    assert rounded(summary(some, [2])["pass@2"]) == (0.75, 0.531, 0.888)  # Wilson: 15 of 20


def test_several_samples_a_problem_are_resampled_within_it() -> None:
    some = [problem(str(i), 1.0, None, 0.5, None) for i in range(30)]
    found = summary(some, [1])["pass@1"]
    assert found["value"] == 0.5
    assert 0.4 < found["low"] < 0.47
    assert 0.53 < found["high"] < 0.6


def test_a_single_problem_has_the_interval_of_its_samples() -> None:
    one = problem("x", 1.0, None, None, None)
    found = problem_value(one, [1, 2])
    assert rounded(found["pass@1"]) == (0.25, 0.046, 0.699)  # Wilson: 1 of 4
    low, high = 1 - (1 - 0.0456) ** 2, 1 - (1 - 0.6994) ** 2
    assert rounded(found["pass@2"])[1:] == (round(low, 3), round(high, 3))
    alone = problem_value(problem("y", 1.0), [1])
    assert rounded(alone["pass@1"]) == (1.0, 0.207, 1.0)
    assert rounded(alone["eff@1"]) == (1.0, None, None)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Of 30 problems each is right with 97 %; resampling alone would cover in 59 % of the cases."""
    coverage = 0.0
    for wrong in range(8):
        some = [problem(str(i), None if i < wrong else 1.0) for i in range(30)]
        found = summary(some, [1])["pass@1"]
        if found["low"] <= 0.97 <= found["high"]:
            coverage += math.comb(30, wrong) * 0.03**wrong * 0.97 ** (30 - wrong)
    assert coverage > 0.93


@pytest.mark.parametrize("k", [1, 2])
def test_too_few_samples_are_said_and_not_guessed(k: int) -> None:
    found = summary([problem("x", 1.0), problem("y", 1.0, 1.0)], [k])[f"pass@{k}"]
    if k == 1:
        assert found["value"] == 1.0
    else:
        assert found["missing"] == "too_few_samples"
