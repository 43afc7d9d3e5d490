"""The store at scale: writing, first reading, refreshing, asking, and the page of everything.

    python -m scripts.perf.store [RECORDS] [FOLDER]

A folder that is given keeps its journals for the next time. Writing a million records takes some
minutes, and so does their first reading; `make perf` does it with a tenth of that.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.perf.journals import synthetic_records, write_journals
from scripts.perf.rounds import known, median_of
from scripts.perf.table import Line, Promise, finish

from effmark.catalogue import CACHE_FOLDER, Catalogue
from effmark.gathering import gather
from effmark.report.page import write_page
from effmark.store import Journal

TITLE = "store: synthetic records, written, asked and shown"
RECORDS = 100_000
SMALL = 100
ROUNDS = 5
ASKED_S, FRONT_S, PAGE_S, PAGE_B = 0.2, 1.0, 5.0, 3_000_000


def seconds(task: Callable[[], Any]) -> float:
    """Return the wall time of a call in seconds."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def timed(what: str, task: Callable[[], Any], promise_s: float | None = None) -> Line:
    """Return the median time of a few calls."""
    found = median_of([seconds(task) for _ in range(ROUNDS)])
    return Line(what, found, "s", None if promise_s is None else Promise(promise_s))


def once(what: str, task: Callable[[], Any], promise_s: float | None = None) -> Line:
    """Return the time of one call."""
    promise = None if promise_s is None else Promise(promise_s)
    return Line(what, known(seconds(task)), "s", promise)


def store_lines(results: Path, count: int) -> list[Line]:
    """Return the cost of writing and of a first reading of everything."""
    lines = []
    if not results.exists():
        lines.append(once(f"write {count} records", lambda: write_journals(results, count)))
    size_b = sum(path.stat().st_size for path in results.rglob("*.jsonl"))
    shutil.rmtree(results / CACHE_FOLDER, ignore_errors=True)
    lines.append(once("first reading into the catalogue", lambda: Catalogue(results)))
    cache_b = sum(path.stat().st_size for path in (results / CACHE_FOLDER).iterdir())
    return [Line("journals", known(size_b), "B"), *lines, Line("catalogue", known(cache_b), "B")]


def append_and_open(results: Path) -> Callable[[], Any]:
    """Return a task that brings the catalogue up to date after new records were written."""
    number = time.time_ns()
    with Journal(results, "synthetic", 1) as journal:
        journal.append(*synthetic_records(SMALL, number))
    return lambda: Catalogue(results)


def question_lines(results: Path) -> list[Line]:
    """Return the time of refreshing and of questions, from a catalogue that is there."""
    refreshes = [seconds(append_and_open(results)) for _ in range(ROUNDS)]
    catalogue = Catalogue(results)
    return [
        timed("open, nothing new", lambda: Catalogue(results), ASKED_S),
        Line(f"open, {SMALL} new records", median_of(refreshes), "s", Promise(ASKED_S)),
        timed("filter: count of one adapter and precision",
              lambda: catalogue.count(adapter="torch", precision="int8"), ASKED_S),
        timed("best 100 of everything", lambda: catalogue.best("tpot_s", 100), ASKED_S),
        timed("best of one model and machine",
              lambda: catalogue.best("tpot_s", 10, model="model-3", machine="CPU 1 x8"), ASKED_S),
        timed("best of each suite, machine, workload and model",
              lambda: catalogue.best_of_each("tpot_s"), ASKED_S),
        timed("a record by its id", lambda: catalogue.find("0123456789ab"), ASKED_S),
        timed("fronts of time and memory", lambda: catalogue.front("tpot_s", "peak_memory_b"),
              FRONT_S),
        timed("fronts of time and accuracy", lambda: catalogue.front("tpot_s", "accuracy"),
              FRONT_S),
    ]  # fmt: skip


def page_lines(results: Path) -> list[Line]:
    """Return the time and the size of the page of everything."""
    page = results / "index.html"

    def make() -> None:
        found = gather(results)
        write_page(found.rows, page, found.damage.places)

    make()  # the modules that it needs
    (results / CACHE_FOLDER / "numbers.sqlite").unlink(missing_ok=True)
    first = once("page, all numbers computed", make, PAGE_S)
    again = timed("page, numbers known", make, PAGE_S)
    return [first, again, Line("page", known(page.stat().st_size), "B", Promise(PAGE_B))]


def command_lines(folder: Path) -> list[Line]:
    """Return the time of whole commands on a folder of a hundred records."""
    write_journals(folder, SMALL)
    effmark = str(Path(sys.executable).parent / "effmark")

    def run(*options: str) -> Callable[[], Any]:
        command = [effmark, "leaderboard", str(folder), *options]
        return lambda: subprocess.run(command, check=True, capture_output=True)

    return [
        once(f"leaderboard --json, {SMALL} records, first", run("--json")),
        timed(f"leaderboard --json, {SMALL} records, again", run("--json")),
        timed(f"leaderboard and page, {SMALL} records, again", run()),
    ]


def measure(count: int = RECORDS, kept: Path | None = None) -> list[Line]:
    """Return all lines of a folder with that many records.

    Args:
        count: records.
        kept: a folder to write to or to use again; None: one that is gone afterwards.
    """
    with tempfile.TemporaryDirectory() as own:
        results = kept or Path(own) / "results"
        lines = [*store_lines(results, count), *question_lines(results), *page_lines(results)]
        return [*lines, *command_lines(Path(own) / "small")]


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    finish(TITLE, measure(count, Path(sys.argv[2]) if len(sys.argv) > 2 else None))
