"""What was measured, as a table for the terminal and as Markdown for a job summary or a comment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from effmark.report.names import markdown_text, plain

__all__ = ["markdown_summary", "text_summary"]

Row = dict[str, Any]

_COLUMNS = {
    "latency": ("latency_s", "e2e_latency_s"),
    "tok/s": ("output_token_throughput",),
    "CPU": ("cpu_s_per_call", "cpu_s_per_output_token", "cpu_s_per_image"),
    "instructions": (
        "instructions_per_call",
        "instructions_per_output_token",
        "instructions_per_image",
    ),
    "peak memory": ("peak_memory_b",),
    "grown by": ("working_memory_b",),
    "energy": ("energy_j_per_output_token", "energy_j_per_image", "energy_j_per_call"),
    "accuracy": ("accuracy",),
}
_MARKS = {"valid": "", "suspect": "? ", "invalid": "! "}
_MARKER = "<!-- effmark pytest -->"
"""Lets a bot find its comment again and replace it."""
_MOST_NOTES = 12


def text_summary(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the terminal section."""
    headings, cells = _table(rows)
    cells = [[plain(cell) for cell in line] for line in cells]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (headings, *cells)
    ]
    return [*lines, *(plain(note, 400) for note in _notes(rows))]


def markdown_summary(rows: Sequence[Row], title: str = "effmark") -> str:
    """Return the same numbers as Markdown; names from tests are only themselves in it."""
    headings, cells = _table(rows)
    table = [headings, ["---"] * len(headings)]
    table += [[markdown_text(cell) for cell in line] for line in cells]
    lines = ["| " + " | ".join(line) + " |" for line in table]
    notes = [f"- {markdown_text(note)}" for note in _notes(rows)]
    worst = [row for row in rows if row["verdict"] == "worse"]
    head = f"### {title}: {len(rows)} measurements"
    head += f", {len(worst)} worse than the baseline" if worst else ""
    return "\n".join([_MARKER, head, "", *lines, "", *notes, ""])


def _table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    used = {
        heading: metrics
        for heading, metrics in _COLUMNS.items()
        if any(metric in row["shown"] for row in rows for metric in metrics)
    }
    compared = any(row["verdict"] for row in rows)
    headings = ["test", "measured", *used, *(["against baseline"] if compared else [])]
    cells = [
        [
            row["test"],
            _MARKS[row["validity"]] + row["name"],
            *(_shown(row, metrics) for metrics in used.values()),
            *([_verdict(row)] if compared else []),
        ]
        for row in rows
    ]
    return headings, cells


def _shown(row: Row, metrics: Sequence[str]) -> str:
    return next((row["shown"][m] for m in metrics if m in row["shown"]), "–")


def _verdict(row: Row) -> str:
    if row["ratio"] is None:
        return str(row["verdict"])
    interval = "" if row["low"] is None else f" [{row['low']:.3g}, {row['high']:.3g}]"
    return f"×{row['ratio']:.3g}{interval} {row['verdict']}"


def _notes(rows: Sequence[Row]) -> list[str]:
    """Return what is behind marks and missing numbers, each kind once."""
    notes = [
        f"{row['test']} {row['name']}: {row['verdict']}: {row['detail']}"
        for row in rows
        if row["verdict"] not in ("", "pass")
    ]
    notes += [f"{row['name']}: {row['outcome']}" for row in rows if row["outcome"] != "ok"]
    notes += _advice(rows)
    details = (row["missing"].get(m) for m in _COLUMNS["instructions"] for row in rows)
    absent = list(dict.fromkeys(detail for detail in details if detail))
    notes += [f"instructions missing: {absent[0]}"] if absent else []
    more = len(notes) - _MOST_NOTES
    return notes if more <= 0 else [*notes[:_MOST_NOTES], f"… and {more} more notes"]


def _advice(rows: Sequence[Row]) -> list[str]:
    """Return each kind of advice once, with how many measurements it concerns."""
    said: dict[str, list[str]] = {}
    for row in rows:
        for code in dict.fromkeys(words.partition(": ")[0] for words in row["advice"]):
            first = next(w for w in row["advice"] if w.startswith(f"{code}: "))
            said.setdefault(code, []).append(f"{first} ({row['name']})")
    return [
        words[0] if len(words) == 1 else f"{words[0]} and {len(words) - 1} more"
        for words in said.values()
    ]
