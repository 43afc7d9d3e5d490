"""The finding of an analysis in a terminal: the conclusion first, tables, what it does not say.

A table that is too wide gives up its intervals, all but those of the last number.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from effmark.analyses.finding import Cell, Finding, Quantity, Table, cell_text
from effmark.record import Missing
from effmark.report.names import plain

__all__ = ["print_catalogue", "print_finding"]

_GAP = 2
_SHOWN = 30
_MOST_NAME = 90


def print_finding(finding: Finding, console: Console | None = None) -> None:
    """Print a finding."""
    console = console or Console()
    where = " · ".join(t for t in (finding.suite, finding.machine, finding.workload) if t)
    console.print(Text.assemble(("\n" + finding.title, "bold"), (f"  {plain(where)}", "dim")))
    console.print(Text(plain(finding.conclusion, 600), style="green"))
    for table in finding.tables:
        console.print()
        console.print(_table(table, console.width))
        more = len(table.rows) - _SHOWN
        if more > 0:
            console.print(Text(f"… and {more} more; --json has all", style="dim"))
    console.print()
    for caveat in finding.caveats:
        console.print(Text(f"· {plain(caveat, 400)}", style="dim"))


def print_catalogue(entries: Sequence[tuple[str, str]], console: Console | None = None) -> None:
    """Print names with a line each."""
    console = console or Console()
    table = RichTable(box=None, padding=(0, _GAP, 0, 0), show_header=False)
    for name, line in entries:
        table.add_row(Text(name, style="bold cyan"), line)
    console.print(table)


def _table(table: Table, width: int) -> RichTable:
    rows = table.rows[:_SHOWN]
    texts = _fitting(table.columns, rows, width)
    shown = RichTable(title=Text(table.title, style="dim not italic"), title_justify="left",
                      box=None, padding=(0, _GAP, 0, 0), header_style="bold")  # fmt: skip
    widths = _widths(table.columns, texts)
    for index, (column, wide) in enumerate(zip(table.columns, widths, strict=True)):
        words = index == 0 or not _is_numeric(texts, index)
        shown.add_column(column, justify="left" if words else "right", overflow="fold", width=wide)
    for row in texts:
        shown.add_row(*(_styled(text, cell) for text, cell in row))
    return shown


_Texts = list[list[tuple[str, Cell]]]


def _texts(rows: Sequence[Sequence[Cell]], intervals: frozenset[int]) -> _Texts:
    return [[(_text(cell, i in intervals), cell) for i, cell in enumerate(row)] for row in rows]


def _text(cell: Cell, interval: bool) -> str:
    text = cell.short if isinstance(cell, Quantity) and not interval else cell_text(cell)
    return plain(text, _MOST_NAME)


def _fitting(columns: Sequence[str], rows: Sequence[Sequence[Cell]], width: int) -> _Texts:
    """Return the texts with all intervals, with those of the last number, or with none."""
    bounded = sorted({
        i for row in rows for i, cell in enumerate(row)
        if isinstance(cell, Quantity) and cell.low is not None
    })  # fmt: skip
    for kept in (bounded, bounded[-1:]):
        texts = _texts(rows, frozenset(kept))
        if _width(columns, texts) <= width:
            return texts
    return _texts(rows, frozenset())


def _width(columns: Sequence[str], rows: _Texts) -> int:
    return sum(_widths(columns, rows)) + _GAP * len(columns)


def _widths(columns: Sequence[str], rows: _Texts) -> list[int]:
    """Return how wide the columns of a table are whose headings may break between words."""
    words = [max(map(cell_len, c.split()), default=0) for c in columns]
    return [max([w, *(cell_len(row[i][0]) for row in rows)]) for i, w in enumerate(words)]


def _is_numeric(rows: _Texts, index: int) -> bool:
    return all(row[index][0][:1].isdigit() or row[index][0][:1] in "<>×–+-" for row in rows)


def _styled(text: str, cell: Cell) -> Text:
    if isinstance(cell, Missing):
        return Text(text, style="dim")
    value, bracket, bounds = text.partition(" (") if isinstance(cell, Quantity) else (text, "", "")
    return Text(value).append(bracket + bounds, style="dim")
