"""The leaderboard in a terminal: one line per configuration, cost beside quality.

What does not fit goes in this order: intervals other than that of the ranked metric, then columns,
the least wanted first. All that tie for the first place of a column are bold.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from effmark.metrics import metric
from effmark.report.layout import MARK_SIGNS, BoardLayout, Line, layouts
from effmark.report.names import plain
from effmark.report.standing import MARKS, marks
from effmark.rows import Row

__all__ = ["print_table"]

_GAP = 2
_FAILED_SHOWN = 12
_LINES_SHOWN = 60
"""Of each table: nobody reads more in a terminal."""
_LEGEND = """
± half of the 95 % interval · ~ estimated, not measured · – no rank
2–4: could hold places 2 to 4 · 1?: by value alone, its error is not known"""
_HEADINGS = {
    "output_token_throughput": "tok/s",
    "peak_memory_b": "memory",
    "effective_bits": "bits",
    "information_capacity": "capacity",
}
"""Shorter than on the page, where there is room."""


def print_table(rows: Sequence[Row], console: Console | None = None, by: str | None = None) -> None:
    """Print the boards of rows, and what is behind the marks."""
    console = console or Console()
    for layout in layouts(rows, by):
        if layout.lines:
            console.print(_title(layout))
            console.print(Text(plain(layout.answer, 400) + ("\n" if layout.answer else "")))
            console.print(_table(layout, console.width))
            _print_rest(layout, console)
        _print_failed(layout, console)
    _print_legend(rows, console)


def _table(layout: BoardLayout, width: int) -> Table:
    columns, intervals = _fitting(layout, width)
    table = Table(caption=_caption(layout), caption_justify="left", box=None,
                  padding=(0, _GAP, 0, 0), header_style="bold", row_styles=["", ""])  # fmt: skip
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("configuration", no_wrap=True, overflow="ellipsis")
    leaders = {name: layout.leaders(name) for name in columns}
    for name in columns:
        style = "underline" if name == layout.by else ""
        heading = Text(_heading(name), style=style)
        table.add_column(heading, justify="right", no_wrap=True)
    previous = None
    for model, index, line in _shown(layout):
        if model != previous:
            table.add_row("", Text(plain(model, 40), style="bold cyan"))
            previous = model
        table.add_row(line.rank, _name(line), *(
            _value(line, name, name in intervals, index in leaders[name]) for name in columns
        ))  # fmt: skip
    return table


def _shown(layout: BoardLayout) -> list[tuple[str, int, Line]]:
    return _by_model(layout)[:_LINES_SHOWN]


def _print_rest(layout: BoardLayout, console: Console) -> None:
    more = len(layout.lines) - _LINES_SHOWN
    if more > 0:
        text = f"… and {more:,} more lines: on the page, or with --format md, csv or json"
        console.print(Text(text, style="dim"))


def _by_model(layout: BoardLayout) -> list[tuple[str, int, Line]]:
    """Return the lines, those of a model together, models in the order of their best line."""
    models = [line.configuration.row.model for line in layout.lines]
    order = list(dict.fromkeys(models))
    lines = zip(models, range(len(models)), layout.lines, strict=True)
    return sorted(lines, key=lambda entry: order.index(entry[0]))


def _heading(name: str) -> str:
    return _HEADINGS.get(name, metric(name).label)


def _name(line: Line) -> Text:
    signs = "".join(MARK_SIGNS[mark] for mark in line.marks if mark in MARK_SIGNS)
    text = Text(f"  {plain(line.name, 40)}")
    return text.append(f" {signs}", style="yellow") if signs else text


def _value(line: Line, name: str, interval: bool, leads: bool) -> Text:
    shown = line.value(name, interval=interval)
    value, plus, spread = shown.partition(" ±")
    style = "dim" if shown == "missing" else "bold green" if leads else ""
    return Text(value, style=style).append(f"{plus}{spread}", style="dim")


def _fitting(layout: BoardLayout, width: int) -> tuple[list[str], set[str]]:
    """Return the columns that fit, and those of them whose intervals fit, too."""
    columns = list(layout.columns)
    if _width(layout, columns, set(columns)) <= width:
        return columns, set(columns)
    while len(columns) > 1 and _width(layout, columns, {layout.by}) > width:
        columns.remove(layout.least_wanted(columns))
    return columns, {layout.by}


def _width(layout: BoardLayout, columns: Sequence[str], intervals: set[str]) -> int:
    lines = [line for _, _, line in _shown(layout)]
    names = max((cell_len(_name(line).plain) for line in lines), default=0)
    models = max((min(40, cell_len(m)) for m, _, _ in _shown(layout)), default=0)
    ranks = max((len(line.rank) for line in lines), default=1)
    widths = [_column_width(layout, name, name in intervals) for name in columns]
    return sum((ranks, max(names, models, 13), *widths)) + _GAP * (2 + len(columns))


def _column_width(layout: BoardLayout, name: str, interval: bool) -> int:
    values = (cell_len(line.value(name, interval=interval)) for _, _, line in _shown(layout))
    return max([len(_heading(name)), *values])


def _title(layout: BoardLayout) -> Text:
    board = layout.board
    return Text(f"\n{plain(board.suite)} · {plain(board.machine)}", style="bold not italic")


def _caption(layout: BoardLayout) -> Text:
    parts = [f"ranked by {metric(layout.by).label}"]
    parts += [f"cost: {layout.board.workload}"] if layout.board.workload else []
    parts += [f"quality: {layout.quality}"] if layout.quality else []
    return Text(plain(" · ".join(parts), 300), style="dim not italic")


def _print_failed(layout: BoardLayout, console: Console) -> None:
    for outcome, where, why in layout.failures[:_FAILED_SHOWN]:
        console.print(
            Text.assemble((f"{outcome} ", "yellow"), plain(where), (f"  {plain(why)}", "dim"))
        )
    more = len(layout.failures) - _FAILED_SHOWN
    if more > 0:
        console.print(Text(f"… and {more} more without numbers", style="dim"))


def _print_legend(rows: Sequence[Row], console: Console) -> None:
    used = {mark for row in rows for mark in marks(row)}
    console.print(Text(_LEGEND, style="dim"))
    for mark, sign in MARK_SIGNS.items():
        if mark in used:
            console.print(Text(f"{sign} {mark}: {MARKS[mark]}", style="dim"))
