"""Which numbers go out, under which names.

A number goes out where it has a rank on the leaderboard; with everything, the others do, too, and
carry their mark. Facts without a direction (FLOPs per token) stay at home.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from effmark.metrics import METRICS, Metric
from effmark.report.configurations import machines_of, suite_of
from effmark.report.names import plain
from effmark.report.standing import exclusion, family, marks
from effmark.rows import Number, Row

__all__ = ["Choice", "Entry", "Outgoing", "cell_titles", "file_name", "outgoing"]

_QUALITY_ONLY = frozenset({"random", "dequantised"})
_COST_ONLY = frozenset({"emulated"})


@dataclass(frozen=True)
class Choice:
    """What a user wants to go out."""

    metrics: tuple[str, ...] = ()
    """Only these; none for all."""
    everything: bool = False
    """Whether numbers without a rank go out, too, marked."""
    datasets: Mapping[str, str] = field(default_factory=dict)
    """Hub datasets by task, for `hf-eval-results`: `ORG/NAME` or `ORG/NAME:TASK`."""


@dataclass(frozen=True)
class Entry:
    """One number of one cell."""

    row: Row
    machine: str
    title: str
    """Name of the cell, different for different cells."""
    metric: Metric
    number: Number
    mark: str
    """Why it has no rank; empty where it has one."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return the marks of the cell that touch this kind of number, and its own, worst first."""
        kind = family(self.metric.name)
        apart = _QUALITY_ONLY if kind not in ("quality", "joined") else frozenset()
        apart |= _COST_ONLY if kind in ("quality", "size") else frozenset()
        found = [mark for mark in marks(self.row) if mark not in apart]
        return tuple(dict.fromkeys([*found, *([self.mark] if self.mark else [])]))


@dataclass(frozen=True)
class Outgoing:
    """What goes out, and how much stays, by reason."""

    entries: tuple[Entry, ...]
    left_out: Counter[str]

    def by_cell(self) -> dict[str, list[Entry]]:
        """Return the entries of each cell, by its title."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.title, []).append(entry)
        return found


def outgoing(rows: Sequence[Row], choice: Choice, *, finite: bool = True) -> Outgoing:
    """Return the numbers that go out.

    Args:
        rows: cells of any suites and machines.
        choice: what is wanted.
        finite: whether infinite scores stay, because the format has no infinity.
    """
    entries, left_out = [], Counter[str]()
    titled = zip(rows, machines_of(rows), cell_titles(rows), strict=True)
    for row, machine, title in titled:
        for name, number in row.metrics.items():
            if choice.metrics and name not in choice.metrics:
                continue
            if not isinstance(number, Number) or METRICS[name].direction == "none":
                continue
            mark = exclusion(row, name)
            if mark and not choice.everything:
                left_out[mark] += 1
            elif finite and not math.isfinite(number.value):
                left_out["infinite"] += 1
            else:
                entries.append(Entry(row, machine, title, METRICS[name], number, mark))
    return Outgoing(tuple(entries), left_out)


def cell_titles(rows: Sequence[Row]) -> list[str]:
    """Return a name for each cell that stays the same from run to run; the machine where needed."""
    short = [_title(row) for row in rows]
    long = [f"{t} · {plain(m)}" for t, m in zip(short, machines_of(rows), strict=True)]
    often, titles = Counter(short), []
    seen: Counter[str] = Counter()
    for brief, full in zip(short, long, strict=True):
        title = full if often[brief] > 1 else brief
        seen[title] += 1
        titles.append(title if seen[title] == 1 else f"{title} · {seen[title]}")
    return titles


def file_name(parts: Sequence[str], ending: str) -> str:
    """Return a name that is one file in any folder, whatever a model is called."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", "_".join(parts)).strip(".-")
    return f"{safe[-120:]}.{ending}"


def _title(row: Row) -> str:
    model, adapter, precision, options, device = row.configuration
    where = "" if device == "cpu" else f"on {device}"
    name = " ".join(part for part in (adapter, precision, options, where) if part)
    parts = (suite_of(row), model, name, row.record.cell.workload.label)
    return " · ".join(plain(part) for part in parts)
