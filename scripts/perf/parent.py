"""CPU of the process that waits while its worker measures, the live display included."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from rich.console import Console
from scripts.perf.rounds import median_of
from scripts.perf.table import Line, Promise, finish

from effmark.cache import default_cache
from effmark.executors.session import Session
from effmark.plan import ProcessPlan, make_plan
from effmark.record import Record
from effmark.report.progress import ProgressView
from effmark.spec import Budget, Cell, CellGroup, Decode, Precision, Suite

TITLE = "parent: CPU of the waiting parent, share of a core"
CELLS = 7
CELL_S = 4.0


class Watch:
    """Passes everything on to a display, and notes this process's CPU time while a cell runs."""

    def __init__(self, view: ProgressView) -> None:
        self._view = view
        self._marks: list[tuple[float, float]] = []
        self.shares: list[float] = []

    def process(self, process: ProcessPlan, phase: str) -> None:
        """Pass it on."""
        self._view.process(process, phase)

    def cell(self, cell: Cell, text: str) -> None:
        """Note the time: the worker is measuring."""
        self._marks.append((time.monotonic(), time.process_time()))
        self._view.cell(cell, text)

    def record(self, record: Record) -> None:
        """Keep the share between the first message of the cell and the last."""
        if record.outcome != "ok":
            raise RuntimeError(f"a cell failed: {record.detail}")
        (start, cpu_start), (end, cpu_end) = self._marks[0], self._marks[-1]
        self.shares.append((cpu_end - cpu_start) / (end - start))
        self._marks.clear()
        self._view.record(record)


def measure() -> list[Line]:
    """Return the median share of a core over several cells."""
    suite = Suite(
        suite="perf-parent",
        version=1,
        why="the parent waits",
        models=("synthetic",),
        cells=(CellGroup(adapter="sleep", precision=("none",)),),
        workloads=(Decode(prompt_tokens=1, new_tokens=8),),
        precision=Precision(rel_half_width=1e-6),
        budget=Budget(process_s=CELL_S, max_blocks=100_000),
    )
    plan = make_plan(suite, default_cache(), repetitions=CELLS)
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        console = Console(file=nowhere, force_terminal=True)
        view = ProgressView(plan, {}, console)
        watch = Watch(view)
        with view:
            Session(plan, Path(folder), default_cache(), watch, ["make", "perf"]).run({})
    return [Line(f"{CELLS} cells of {CELL_S:g} s", median_of(watch.shares), "", Promise(0.01))]


if __name__ == "__main__":
    finish(TITLE, measure())
