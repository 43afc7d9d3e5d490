"""Calibration of many cells: those that ran often enough have one, the others are named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from effmark.calibration import calibrate_cells
from effmark.errors import SpecError
from effmark.record import Record


def _runs(make_record: Callable[..., Record], count: int, **changes: object) -> list[Record]:
    return [make_record(**changes).model_copy(update={"process_id": f"p{i}"}) for i in range(count)]


def test_a_cell_with_too_few_processes_is_left_out_by_name_and_the_others_are_calibrated(
    make_record: Callable[..., Record],
) -> None:
    enough = _runs(make_record, 5, precision="fp32")
    few = _runs(make_record, 3, precision="int4")
    failed = make_record(precision="int4").model_copy(
        update={"process_id": "p9", "outcome": "crash", "detail": "killed", "blocks": ()}
    )
    found, left_out = calibrate_cells([*enough, *few, failed])
    assert len(found) == 1
    assert "fp32" in found[0].cell
    (sentence,) = left_out
    assert "int4" in sentence
    assert sentence.endswith("3 processes, wants 5 or more of the same; one ended as crash: killed")


def test_no_cell_with_enough_processes_is_an_error(make_record: Callable[..., Record]) -> None:
    with pytest.raises(SpecError, match="3 processes, wants 5 or more"):
        calibrate_cells(_runs(make_record, 3))
    with pytest.raises(SpecError, match="the suite times nothing"):
        calibrate_cells([])
