from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from effmark.cli.leaderboard_command import command
from effmark.errors import SpecError, StoreError
from effmark.record import Record
from effmark.store import Journal, encode


@pytest.fixture
def results(tmp_path: Path, make_record: Callable[..., Record]) -> Path:
    journal = Journal(tmp_path / "results", "llm-int4", 1)
    for precision in ("fp32", "int4"):
        journal.append(make_record(precision=precision, blocks=8))
    journal.close()
    return tmp_path / "results"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)


def test_a_table_is_printed_and_the_page_lies_beside_the_results(results: Path) -> None:
    done = run(results)
    assert "torch int4" in done.stdout
    assert f"page: {results / 'index.html'}" in done.stderr
    assert (results / "index.html").is_file()


def test_json_has_the_published_shape_and_nothing_else(results: Path) -> None:
    document = json.loads(run(results, "--json").stdout)
    assert set(document) == {"schema_version", "rows"}
    row = document["rows"][0]
    assert {"model", "adapter", "precision", "workload", "device", "outcome", "validity"} <= set(
        row
    )
    assert {"value", "low", "high", "unit", "n", "source"} <= set(row["metrics"]["tpot_s"])
    assert {"missing", "detail"} == set(row["metrics"]["tpot_p99_s"])
    assert not (results / "index.html").exists()


@pytest.mark.parametrize(("form", "start"), [("json", "{"), ("csv", "suite,"), ("md", "### ")])
def test_every_format_is_text_on_stdout(results: Path, form: str, start: str) -> None:
    assert run(results, "--format", form).stdout.startswith(start)


def test_a_page_may_go_anywhere_with_any_format(results: Path, tmp_path: Path) -> None:
    run(results, "--json", "--html", tmp_path / "page.html")
    assert (tmp_path / "page.html").is_file()


def test_unreadable_and_future_lines_are_named_and_counted_on_the_page(results: Path) -> None:
    journal = next(results.rglob("*.jsonl"))
    with journal.open("ab") as file:
        file.write(b'{"torn\n')
        file.write(encode({"schema_version": 999}))
    done = run(results)
    assert "torn or damaged line" in done.stderr
    assert "schema version 999" in done.stderr
    page = (results / "index.html").read_text()
    data = page.split('id="data">')[1].split("<")[0]
    assert json.loads(zlib.decompress(base64.b64decode(data)))["damage"]["count"] == 2


def test_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no journal in it.*effmark run"):
        run(tmp_path)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such folder"):
        run(tmp_path / "nowhere")


def test_an_unknown_suite_names_those_that_are_there(results: Path) -> None:
    with pytest.raises(SpecError, match="there are: llm-int4"):
        run(results, "--suite", "nope")


def test_an_unknown_metric_names_the_nearest(results: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'tpot_s'"):
        run(results, "--by", "tpot")
    with pytest.raises(SpecError, match="no metric 'zzz'; `effmark leaderboard --json` has those"):
        run(results, "--by", "zzz")
