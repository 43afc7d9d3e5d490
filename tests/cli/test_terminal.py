"""Output that cannot be written as meant: signs, full and closed streams, readers who left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from effmark.record import Record
from effmark.store import Journal, read_records

Command = Callable[..., "subprocess.CompletedProcess[str]"]
Make = Callable[..., Record]


@pytest.fixture
def results(tmp_path: Path, make_record: Make) -> Path:
    with Journal(tmp_path / "results", "toy", 1) as journal:
        for number in range(3):
            journal.append(make_record(model="modèle", precision=f"q{number}"))
    return tmp_path / "results"


def shell(folder: Path, command: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run a shell command in which EFFMARK stands for the command line."""
    line = command.replace("EFFMARK", f"'{sys.executable}' -m effmark")
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], cwd=folder, capture_output=True, timeout=240,
        check=False, env={**os.environ, "EFFMARK_RESULTS": str(folder / "results"), **env},
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_signs_that_a_terminal_lacks_are_replaced(results: Path, encoding: str) -> None:
    told = shell(results.parent, "EFFMARK leaderboard", PYTHONIOENCODING=encoding)
    assert told.returncode == 0, told.stderr
    text = told.stdout.decode(encoding)
    assert ("mod?le" if encoding == "ascii" else "modèle") in text
    assert "2-4: could hold places 2 to 4" in text
    assert ("+- half" if encoding == "ascii" else "± half") in text
    assert "page: " in told.stderr.decode("ascii")


@pytest.mark.parametrize(
    "command", ["leaderboard --json", "export bencher results", "export junit results", "show ID"]
)
def test_data_is_utf_8_in_every_terminal(results: Path, command: str) -> None:
    name = next(read_records(results)).id
    told = shell(results.parent, f"EFFMARK {command.replace('ID', name)}", PYTHONIOENCODING="ascii")
    assert told.returncode == 0, told.stderr
    text = told.stdout.decode()
    assert "modèle" in text or "modèle" in json.loads(text)["rows"][0]["model"]


def test_a_reader_who_leaves_costs_neither_the_page_nor_the_exit_code(results: Path) -> None:
    told = shell(results.parent, "EFFMARK leaderboard | head -c 1; exit ${PIPESTATUS[0]}")
    assert (told.returncode, len(told.stdout)) == (0, 1), told.stderr
    assert (results / "index.html").is_file()
    assert b"page: " in told.stderr


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-", "2>&-"])
def test_closed_streams_cost_the_table_and_not_the_page(results: Path, closed: str) -> None:
    told = shell(results.parent, f"EFFMARK leaderboard {closed}")
    assert told.returncode == 0
    assert (results / "index.html").is_file()


@pytest.mark.parametrize(
    ("command", "code"),
    [("leaderboard", 5), ("leaderboard --json", 5), ("export bencher results", 5), ("nope", 2)],
)
def test_a_full_disk_below_the_output_is_said_and_ends_in_an_exit_code(
    results: Path, command: str, code: int
) -> None:
    told = shell(results.parent, f"EFFMARK {command} > /dev/full")
    assert told.returncode == code
    assert (b"standard output cannot be written: No space left" in told.stderr) == (code == 5)
    assert b"Traceback" not in told.stderr
    assert (results / "index.html").is_file() == (command == "leaderboard")
    assert shell(results.parent, f"EFFMARK {command} 2> /dev/full").returncode in (0, code)


@pytest.mark.parametrize("where", ["> /dev/full", "| head -c 1; exit ${PIPESTATUS[0]}"])
def test_a_run_keeps_its_records_and_its_page_whatever_becomes_of_its_table(
    toy: Path, tmp_path: Path, where: str
) -> None:
    told = shell(tmp_path, f"EFFMARK run toy.yaml --only synthetic_lm/fp32 {where}",
                 PYTHONIOENCODING="ascii")  # fmt: skip
    assert told.returncode == (5 if "full" in where else 0), told.stderr
    assert (tmp_path / "results" / "index.html").is_file()
    assert b"ok" in shell(tmp_path, "EFFMARK leaderboard --json").stdout


def test_arguments_that_are_no_text_are_one_line(tmp_path: Path) -> None:
    told = shell(tmp_path, "EFFMARK run $'caf\\xe9.yaml'")
    assert told.returncode == 2
    assert told.stderr == b"effmark: argument 'caf\\udce9.yaml' is no UTF-8; rename the file\n"
