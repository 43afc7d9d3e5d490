from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from scripts.perf.journals import synthetic_records, write_journals

from effmark.gathering import earlier_records, gather, gather_all
from effmark.record import Record
from effmark.rows import Row, make_rows, row_json
from effmark.store import Journal, read_records

Make = Callable[..., Record]


def published(rows: tuple[Row, ...] | list[Row]) -> dict[str, object]:
    return {row.record.id: row_json(row) for row in rows}


def test_all_rows_of_a_large_folder_are_those_of_reading_it_whole(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    write_journals(tmp_path, 210)
    whole = gather_all(tmp_path)
    asked = gather_all(tmp_path, large_b=0)
    assert published(asked.rows) == published(whole.rows)
    assert (asked.cells, asked.records, asked.suites) == (210, 210, ("synthetic",))
    assert not any(row.record.blocks for row in asked.rows)


def test_a_small_page_of_a_large_folder_has_the_best_of_everything(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    records = list(synthetic_records(400))
    with Journal(tmp_path, "synthetic", 1) as journal:
        journal.append(*records)
    found = gather(tmp_path, large_b=0, most=200)
    assert len(found.rows) <= 200
    assert (found.cells, found.left_out) == (400, 400 - len(found.rows))
    shown = published(found.rows)
    whole = published(make_rows(read_records(tmp_path)))
    assert all(row == whole[name] for name, row in shown.items())
    good = [row for row in make_rows(records) if row.record.outcome == "ok"]
    for name in ("tpot_s", "peak_memory_b"):
        best = sorted((n.value, row.record.id) for row in good if (n := row.number(name)))[:5]
        assert {name for _, name in best} <= shown.keys()


def test_baselines_come_along_so_that_speedups_do_not_change(
    tmp_path: Path, make_record: Make
) -> None:
    pytest.importorskip("duckdb")
    with Journal(tmp_path, "toy", 1) as journal:
        journal.append(make_record(is_baseline=True), make_record(precision="int8", step_s=0.005))
    assert published(gather(tmp_path, large_b=0).rows) == published(gather(tmp_path).rows)


def test_a_suite_that_is_not_there_leaves_the_names_of_those_that_are(
    tmp_path: Path, make_record: Make
) -> None:
    with Journal(tmp_path, "toy", 1) as journal:
        journal.append(make_record())
    found = gather(tmp_path, "other")
    assert (found.rows, found.suites) == ((), ("toy",))


def test_a_large_folder_where_no_cache_can_be_made_is_read_whole(
    tmp_path: Path, make_record: Make
) -> None:
    with Journal(tmp_path, "toy", 1) as journal:
        journal.append(make_record())
    (tmp_path / ".effmark-cache").write_text("a file where the folder would be")
    assert len(gather(tmp_path, large_b=0).rows) == 1


def test_without_duckdb_a_large_folder_is_read_whole_and_the_remedy_is_told(
    tmp_path: Path, make_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with Journal(tmp_path, "toy", 1) as journal:
        journal.append(make_record(), make_record(precision="int8"))
    told: list[str] = []
    found = gather(tmp_path, tell=told.append, large_b=0)
    assert len(found.rows) == 2
    assert told == [
        "a catalogue needs 'duckdb'; install it with: pip install 'effmark[store]'; "
        "all journals are read instead"
    ]


def test_a_run_resumes_from_the_records_of_its_suite_and_machine(
    tmp_path: Path, make_record: Make
) -> None:
    pytest.importorskip("duckdb")
    other = make_record().suite.model_copy(update={"name": "other"})
    records = [
        make_record(id="crash", outcome="crash", environment=None),
        make_record(id="mine"),
        make_record(id="theirs", suite=other, precision="int8"),
    ]
    with Journal(tmp_path, "toy", 1) as journal:
        journal.append(*records)
    asked = earlier_records(tmp_path, "toy", "some machine", large_b=0)
    assert [record.id for record in asked] == ["mine"]
    whole = earlier_records(tmp_path, "toy", "some machine")
    assert [record.id for record in whole] == ["crash", "mine", "theirs"]
    assert earlier_records(tmp_path / "nothing", "toy", "some machine") == []
