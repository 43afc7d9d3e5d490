from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from effmark.record import Record
from effmark.report.table import print_table
from effmark.rows import Row, make_rows
from effmark.schema import content_hash
from effmark.spec import Decode, Prefill


def shown(rows: list[Row], width: int = 120, by: str | None = None) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_table(rows, console, by)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_line_is_wider_than_the_terminal(demo_rows: list[Row], width: int) -> None:
    assert max(len(line.rstrip()) for line in shown(demo_rows, width).splitlines()) <= width


def test_a_wide_terminal_shows_more_columns(demo_rows: list[Row]) -> None:
    assert "TTFT" not in shown(demo_rows, 80)
    assert "TTFT" in shown(demo_rows, 160)


def test_cost_and_quality_of_a_configuration_stand_on_one_line(demo_rows: list[Row]) -> None:
    line = next(line for line in shown(demo_rows).splitlines() if "openvino int4" in line)
    assert "±" in line and "4.60" in line


def test_what_may_not_rank_has_no_rank_but_stays(demo_rows: list[Row]) -> None:
    text = shown(demo_rows)
    line = next(line for line in text.splitlines() if "torch broken" in line)
    assert line.split()[0] == "–"
    assert "✗ invalid" in text


def test_estimates_are_marked_and_not_ranked(demo_rows: list[Row]) -> None:
    text = shown(demo_rows, 140, "energy_j_per_output_token")
    lines = [line for line in text.splitlines() if "~" in line and "torch" in line]
    assert lines and all(line.split()[0] == "–" for line in lines)


def test_cells_without_numbers_are_listed_with_their_reason(demo_rows: list[Row]) -> None:
    assert "unsupported effmark-4m · openvino bf16" in shown(demo_rows)


def test_hostile_names_print_as_text(make_record: Callable[..., Record]) -> None:
    rows = make_rows([make_record("[bold]x[/bold]\x1b[31m", blocks=8)])
    text = shown(rows)
    assert "[bold]x[/bold]�[31m" in text and "\x1b" not in text


def test_machines_have_a_table_each(
    make_record: Callable[..., Record], other_machine: object
) -> None:
    far = make_record(adapter="openvino", environment=other_machine, blocks=8)
    text = shown(make_rows([make_record(blocks=8), far]))
    assert text.count("ranked by TPOT") == 2


def test_no_rows_print_no_table() -> None:
    assert "configuration" not in shown([])


def test_an_attempt_that_worked_replaces_one_that_failed(
    make_record: Callable[..., Record], make_failed: Callable[..., Record]
) -> None:
    old = make_failed("crash", "it broke")
    old = old.model_copy(update={"cell": old.cell.model_copy(update={"suite_sha256": "0" * 64})})
    text = shown(make_rows([make_record(blocks=8), old]))
    assert "crash" not in text and "torch fp32" in text


def test_cells_of_one_process_that_failed_alike_are_one_line(
    make_failed: Callable[..., Record],
) -> None:
    where = {"adapter": "openvino"}
    rows = make_rows([
        make_failed("oom", "no memory", workload=Decode(prompt_tokens=8, new_tokens=8), **where),
        make_failed("oom", "no memory", workload=Prefill(prompt_tokens=8), **where),
    ])  # fmt: skip
    assert "openvino fp32 · 2 cells" in shown(rows)


def test_cells_that_one_cause_stops_are_one_line_however_many_runtimes(
    make_failed: Callable[..., Record],
) -> None:
    cells = [
        make_failed("unsupported", "no weights", adapter=adapter, precision=precision,
                    workload=Decode(prompt_tokens=8, new_tokens=new))
        for adapter in ("torch", "openvino") for precision in ("fp32", "int8", "int4")
        for new in (8, 16)
    ]  # fmt: skip
    other = make_failed("unsupported", "another cause", adapter="torch")
    text = shown(make_rows([*cells, other]), 200)
    assert text.count("unsupported") == 2
    assert "torch fp32, torch int8, torch int4 and 3 more · 12 cells  no weights" in text


def test_the_answer_stands_above_the_table(demo_rows: list[Row]) -> None:
    lines = shown(demo_rows, 160).splitlines()
    answer = next(line for line in lines if "gives the lowest TPOT" in line)
    assert "±" in answer and lines.index(answer) < 4


def test_a_long_table_ends_with_where_the_rest_is(make_record: Callable[..., Record]) -> None:
    rows = make_rows([make_record(f"model {i}", blocks=8) for i in range(70)])
    text = shown(rows)
    assert text.count("torch fp32") < 70
    assert "… and 10 more lines" in text


def on(record: Record, **changes: object) -> Record:
    cell = record.cell.model_copy(update=changes)
    return record.model_copy(update={"cell": cell, "id": content_hash([record.id, changes])[:32]})


def lines_of(text: str, what: str) -> list[str]:
    return [line for line in text.splitlines() if what in line and "gives the" not in line]


def test_a_configuration_on_one_and_on_eight_threads_is_two_lines(
    make_record: Callable[..., Record],
) -> None:
    one, eight = (on(make_record(step_s=s), threads=t) for s, t in ((0.004, 1), (0.001, 8)))
    lines = lines_of(shown(make_rows([one, eight])), "torch fp32")
    assert ["threads=8" in line for line in lines] == [True, False]
    assert ["threads=1" in line for line in lines] == [False, True]


def test_threads_are_not_told_where_all_lines_have_the_same(
    make_record: Callable[..., Record],
) -> None:
    rows = make_rows([on(make_record(precision=p), threads=8) for p in ("fp32", "int8")])
    assert "threads" not in shown(rows)


def test_a_speed_up_is_over_a_baseline_of_as_many_threads(
    make_record: Callable[..., Record],
) -> None:
    bases = [on(make_record(step_s=s), threads=t) for s, t in ((0.004, 1), (0.001, 8))]
    fast = on(make_record(precision="int8", step_s=0.001), threads=8)
    base, alike = (make_rows([b, fast])[-1].number("speedup") for b in bases)
    assert base is None and alike is not None
    both = make_rows([*bases, fast])[-1].number("speedup")
    assert both is not None and both.value == alike.value


def test_a_configuration_on_two_devices_is_two_lines_that_say_where(
    make_record: Callable[..., Record],
) -> None:
    rows = make_rows([on(make_record(), device=d) for d in ("cpu", "vulkan")])
    lines = lines_of(shown(rows), "torch fp32")
    assert ["on vulkan" in line for line in sorted(lines, key=len)].count(True) == 1
    assert len(lines) == 2
