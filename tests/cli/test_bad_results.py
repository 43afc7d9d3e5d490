"""What a leaderboard does with folders that nobody meant to give it, and with hostile records."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from effmark.record import Environment, Record
from effmark.store import Journal, encode

Command = Callable[..., "subprocess.CompletedProcess[str]"]
Make = Callable[..., Record]
HOSTILE = "../../<script>alert(1)</script>|`x`[a](javascript:1)\n=1+1\x1b[31m\u202e"


def put(results: Path, *records: Record) -> Path:
    with Journal(results, "toy", 1) as journal:
        journal.append(*records)
    return journal.path


def machine(cpu: str) -> Environment:
    return Environment(
        host="h", system="Linux", cpu=cpu, cores_count=2, memory_b=2**30, python="3.12"
    )


@pytest.mark.parametrize("what", ["empty", "other", "missing"])
@pytest.mark.parametrize("form", [[], ["--json"], ["--format", "csv"]])
def test_a_folder_without_journals_is_an_error_and_nothing_is_written(
    effmark: Command, tmp_path: Path, what: str, form: list[str]
) -> None:
    if what != "missing":
        (tmp_path / what).mkdir()
    if what == "other":
        (tmp_path / what / "notes.txt").write_text("not results")
    done = effmark("leaderboard", what, *form)
    assert done.returncode == 5
    assert done.stdout == ""
    assert ("no such folder" if what == "missing" else "no journal in it") in done.stderr
    assert len(done.stderr.splitlines()) == 1
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "notes.txt"]
    assert left == []


def test_files_that_are_no_journals_are_an_error_that_says_so(
    effmark: Command, tmp_path: Path
) -> None:
    (tmp_path / "items.jsonl").write_text('{"question": 1}\n' * 50)
    done = effmark("leaderboard", str(tmp_path))
    assert done.returncode == 5
    assert "no readable record; 1 line skipped: 1 not a journal of effmark" in done.stderr
    assert not (tmp_path / "index.html").exists()


def test_somebody_elses_page_is_not_overwritten(
    effmark: Command, tmp_path: Path, make_record: Make
) -> None:
    put(tmp_path, make_record())
    (tmp_path / "index.html").write_text("<h1>my own site</h1>")
    done = effmark("leaderboard", str(tmp_path))
    assert done.returncode == 2
    assert "is not one of effmark's; give --html FILE" in done.stderr
    assert (tmp_path / "index.html").read_text() == "<h1>my own site</h1>"
    assert effmark("leaderboard", str(tmp_path), "--html", "mine.html").returncode == 0
    assert effmark("leaderboard", str(tmp_path), "--html", "mine.html").returncode == 0


def test_one_record_of_one_journal_gives_a_page_beside_it(
    effmark: Command, tmp_path: Path, make_record: Make
) -> None:
    journal = put(tmp_path / "results", make_record())
    done = effmark("leaderboard", str(journal))
    assert done.returncode == 0, done.stderr
    assert journal.with_suffix(".html").is_file()
    assert not (tmp_path / "index.html").exists()


def test_invalid_records_are_shown_and_hold_no_rank(
    effmark: Command, tmp_path: Path, make_record: Make
) -> None:
    bad = [make_record(precision=p, validity="invalid") for p in ("fp32", "int8")]
    put(tmp_path / "results", *bad)
    done = effmark("leaderboard", "--format", "md")
    assert done.returncode == 0, done.stderr
    assert "invalid" in done.stdout
    rows = json.loads(effmark("leaderboard", "--json").stdout)["rows"]
    assert {row["validity"] for row in rows} == {"invalid"}
    assert not any("rank" in str(row.get("ranks", "")) for row in rows)


def test_machines_are_never_ranked_together(
    effmark: Command, tmp_path: Path, make_record: Make
) -> None:
    put(
        tmp_path / "results",
        make_record(environment=machine("fast CPU"), step_s=0.001),
        make_record(environment=machine("slow CPU"), step_s=0.1, id="other"),
    )
    done = effmark("leaderboard", "--format", "md")
    assert done.returncode == 0, done.stderr
    assert "fast CPU" in done.stdout
    assert "slow CPU" in done.stdout
    rows = json.loads(effmark("leaderboard", "--json").stdout)["rows"]
    assert len(rows) == 2


def test_hostile_names_stay_text_in_every_format(
    effmark: Command, tmp_path: Path, make_record: Make
) -> None:
    put(tmp_path / "results", make_record(model=HOSTILE))
    table = effmark("leaderboard")
    assert table.returncode == 0, table.stderr
    assert "\x1b[31m" not in table.stdout
    assert "\u202e" not in table.stdout
    page = (tmp_path / "results" / "index.html").read_text()
    assert "<script>alert" not in page
    assert json.loads(effmark("leaderboard", "--json").stdout)["rows"][0]["model"] == HOSTILE
    text = effmark("leaderboard", "--format", "md").stdout
    assert "<script>" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results"]


def test_corrupted_lines_and_future_records_are_counted_and_the_others_shown(
    effmark: Command, tmp_path: Path, make_record: Make
) -> None:
    journal = put(tmp_path / "results", make_record())
    future = make_record().model_dump(mode="json") | {"schema_version": 7}
    with journal.open("ab") as handle:
        handle.write(b"\x00\xff garbage\n" + encode(future) + encode(future)[:40])
    before = journal.read_bytes()
    for _ in range(2):
        done = effmark("leaderboard", "--json")
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["rows"]) == 1
        assert "3 lines skipped: 2 torn or damaged, 1 of a newer schema; update" in done.stderr
        assert f"{journal}:3: schema version 7" in done.stderr
    assert journal.read_bytes() == before


def test_a_record_from_the_future_of_the_clock_orders_nothing_and_is_marked(
    effmark: Command, tmp_path: Path, make_record: Make
) -> None:
    put(tmp_path / "results", make_record(id="first", created="2999-01-01T00:00:00+00:00"))
    put(tmp_path / "results", make_record(id="second", step_s=0.02))
    (row,) = json.loads(effmark("leaderboard", "--json").stdout)["rows"]
    assert row["records"] == ["second"]
    assert effmark("leaderboard").returncode == 0


def test_ten_thousand_models_with_long_names_make_a_page_below_3_mb(
    effmark: Command, tmp_path: Path, make_record: Make
) -> None:
    names = [f"organisation/{'long-' * 40}{number}" for number in range(10_000)]
    sha = [f"{number:064x}" for number in range(10_000)]
    record = make_record(blocks=2, measurements=())
    models = [record.cell.model.model_copy(update={"name": n, "sha256": s})
              for n, s in zip(names, sha, strict=True)]  # fmt: skip
    cells = [record.cell.model_copy(update={"model": model}) for model in models]
    put(tmp_path / "results", *(record.model_copy(update={"cell": c, "id": c.model.sha256[-9:]})
                                for c in cells))  # fmt: skip
    done = effmark("leaderboard", "--html", "page.html")
    assert done.returncode == 0, done.stderr
    assert os.path.getsize(tmp_path / "page.html") < 3_000_000  # noqa: PTH202
    assert max(map(len, done.stdout.splitlines())) <= 160


def test_show_wants_a_beginning_that_names_one_record(
    effmark: Command, tmp_path: Path, make_record: Make
) -> None:
    put(tmp_path / "results", make_record(id="abc1"), make_record(id="abc2", precision="int8"))
    for given, why in (("", "wants the first digits of an id"), (" ", "wants the first digits"),
                       ("abc", "short for 2 records"), ("zzz", "no record 'zzz'")):  # fmt: skip
        done = effmark("show", given)
        assert done.returncode == 2, given
        assert why in done.stderr
        assert done.stdout == ""
    assert json.loads(effmark("show", "abc2").stdout)["id"] == "abc2"
