"""The leaderboard as GitHub-flavoured Markdown: the numbers of the terminal table."""

from __future__ import annotations

from collections.abc import Sequence

from effmark.metrics import metric
from effmark.report.layout import BoardLayout, Line, layouts
from effmark.report.names import markdown_text
from effmark.rows import Row

__all__ = ["markdown"]

_ARROWS = {"lower": " ↓", "higher": " ↑", "none": ""}


def markdown(rows: Sequence[Row], by: str | None = None) -> str:
    """Return one table per board, with a legend; `No records.` without rows."""
    parts = [_board(layout) for layout in layouts(rows, by)]
    if not parts:
        return "No records.\n"
    legend = (
        "± half of the 95 % interval; ~ estimated, not measured; rank 2–4: could hold places 2 to "
        "4; 1?: by value alone; – : no rank, the mark or the missing number says why."
    )
    return "\n".join([*parts, legend, ""])


def _board(layout: BoardLayout) -> str:
    board = layout.board
    about = [f"ranked by {metric(layout.by).label}"]
    about += [f"cost: {markdown_text(board.workload)}"] if board.workload else []
    about += [f"quality: {markdown_text(layout.quality)}"] if layout.quality else []
    headings = ["rank", "model", "configuration", *map(_heading, layout.columns)]
    alignment = ["--:", ":--", ":--", *("--:" for _ in layout.columns)]
    lines = [
        f"### {markdown_text(board.suite)} · {markdown_text(board.machine)}",
        "",
        *([markdown_text(layout.answer), ""] if layout.answer else []),
        " · ".join(about),
        "",
        _row(headings),
        _row(alignment),
        *(_row(_cells(layout, line)) for line in layout.lines),
        "",
    ]
    lines += [
        f"- {markdown_text(where)}: {outcome}. {markdown_text(why)}"
        for outcome, where, why in layout.failures
    ]
    return "\n".join([*lines, ""] if layout.failed else lines)


def _heading(name: str) -> str:
    return metric(name).label + _ARROWS[metric(name).direction]


def _cells(layout: BoardLayout, line: Line) -> list[str]:
    model = line.configuration.row.model
    marks = f" ({', '.join(line.marks)})" if line.marks else ""
    values = [line.value(name, interval=True) for name in layout.columns]
    return [line.rank, markdown_text(model), markdown_text(line.name) + marks, *values]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
