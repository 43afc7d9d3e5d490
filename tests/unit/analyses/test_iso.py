from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from effmark.analyses.curves import interpolated
from effmark.analyses.field import Field
from effmark.analyses.finding import Quantity, TooLittle
from effmark.analyses.iso import iso_budget, iso_quality
from effmark.record import Missing, Record

Make = Callable[..., Record]


def answers(right: int, total: int = 200) -> Sequence[float]:
    return [1.0] * right + [0.0] * (total - right)


def ladders(timed: Make, asked: Make) -> list[Record]:
    """Two runtimes with three precisions each; the second costs half at equal quality."""
    found = []
    for precision, step_s, right in (("int4", 0.01, 80), ("int8", 0.02, 120), ("fp32", 0.08, 160)):
        for adapter, factor in (("torch", 1.0), ("openvino", 0.5)):
            found.append(timed(adapter, precision, step_s * factor, noise=0.001))
            found.append(asked(adapter, precision, answers(right)))
    return found


def test_at_equal_quality_costs_are_read_between_points(
    timed: Make, asked: Make, field_of: Callable[..., Field]
) -> None:
    found = iso_quality(field_of(*ladders(timed, asked)), "accuracy", "tpot_s", 0.7)
    # half way between 0.6 and 0.8 of accuracy, on a log axis of cost: sqrt(20 ms x 80 ms)
    assert found.values["best"] == "openvino"
    assert found.values["values"]["torch"] == pytest.approx(math.sqrt(0.02 * 0.08), rel=0.01)
    ratio = next(row[2] for row in found.tables[0].rows if row[0] == "torch")
    assert isinstance(ratio, Quantity)
    assert ratio.value == pytest.approx(2, rel=0.01)


def test_at_equal_budget_quality_is_read_between_points(
    timed: Make, asked: Make, field_of: Callable[..., Field]
) -> None:
    found = iso_budget(field_of(*ladders(timed, asked)), "accuracy", "tpot_s", 0.02)
    assert found.values["values"]["torch"] == pytest.approx(0.6, abs=0.01)
    assert found.values["values"]["openvino"] == pytest.approx(0.7, abs=0.01)


def test_outside_of_the_points_nothing_is_extrapolated(
    timed: Make, asked: Make, field_of: Callable[..., Field]
) -> None:
    records = [r for r in ladders(timed, asked)
               if not (r.cell.adapter == "torch" and r.cell.precision == "fp32")]  # fmt: skip
    found = iso_quality(field_of(*records), "accuracy", "tpot_s", 0.7)
    cell = next(row[1] for row in found.tables[0].rows if row[0] == "torch")
    assert isinstance(cell, Missing)
    assert "accuracy 0.700 lies outside of 0.400 to 0.600; never extrapolated" in cell.detail


def test_a_level_that_nobody_reaches_says_what_is_covered(
    timed: Make, asked: Make, field_of: Callable[..., Field]
) -> None:
    with pytest.raises(
        TooLittle, match=r"no adapter reaches accuracy 0.990 .* covers 0.400 to 0.800"
    ):
        iso_quality(field_of(*ladders(timed, asked)), "accuracy", "tpot_s", 0.99)


def test_one_point_per_runtime_is_no_curve(
    timed: Make, asked: Make, field_of: Callable[..., Field]
) -> None:
    records = [r for r in ladders(timed, asked) if r.cell.precision == "int8"]
    with pytest.raises(TooLittle, match="needs two series of two or more configurations"):
        iso_quality(field_of(*records), "accuracy", "tpot_s")


def test_lines_between_knots_end_at_the_knots() -> None:
    knots = [(0.0, 1.0), (2.0, 3.0), (2.0, 4.0), (5.0, 4.0)]
    assert interpolated(0.0, knots) == 1.0
    assert interpolated(1.0, knots) == 2.0
    assert interpolated(5.0, knots) == 4.0
    assert interpolated(-0.01, knots) is None
    assert interpolated(5.01, knots) is None
    assert interpolated(1.0, []) is None
