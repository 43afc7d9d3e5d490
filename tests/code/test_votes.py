"""Choosing one answer from several, and what more samples buy."""

from __future__ import annotations

import math

import pytest

from effmark.workloads.votes import Answer, best, curve, majority, saturation, weighted


def answer(text: str, probability: float = 0.5) -> Answer:
    return Answer(text, text == "7", math.log(probability))


def test_the_majority_decides_and_a_tie_goes_to_the_first() -> None:
    assert majority([answer("7"), answer("8"), answer("7")])
    assert not majority([answer("8"), answer("7")])


def test_a_verifier_can_overrule_the_majority() -> None:
    answers = [answer("8", 0.1), answer("8", 0.1), answer("7", 0.6)]
    assert not majority(answers)
    assert weighted(answers)
    assert best(answers)


def test_all_choices_agree_on_one_sample_and_coverage_grows() -> None:
    rows = [[answer("7"), answer("8"), answer("9"), answer("7")], [answer("8")] * 4] * 5
    whole = curve(rows, 4)
    assert whole["coverage"]["value"] == 0.5
    assert whole["majority"]["value"] == 0.5
    one = curve(rows, 1)
    assert one["coverage"]["value"] == pytest.approx(0.25)
    assert one["coverage"]["low"] <= one["coverage"]["value"] <= one["coverage"]["high"]
    assert abs(one["majority"]["value"] - 0.25) < 0.1


def test_saturation_is_where_more_samples_are_no_longer_shown_to_help() -> None:
    points = {1: (0.4, 0.5), 2: (0.6, 0.7), 4: (0.65, 0.75), 8: (0.66, 0.76)}
    found = {k: {"value": value, "high": high} for k, (value, high) in points.items()}
    assert saturation(found) == 2
    assert saturation({1: {"value": 0.5, "high": 0.6}}) == 1
