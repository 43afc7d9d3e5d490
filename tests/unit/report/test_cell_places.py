from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

from effmark.ranking import Rank
from effmark.record import Record
from effmark.report.cell_places import cell_places
from effmark.report.csv_file import csv_text
from effmark.report.json_file import json_text
from effmark.rows import Row, make_rows


def test_every_number_with_a_direction_has_a_place_or_the_reason_why_not(
    demo_rows: list[Row],
) -> None:
    for row, places in zip(demo_rows, cell_places(demo_rows), strict=True):
        for name, number in row.metrics.items():
            assert (name in places) == (row.number(name) is not None), (name, number)


def test_workloads_and_machines_never_rank_against_each_other(
    make_record: Callable[..., Record], other_machine: object
) -> None:
    rows = make_rows([
        make_record(blocks=8),
        make_record(adapter="openvino", environment=other_machine, blocks=8),
    ])  # fmt: skip
    for places in cell_places(rows):
        assert places["tpot_s"] == (Rank(1, 1, True), 1)
        assert places["load_s"][1] == 1, "loading depends on the machine, too"
        assert places["effective_bits"][1] == 2, "sizes do not"


def test_json_and_csv_say_the_same_ranks(demo_rows: list[Row]) -> None:
    document = json.loads(json_text(demo_rows))["rows"]
    lines = list(csv.DictReader(io.StringIO(csv_text(demo_rows))))
    of_csv = [line for line in lines if line["metric"] == "tpot_s" and line["value"]]
    of_json = [n for row in document if "value" in (n := row["metrics"].get("tpot_s", {}))]
    assert len(of_csv) == len(of_json) > 10
    for line, number in zip(of_csv, of_json, strict=True):
        assert line["no_rank"] == number.get("no_rank", "")
        if "rank" in number:
            told = number["rank"]
            assert (line["rank_low"], line["rank_high"], line["ranked"]) == (
                str(told["low"]), str(told["high"]), str(told["of"]))  # fmt: skip


def test_what_must_not_rank_says_so_in_json(demo_rows: list[Row]) -> None:
    rows = json.loads(json_text(demo_rows))["rows"]
    broken = next(row for row in rows if row["precision"] == "broken")
    assert broken["metrics"]["tpot_s"]["no_rank"] == "invalid"
    assert "rank" not in broken["metrics"]["tpot_s"] and broken["marks"] == ["invalid"]


def test_blocks_that_took_turns_are_compared_in_pairs(make_record: Callable[..., Record]) -> None:
    rows = make_rows([
        make_record(precision=p, blocks=20, interleaved="turns") for p in ("fp32", "int8")
    ])  # fmt: skip
    assert [p["tpot_s"] for p in cell_places(rows)] == [
        (Rank(2, 2, True), 2),
        (Rank(1, 1, True), 2),
    ]
