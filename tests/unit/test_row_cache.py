from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from scripts.perf.journals import synthetic_records

from effmark.catalogue import CACHE_FOLDER
from effmark.record import Missing, Record
from effmark.row_cache import RowCache
from effmark.rows import make_rows

Make = Callable[..., Record]
FILE = "numbers.sqlite"


def rows_of(results: Path, records: list[Record]) -> tuple[list[object], int]:
    with RowCache(results) as memory:
        rows = make_rows(records, memory)
    return [(row.record.id, dict(row.metrics)) for row in rows], memory.hits


def test_numbers_come_back_as_they_were_computed(tmp_path: Path) -> None:
    records = list(synthetic_records(40))
    computed = [(row.record.id, dict(row.metrics)) for row in make_rows(records)]
    assert rows_of(tmp_path, records) == (computed, 0)
    assert rows_of(tmp_path, records) == (computed, 40)
    assert any(isinstance(n, Missing) for row in make_rows(records) for n in row.metrics.values())


def test_a_row_is_computed_anew_when_what_it_depends_on_changes(
    tmp_path: Path, make_record: Make
) -> None:
    baseline = make_record(is_baseline=True)
    faster = make_record(precision="int8", step_s=0.005)
    _, hits = rows_of(tmp_path, [baseline, faster])
    assert hits == 0
    slower = make_record(is_baseline=True, step_s=0.02)
    rows, hits = rows_of(tmp_path, [slower, faster])
    assert hits == 0
    assert rows == [(r.record.id, dict(r.metrics)) for r in make_rows([slower, faster])]


def test_infinite_scores_survive(tmp_path: Path) -> None:
    from effmark.rows import Number

    told = {"cost_of_pass_j": Number(float("inf"), 1.0, float("inf"), "J", 3, "clock", "exact")}
    with RowCache(tmp_path) as memory:
        memory.put("key", told)
    with RowCache(tmp_path) as memory:
        assert memory.get("key") == told
        assert memory.get("other") is None


@pytest.mark.parametrize("harm", [b"", b"not a database at all, but long enough" * 100])
def test_a_damaged_file_is_done_without(tmp_path: Path, harm: bytes) -> None:
    records = list(synthetic_records(8))
    first, _ = rows_of(tmp_path, records)
    (tmp_path / CACHE_FOLDER / FILE).write_bytes(harm)
    assert rows_of(tmp_path, records) == (first, 0)
    assert rows_of(tmp_path, records) == (first, 8)


def test_flipped_bytes_of_a_number_are_never_shown(tmp_path: Path) -> None:
    records = list(synthetic_records(8))
    first, _ = rows_of(tmp_path, records)
    path = tmp_path / CACHE_FOLDER / FILE
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"median", b"MEDIAN").replace(b"clock", b"xlock"))
    assert path.stat().st_size == len(whole)
    assert rows_of(tmp_path, records)[0] == first


def test_a_results_folder_that_cannot_be_written_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / CACHE_FOLDER).write_text("a file where the folder would be")
    records = list(synthetic_records(4))
    assert rows_of(tmp_path, records)[1] == 0
    assert os.listdir(tmp_path) == [CACHE_FOLDER]  # noqa: PTH208
