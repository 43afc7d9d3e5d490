from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from effmark.analyses import ANALYSES, TooLittle
from effmark.analyses.choice import best_choice
from effmark.analyses.field import Field, fields
from effmark.analyses.hypervolume import hypervolumes
from effmark.analyses.page import USUAL, page_analyses
from effmark.record import Record
from effmark.rows import Number, Row, make_rows
from effmark.store import Journal

Make = Callable[..., Record]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def some(timed: Make) -> list[Record]:
    return [timed("torch", "fp32", 0.04, is_baseline=True), timed("torch", "int4", 0.01)]


@pytest.fixture
def results(timed: Make, tmp_path: Path) -> Path:
    with Journal(tmp_path / "results", "toy", 1) as journal:
        for record in some(timed):
            journal.append(record)
    return tmp_path / "results"


def test_every_analysis_is_in_the_catalogue_and_on_the_page() -> None:
    assert list(USUAL) == list(ANALYSES)


def test_the_page_gets_plain_json_and_says_what_is_missing(timed: Make) -> None:
    told = page_analyses(make_rows(some(timed)))
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    names = {f["analysis"] for f in told["findings"]}
    assert {"best", "speedups"} <= names
    assert names | {m["analysis"] for m in told["missing"]} == set(ANALYSES)
    for finding in told["findings"]:
        assert finding["conclusion"].endswith(".")
        for table in finding["tables"]:
            assert all(len(row) == len(table["columns"]) for row in table["rows"])
            assert all("text" in cell for row in table["rows"] for cell in row)


def test_more_rows_than_the_page_can_wait_for_are_left_to_the_command(timed: Make) -> None:
    rows = make_rows(some(timed)) * 201
    told = page_analyses(rows)
    assert told["findings"] == []
    assert "402 rows are too many here" in told["missing"][0]["needs"]


@pytest.mark.parametrize("name", list(USUAL))
def test_one_record_is_too_little_for_every_analysis(timed: Make, name: str) -> None:
    (field,) = fields(make_rows([timed("torch", "fp32", 0.04)]))
    with pytest.raises(TooLittle, match=rf"^{name}: needs .*[a-z0-9)]$"):
        USUAL[name](field)


def test_an_infinite_score_has_an_order_but_no_distance(
    timed: Make, field_of: Callable[..., Field]
) -> None:
    rows = make_rows([timed("torch", p, 0.01) for p in ("fp32", "int8", "int4")])
    costs = {"fp32": math.inf, "int8": 2.0, "int4": 3.0}
    priced = [
        Row(row.record, row.records, {**row.metrics, "cost_of_pass_usd": Number(
            costs[row.record.cell.precision], None, None, "USD", 5, "ledger", "exact")})
        for row in rows
    ]  # fmt: skip
    (field,) = fields(priced)
    assert best_choice(field, (), "cost_of_pass_usd").values["choice"] == "torch int8"
    axes = ["cost_of_pass_usd", "tpot_s"]
    assert math.isfinite(hypervolumes(field, axes).values["all"])


def test_no_rows_give_an_empty_page() -> None:
    assert page_analyses([]) == {"schema_version": 1, "findings": [], "missing": []}


def test_hostile_names_stay_text(timed: Make) -> None:
    name = "<script>alert(1)</script> | `x` \x1b[31m"
    rows = make_rows([timed("torch", "fp32", 0.04, model=name), timed("torch", "int4", 0.01)])
    tables = [t for f in page_analyses(rows)["findings"] for t in f["tables"]]
    names = {row[0]["text"] for t in tables for row in t["rows"]}
    assert f"{name} · torch fp32" in names


def test_without_a_name_the_command_lists_what_can_be_asked(effmark: Command) -> None:
    done = effmark("analyse")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ANALYSES)


def test_an_unknown_name_gets_the_nearest(effmark: Command) -> None:
    done = effmark("analyse", "speedsup")
    assert done.returncode == 2
    assert "did you mean 'speedups'?" in done.stderr


def test_too_little_is_a_sentence_and_exit_code_2(effmark: Command, results: Path) -> None:
    done = effmark("analyse", "runtime", str(results))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("effmark: runtime: needs 4 prompt and output lengths")


def test_an_answer_is_a_sentence_and_a_table(effmark: Command, results: Path) -> None:
    done = effmark("analyse", "speedups", str(results))
    assert done.returncode == 0, done.stderr
    assert "torch int4 is the fastest: 4" in done.stdout
    assert "decode p8 n16 b1" in done.stdout


def test_json_is_a_list_of_findings(effmark: Command, results: Path) -> None:
    done = effmark("analyse", "best", str(results), "--max", "tpot_s=20ms", "--json")
    (finding,) = json.loads(done.stdout)
    assert finding["analysis"] == "best"
    assert finding["values"]["choice"] == "torch int4"


def test_unreadable_lines_are_said(effmark: Command, results: Path) -> None:
    (journal,) = results.rglob("*.jsonl")
    with journal.open("ab") as handle:
        handle.write(b'{"torn')
    done = effmark("analyse", "speedups", str(results))
    assert done.returncode == 0
    assert "unreadable line skipped" in done.stderr


def test_an_unknown_suite_names_those_that_are_there(effmark: Command, results: Path) -> None:
    for name in ("analyse", "export"):
        form = "speedups" if name == "analyse" else "bencher"
        done = effmark(name, form, str(results), "--suite", "nope")
        assert done.returncode == 2
        assert "no records of suite 'nope'" in done.stderr
        assert "there are: toy" in done.stderr


def test_a_wrong_limit_is_one_line(effmark: Command, results: Path) -> None:
    done = effmark("analyse", "best", str(results), "--max", "tpot_s=20J")
    assert done.returncode == 2
    assert done.stderr == "effmark: limit 'tpot_s=20J': '20J' is no quantity in s, such as '20 s'\n"


def test_an_empty_folder_is_too_little(effmark: Command, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    done = effmark("analyse", "best", str(tmp_path / "none"))
    assert done.returncode == 2
    assert done.stderr == "effmark: analyse: no records; run `effmark run` first\n"


def test_help_loads_no_framework() -> None:
    code = (
        "import sys, runpy; sys.argv = ['effmark', 'analyse', '--help']\n"
        "try: runpy.run_module('effmark', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
