"""Names of models that people read: the shortest that tell them apart, wherever they are shown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from effmark.analyses.field import configuration_names
from effmark.cli.history_command import command as history_command
from effmark.exchange.entries import Choice, cell_titles
from effmark.exchange.hugging_face import model_index
from effmark.gathering import gather_all
from effmark.model_names import is_same, shown_names
from effmark.plan import make_plan
from effmark.record import Record
from effmark.report.csv_file import csv_text
from effmark.report.json_file import json_text
from effmark.report.markdown import markdown
from effmark.report.page_data import page_data
from effmark.report.progress import ProgressView
from effmark.report.table import print_table
from effmark.rows import Row, make_rows
from effmark.selection import pair_cells
from effmark.spec import Cell, ModelRef, Suite
from effmark.store import Journal

HOME = "/home/ann/secret-project"
MakeRecord = Callable[..., Record]


def model(name: str, path: str | None, digit: str) -> ModelRef:
    return ModelRef(name=name, task="lm", kind="hf", sha256=digit * 64,
                    path=None if path is None else Path(path))  # fmt: skip


@pytest.mark.parametrize(
    ("models", "shown"),
    [
        ([("c", "/r/a/c", "1"), ("d", "/r/b/d", "2")], ["c", "d"]),
        ([("c", "/r/a/c", "1"), ("c", "/r/b/c", "2")], ["a/c", "b/c"]),
        ([("c", "/r/a/x/c", "1"), ("c", "/r/b/x/c", "2")], ["a/x/c", "b/x/c"]),
        ([("c", "/r/a/x/c", "1"), ("c", "/r/a/y/c", "2"), ("c", "/c", "3")], ["x/c", "y/c", "c"]),
        ([("c", "/r/a/c", "1"), ("c", "/r/a/c", "1")], ["c", "c"]),
        ([("c", "/r/a/c", "1"), ("c", "/s/b/c", "1")], ["c", "c"]),
        ([("c", "/r/a/c", "1"), ("c", "/r/a/c", "2")], ["c 11111111", "c 22222222"]),
        ([("c", "/r/a/c", "1"), ("c", "/r/a/c", "2"), ("c", "/r/b/c", "3")],
         ["a/c 11111111", "a/c 22222222", "b/c"]),
        ([("c", None, "1"), ("c", None, "2")], ["c 11111111", "c 22222222"]),
        ([("c", None, "1"), ("c", "/r/a/c", "2")], ["c 11111111", "c 22222222"]),
        ([("org/m", "/h/snapshots/1", "1"), ("org/m", "/h/snapshots/2", "2")],
         ["org/m 11111111", "org/m 22222222"]),
        ([("m", "/r/a/m.gguf", "1"), ("m", "/r/b/m.gguf", "2")], ["a/m", "b/m"]),
        ([("tiny", "/r/a/tiny/model.gguf", "1"), ("tiny", "/r/b/tiny", "2")], ["a/tiny", "b/tiny"]),
        ([("a/c", None, "3"), ("c", "/r/a/c", "1"), ("c", "/r/b/c", "2")],
         ["a/c 33333333", "a/c 11111111", "b/c"]),
    ],
)  # fmt: skip
def test_a_name_is_the_shortest_that_no_other_model_has(
    models: list[tuple[str, str | None, str]], shown: list[str]
) -> None:
    refs = [model(*each) for each in models]
    names = shown_names(refs)
    assert [names[ref.name, ref.sha256] for ref in refs] == shown


@pytest.fixture
def records(make_record: MakeRecord) -> list[Record]:
    """Two checkpoints of one folder name, the second one slower."""
    return [of(make_record, "a", "1", 0.01), of(make_record, "b", "2", 0.02)]


def of(make: MakeRecord, run: str, digit: str, step_s: float) -> Record:
    record = make(step_s=step_s, id=f"record-{run}-{digit}")
    found = model("checkpoint-500", f"{HOME}/runs/{run}/checkpoint-500", digit)
    return record.model_copy(update={"cell": record.cell.model_copy(update={"model": found})})


def table(rows: Sequence[Row]) -> str:
    console = Console(file=io.StringIO(), width=160)
    print_table(rows, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def of_csv(rows: Sequence[Row]) -> str:
    return "\n".join(line["model"] for line in csv.DictReader(io.StringIO(csv_text(rows))))


def card(rows: Sequence[Row]) -> str:
    return "\n".join(model_index(rows, Choice())[0].values())


@pytest.mark.parametrize(
    "report",
    [table, of_csv, card, json_text, markdown,
     lambda rows: json.dumps(page_data(rows)), lambda rows: "\n".join(cell_titles(rows)),
     lambda rows: "\n".join(configuration_names(rows))],
)  # fmt: skip
def test_two_models_of_one_name_are_two_names_in_every_report(
    records: list[Record], report: Callable[[Sequence[Row]], str]
) -> None:
    said = report(make_rows(records)).replace("\\", "")
    assert "a/checkpoint-500" in said
    assert "b/checkpoint-500" in said
    assert "secret-project" not in said


def test_rows_of_a_large_folder_are_told_apart_too(records: list[Record], tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    with Journal(tmp_path, "toy", 1) as journal:
        for record in records:
            journal.append(record)
    rows = gather_all(tmp_path, large_b=0).rows
    assert {row.model for row in rows} == {"a/checkpoint-500", "b/checkpoint-500"}


def test_a_model_whose_files_were_edited_is_two_lines_with_their_hashes(
    make_record: MakeRecord,
) -> None:
    rows = make_rows([of(make_record, "a", "1", 0.01), of(make_record, "a", "2", 0.02)])
    assert [row.model for row in rows] == ["checkpoint-500 11111111", "checkpoint-500 22222222"]


def test_pairs_are_made_of_equal_models_where_a_side_has_several_of_a_name(
    records: list[Record], make_record: MakeRecord
) -> None:
    pairs = pair_cells(records, list(reversed(records)))
    assert [(a[0].id, b[0].id) for a, b in pairs] == [(r.id, r.id) for r in records]
    before, after = of(make_record, "a", "1", 0.01), of(make_record, "a", "3", 0.01)
    others = [make_record(model="other") for _ in range(2)]
    pairs = pair_cells([before, others[0]], [after, others[1]])
    assert next((a[0].id, b[0].id) for a, b in pairs) == (before.id, after.id)


def on(record: Record, threads: int) -> Record:
    return record.model_copy(
        update={
            "cell": record.cell.model_copy(update={"threads": threads}),
            "id": f"{threads:032x}",
        }
    )


def test_pairs_are_made_of_equal_threads_where_a_side_has_several(make_record: MakeRecord) -> None:
    two, four, eight = (on(make_record(), threads) for threads in (2, 4, 8))
    pairs = pair_cells([four, two], [two, eight])
    assert [(a[0].id, b[0].id) for a, b in pairs] == [(two.id, two.id)]
    (moved,) = pair_cells([four], [eight])  # that they differ is for others to say
    assert (moved[0][0].id, moved[1][0].id) == (four.id, eight.id)


def test_a_history_is_of_one_number_of_threads(make_record: MakeRecord, tmp_path: Path) -> None:
    with Journal(tmp_path, "toy", 1) as journal:
        for threads, step_s in ((4, 0.04), (2, 0.02)):
            journal.append(on(make_record(step_s=step_s), threads))
    done = CliRunner().invoke(history_command, ["tpot_s", "--results", str(tmp_path)])
    assert "over 1 runs" in done.output
    assert "40.0 ms" not in done.output and "20.0 ms" in done.output


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    import shutil

    from effmark.suites import data_file

    for run in ("a", "b"):
        folder = tmp_path / run / "checkpoint\x1b[31m"
        shutil.copytree(data_file("family", "effmark-1m"), folder)
        (folder / "chat_template.jinja").write_text(run)
    return Suite.model_validate(
        {
            "suite": "two", "version": 1, "why": "to see", "cells": [
                {"adapter": "torch", "precision": "fp32"}],
            "models": [str(tmp_path / run / "checkpoint\x1b[31m") for run in ("a", "b")],
            "workloads": [{"prefill": {"prompt_tokens": 4}}],
        }
    )  # fmt: skip


def test_a_plan_and_its_progress_tell_models_apart_and_no_name_paints_the_terminal(
    suite: Suite, tmp_path: Path, make_record: MakeRecord
) -> None:
    plan = make_plan(suite, tmp_path / "cache")
    assert [p.label.partition("/")[0] for p in plan.processes] == ["a", "b"]
    console = Console(file=io.StringIO(), width=160)
    with ProgressView(plan, {}, console) as view:
        for process in plan.processes:
            cell: Cell = process.cells[0]
            view.record(make_record(cell=cell))
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert "\x1b" not in said
    assert "a/checkpoint" in said
    assert "b/checkpoint" in said


def test_processes_that_take_turns_are_of_one_model(suite: Suite, tmp_path: Path) -> None:
    from effmark.executors.turns import parties

    plan = make_plan(suite, tmp_path / "cache")
    orders: Any = type("Orders", (), {"memory_b": 1 << 40})
    assert [len(party) for party in parties(plan.processes, orders)] == [1, 1]


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        (("c", "/r/a/c", "1"), ("c", "/r/a/c", "2"), True),
        (("c", "/r/a/c", "1"), ("c", "/s/c", "1"), True),
        (("c", "/r/a/c", "1"), ("c", "/r/b/c", "2"), False),
        (("c", "/r/a/c", "1"), ("c", None, "2"), True),
        (("org/m", "/h/snapshots/1", "1"), ("org/m", "/h/snapshots/2", "2"), True),
        (("c", "/r/a/c", "1"), ("d", "/r/a/d", "2"), False),
    ],
)
def test_a_history_is_of_one_model_that_may_have_been_edited(
    one: tuple[str, str | None, str], two: tuple[str, str | None, str], same: bool
) -> None:
    assert is_same(model(*one), model(*two)) is same


def test_the_history_of_one_checkpoint_leaves_out_its_namesake(
    records: list[Record], tmp_path: Path
) -> None:
    with Journal(tmp_path, "toy", 1) as journal:
        for record in records:
            journal.append(record)
    arguments = ["tpot_s", records[0].id, "--results", str(tmp_path), "--json"]
    result = CliRunner().invoke(history_command, arguments, catch_exceptions=False)
    told = json.loads(result.stdout)
    assert told["values"] == pytest.approx([0.01])
