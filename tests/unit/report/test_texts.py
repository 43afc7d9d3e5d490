from __future__ import annotations

import csv
import io
from collections.abc import Callable

from effmark.record import Record
from effmark.report.csv_file import csv_text
from effmark.report.markdown import markdown
from effmark.rows import Row, make_rows


def lines_of(rows: list[Row]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_text(rows))))


def test_csv_has_every_number_of_every_row(demo_rows: list[Row]) -> None:
    wanted = sum(len(row.metrics) or 1 for row in demo_rows)
    assert len(lines_of(demo_rows)) == wanted


def test_a_missing_number_is_an_empty_cell_with_its_reason(demo_rows: list[Row]) -> None:
    missing = [line for line in lines_of(demo_rows) if line["reason"] == "too_few_samples"]
    assert missing and all(line["value"] == "" for line in missing)


def test_a_failed_cell_has_a_line_that_says_how_it_ended(demo_rows: list[Row]) -> None:
    (line,) = [line for line in lines_of(demo_rows) if line["outcome"] == "unsupported"]
    assert line["reason"] == "unsupported" and "bf16" in line["detail"]


def test_names_in_csv_never_begin_a_formula(make_record: Callable[..., Record]) -> None:
    lines = lines_of(make_rows([make_record("=1+1", blocks=8)]))
    assert {line["model"] for line in lines} == {"'=1+1"}


def test_markdown_rows_have_as_many_cells_as_the_heading(demo_rows: list[Row]) -> None:
    table = [line for line in markdown(demo_rows).splitlines() if line.startswith("|")]
    assert len({line.count(" | ") for line in table}) == 1


def test_a_pipe_in_a_name_does_not_break_the_markdown_table(
    make_record: Callable[..., Record],
) -> None:
    text = markdown(make_rows([make_record("a|b <img src=x>", blocks=8)]))
    assert r"a\|b &lt;img src=x&gt;" in text


def test_markdown_without_records_says_so() -> None:
    assert markdown([]) == "No records.\n"


def test_a_quality_number_of_another_text_is_not_borrowed_for_cost(demo_rows: list[Row]) -> None:
    """Peak memory of the text workload never stands in the line of a failed decode cell."""
    text = markdown(demo_rows)
    assert "openvino bf16" not in "".join(x for x in text.splitlines() if x.startswith("|"))
