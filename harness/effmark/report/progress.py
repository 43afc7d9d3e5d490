"""Live progress of a run: what runs, what is left, how long. Plain lines where there is no tty."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from effmark.model_names import model_key, shown_names
from effmark.plan import Plan, ProcessPlan
from effmark.record import FINAL, Record
from effmark.report.names import plain
from effmark.report.numbers import format_number
from effmark.rows import make_rows
from effmark.spec import Cell
from effmark.units import format_duration

__all__ = ["ProgressView", "show_progress"]

_LONGEST_LINE = 2000
_HEADLINE = ("tpot_s", "ttft_s", "latency_s", "bits_per_byte", "accuracy")
"""The number that the line of an ended cell shows: the first of these that it has."""


class ProgressView:
    """Shows a run on stderr."""

    def __init__(self, plan: Plan, done: Mapping[str, Record], console: Console) -> None:
        self._console = console
        self._models = shown_names(cell.model for cell in plan.cells)
        self._left = [
            p for p in plan.processes
            if any(c.key not in done or done[c.key].outcome not in FINAL for c in p.cells)
        ]  # fmt: skip
        self._start = time.monotonic()
        self._causes: dict[tuple[str, str], list[str]] = {}
        """Names of the cells that failed in the same way."""
        self._live = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            refresh_per_second=1,
        )
        pending = sum(
            c.key not in done or done[c.key].outcome not in FINAL
            for p in self._left
            for c in p.cells
        )
        self._task = self._live.add_task("starting", total=pending)

    def process(self, process: ProcessPlan, phase: str) -> None:
        """Show that a process enters a phase."""
        if phase == "done":
            self._left = [p for p in self._left if p is not process]
            return
        self._describe(f"{process.label}: {phase}")

    def cell(self, cell: Cell, text: str) -> None:
        """Show what a cell is doing."""
        self._describe(f"{_name(cell, self._models)}: {text}")

    def record(self, record: Record) -> None:
        """Show that a cell has ended."""
        self._live.advance(self._task)
        if record.outcome != "ok" and self._is_told(record):
            return
        mark = {"ok": "[green]✓[/]", "unsupported": "[yellow]–[/]", "failed_setup": "[yellow]–[/]"}
        headline = (
            _headline(record) if record.outcome == "ok" else f"{record.outcome}: {record.detail}"
        )
        validity = "" if record.validity == "valid" else f" [yellow]{record.validity}[/]"
        sign = mark.get(record.outcome, "[red]✗[/]")
        said = escape(plain(f"{_name(record.cell, self._models)}  {headline}", _LONGEST_LINE))
        self._console.print(f"{sign} {said}{validity}", highlight=False)

    def _is_told(self, record: Record) -> bool:
        """Return whether a line says already why cells fail like this; remembers the cell."""
        alike = self._causes.setdefault((record.outcome, record.detail), [])
        alike.append(_name(record.cell, self._models))
        return len(alike) > 1

    def _describe(self, text: str) -> None:
        left = sum(p.estimate_s for p in self._left)
        spent = format_duration(time.monotonic() - self._start)
        description = f"{escape(plain(text))} · {spent} gone, about {format_duration(left)} left"
        self._live.update(self._task, description=description)

    def __enter__(self) -> ProgressView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        for (outcome, _cause), names in self._causes.items():
            if len(names) > 1:
                said = escape(plain(f"{len(names) - 1} more cells {outcome} like {names[0]}"))
                self._console.print(f"[yellow]–[/] {said}", highlight=False)


@contextmanager
def show_progress(plan: Plan, done: Mapping[str, Record]) -> Iterator[ProgressView]:
    """Show a run while the block runs."""
    with ProgressView(plan, done, Console(stderr=True)) as view:
        yield view


def _name(cell: Cell, models: Mapping[tuple[str, str], str]) -> str:
    options = "".join(f" {k}={v}" for k, v in sorted(cell.options.items()))
    model = models.get(model_key(cell.model), cell.model.name)
    return f"{model} · {cell.adapter} {cell.precision}{options} · {cell.workload.label}"


def _headline(record: Record) -> str:
    row = make_rows([record])[0]
    for name in _HEADLINE:
        number = row.number(name)
        if number is not None:
            return f"{name} {format_number(number)}"
    return ""
