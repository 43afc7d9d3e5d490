from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import pytest

from effmark.analyses.field import Field
from effmark.analyses.finding import TooLittle
from effmark.analyses.runtime import (
    HeldOut,
    Point,
    _worst_error,
    fit_runtime,
    held_out,
    runtime,
)
from effmark.record import Record
from effmark.spec import Decode, Prefill

Make = Callable[..., Record]
LENGTHS = ((32, 32), (256, 32), (256, 1), (32, 96), (128, 64))


def points(noise: float = 0.0, seed: int = 0) -> list[Point]:
    random = Random(seed)
    return [
        Point(p, o, (0.05 + 0.001 * p + 0.02 * (o - 1)) * math.exp(noise * random.gauss()))
        for p, o in LENGTHS
    ]


def test_exact_times_give_back_their_three_numbers() -> None:
    fit = fit_runtime(points())
    assert fit is not None
    assert fit.overhead_s == pytest.approx(0.05)
    assert fit.s_per_prompt_token == pytest.approx(0.001)
    assert fit.s_per_output_token == pytest.approx(0.02)
    assert fit.seconds(100, 11) == pytest.approx(0.05 + 0.1 + 0.2)


def test_a_held_out_point_of_an_exact_law_has_no_error() -> None:
    assert all(h.error == pytest.approx(0, abs=1e-9) for h in held_out(points()))


def test_points_beyond_the_others_are_marked() -> None:
    beyond = {(h.point.prompt_tokens, h.point.output_tokens): h.beyond for h in held_out(points())}
    assert beyond[(32, 96)] is True  # the only long output
    assert beyond[(128, 64)] is False
    assert beyond[(32, 32)] is False


def test_no_part_of_a_time_is_negative() -> None:
    for seed in range(200):
        fit = fit_runtime(points(noise=0.5, seed=seed))
        assert fit is not None
        assert min(fit.overhead_s, fit.s_per_prompt_token, fit.s_per_output_token) >= 0


def test_lengths_that_leave_a_number_open_give_no_fit() -> None:
    assert fit_runtime([Point(p, 1, 0.1) for p in (1, 2, 3, 4)]) is None
    assert fit_runtime([Point(8, 8, 0.1)] * 4) is None
    assert fit_runtime([]) is None


def test_records_are_fitted_and_checked(timed: Make, field_of: Callable[..., Field]) -> None:
    records = []
    for p, o in LENGTHS:
        workload = Prefill(prompt_tokens=p) if o == 1 else Decode(prompt_tokens=p, new_tokens=o)
        records.append(
            timed("torch", "fp32", 0.02, ttft_s=0.05 + 0.001 * p, workload=workload, noise=0.005)
        )
    found = runtime(field_of(*records))
    assert found.values["median_error"] < 0.03
    overhead, per_prompt, per_output = found.values["fits"]["torch fp32"]
    assert (overhead, per_prompt, per_output) == pytest.approx((0.05, 0.001, 0.02), rel=0.2)
    assert "foretell a request that the fit has not seen within" in found.conclusion


def test_three_lengths_are_too_few(timed: Make, field_of: Callable[..., Field]) -> None:
    records = [timed("torch", "fp32", 0.02, workload=Decode(prompt_tokens=p, new_tokens=8))
               for p in (8, 16, 32)]  # fmt: skip
    with pytest.raises(TooLittle, match="needs 4 prompt and output lengths"):
        runtime(field_of(*records))


def test_what_cannot_be_foretold_is_worse_than_any_error() -> None:
    point = Point(8, 8, 1.0)
    bad = HeldOut(point, foretold_s=9.0, beyond=False)
    lost = HeldOut(point, foretold_s=None, beyond=False)
    assert _worst_error([bad]) == 8.0
    assert _worst_error([bad, lost]) == _worst_error([]) == math.inf
