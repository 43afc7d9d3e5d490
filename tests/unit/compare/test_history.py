from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from effmark.errors import SpecError
from effmark.history import history, series_history
from effmark.record import Record

pytest.importorskip("ruptures")


def test_a_lasting_change_is_found_where_it_happened() -> None:
    source = random.Random(1)
    values = [source.gauss(1, 0.03) * (1.1 if i >= 25 else 1) for i in range(50)]
    found = series_history("tpot_s", [f"r{i}" for i in range(50)], values)
    assert len(found.changes) == 1
    change = found.changes[0]
    assert abs(change.index - 25) <= 1
    assert change.label == f"r{change.index}"
    assert change.verdict == "worse"
    assert change.ratio == pytest.approx(1.1, abs=0.03)


def test_one_bad_run_is_no_change() -> None:
    source = random.Random(1)
    values = [source.gauss(1, 0.03) * (2 if i == 20 else 1) for i in range(50)]
    assert series_history("tpot_s", [""] * 50, values).changes == ()


def test_records_give_their_series(
    make_record: Callable[..., Record], make_times: Callable[..., list[float]]
) -> None:
    records = [make_record(make_times(i, scale=0.1 if i < 10 else 0.08)) for i in range(20)]
    failed = make_record(outcome="crash", blocks=())
    found = history([*records, failed], "tpot_s")
    assert len(found.values) == 20
    assert [(c.index, c.verdict) for c in found.changes] == [(10, "better")]
    with pytest.raises(SpecError, match="no record"):
        history([failed], "tpot_s")
