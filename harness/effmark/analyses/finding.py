"""What an analysis says: a conclusion, its tables, and what it does not say.

Terminal, JSON and page are renderings of this; nothing is computed after it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from effmark.errors import SpecError
from effmark.record import Missing
from effmark.units import format_quantity

__all__ = ["Cell", "Finding", "Quantity", "Table", "TooLittle", "cell_text", "finding_json"]

FINDING_SCHEMA_VERSION = 1


class TooLittle(SpecError):
    """The results do not hold what an analysis needs; the sentence says what would be needed."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit and, where it is known, its 95 % interval."""

    value: float
    unit: str = "ratio"
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """Return the number for people: `12.3 ms (12.1–12.6)`, `1.52 (1.43–1.61)`."""
        text = self.short
        if self.low is None or self.high is None:
            return text
        low, high = (format_quantity(bound, self.unit) for bound in (self.low, self.high))
        if low == high == text:
            return text
        units = {shown.partition(" ")[2] for shown in (text, low, high)}
        if len(units) == 1:  # the same prefix and unit: said once
            low, high = low.partition(" ")[0], high.partition(" ")[0]
        return f"{text} ({low}–{high})"

    @property
    def short(self) -> str:
        """Return the number for people without its interval."""
        if self.value == 0 and self.unit != "ratio":
            return f"0 {self.unit}"  # without a prefix that nothing calls for
        return format_quantity(self.value, self.unit)


Cell = str | Quantity | Missing
"""What stands in a table: a text, a number, or why there is none."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of one analysis for one suite on one machine."""

    analysis: str
    """Name of the analysis, as the command line has it."""
    title: str
    conclusion: str
    """One sentence."""
    caveats: tuple[str, ...]
    """What it does not say, one sentence each."""
    tables: tuple[Table, ...]
    suite: str = ""
    machine: str = ""
    workload: str = ""
    """Label of the workload that costs come from; empty where several take part."""
    values: dict[str, Any] = field(default_factory=dict)
    """The numbers of the conclusion by name, for programs: no texts need to be read back."""


def cell_text(cell: Cell) -> str:
    """Return a cell for people; a missing number is a dash."""
    if isinstance(cell, Missing):
        return "–"
    return cell if isinstance(cell, str) else cell.text


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return a finding as published by `effmark analyse --json` and read by the page."""
    return {
        "schema_version": FINDING_SCHEMA_VERSION,
        "analysis": finding.analysis,
        "title": finding.title,
        "suite": finding.suite,
        "machine": finding.machine,
        "workload": finding.workload,
        "conclusion": finding.conclusion,
        "caveats": list(finding.caveats),
        "values": finding.values,
        "tables": [
            {
                "title": table.title,
                "columns": list(table.columns),
                "rows": [_row_json(row) for row in table.rows],
            }
            for table in finding.tables
        ],
    }


def _row_json(row: Sequence[Cell]) -> list[dict[str, Any]]:
    return [_cell_json(cell) for cell in row]


def _cell_json(cell: Cell) -> dict[str, Any]:
    if isinstance(cell, str):
        return {"text": cell}
    if isinstance(cell, Missing):
        return {"text": cell_text(cell), "missing": cell.reason, "detail": cell.detail}
    bounds = {"low": cell.low, "high": cell.high} if cell.low is not None else {}
    numbers = {name: _finite(v) for name, v in {"value": cell.value, **bounds}.items()}
    return {"text": cell.text, **numbers, "unit": cell.unit}


def _finite(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return "inf" if value > 0 else "-inf"
