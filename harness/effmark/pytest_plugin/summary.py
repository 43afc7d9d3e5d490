"""What was measured, as a table for the terminal and as Markdown for a job summary or a comment."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal

from effmark.metrics import metric
from effmark.report.names import markdown_text, plain

__all__ = ["Line", "markdown_summary", "text_summary"]

Row = dict[str, Any]
Colour = Literal["", "red", "yellow", "green", "bold"]
Line = tuple[str, Colour]
"""A line of the terminal and its colour."""

_COLUMNS = {
    "latency": ("latency_s", "e2e_latency_s"),
    "throughput": ("output_token_throughput", "image_throughput"),
    "CPU": ("cpu_s_per_call", "cpu_s_per_output_token", "cpu_s_per_image"),
    "instructions": (
        "instructions_per_call",
        "instructions_per_output_token",
        "instructions_per_image",
    ),
    "bytecodes": ("bytecodes_per_call",),
    "energy": ("energy_j_per_output_token", "energy_j_per_image", "energy_j_per_call"),
    "accuracy": ("accuracy",),
    "peak memory": ("peak_memory_b",),
    "grown by": ("working_memory_b",),
}
_BLOCKS = "blocks"
_BASELINE = "against baseline"
_INTERVAL = "its interval"
_GIVEN_UP = ("grown by", _BLOCKS, _INTERVAL, "peak memory", "CPU", "throughput", "energy")
"""Columns that a narrow terminal does without, the first of them first."""
_MARKS = {"valid": "", "suspect": "? ", "invalid": "! "}
_LEGEND = {"suspect": "? suspect", "invalid": "! invalid"}
_COLOURS: dict[str, Colour] = {"worse": "red", "pass": "green", "": ""}
_MARKER = "<!-- effmark pytest -->"
"""Lets a bot find its comment again and replace it."""
_MOST_NOTES = 12
_MOST_ROWS = 200
"""A comment on GitHub takes 65,536 characters, about 250 rows."""
_NAME = 48
"""Columns for a name before numbers have to go."""
_SHORTEST_NAME = 24
_PIECE = 100


def text_summary(rows: Sequence[Row], width: int = 100) -> list[Line]:
    """Return the lines of the terminal section, tests below their files.

    Args:
        rows: what was measured.
        width: columns of the terminal; a table that is wider does without the least of its own.
    """
    rows = sorted(rows, key=_file)
    headings = ["", *_headings(rows)]
    names = [_name(row) for row in rows]
    has_intervals = any(row["low"] != row["high"] for row in rows)
    given_up: list[str] = []
    while True:
        cells = [
            [name, *_cells(row, headings[1:], brief=_INTERVAL in given_up)]
            for name, row in zip(names, rows, strict=True)
        ]
        widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
        room = width - sum(widths[1:]) - 2 * len(widths[1:])
        if room >= min(widths[0], _NAME):
            break
        compared = [_INTERVAL] if has_intervals and _INTERVAL not in given_up else []
        surplus = next((h for h in _GIVEN_UP if h in (*headings, *compared)), None)
        if surplus is None:
            break
        given_up.append(surplus)
        headings = [heading for heading in headings if heading != surplus]
    widths[0] = max(min(widths[0], room), _SHORTEST_NAME)
    lines: list[Line] = [(_line(headings, widths), "bold")]
    for file, group in groupby(zip(rows, cells, strict=True), lambda pair: _file(pair[0])):
        lines.append((plain(file, width), ""))
        lines += [(_line(line, widths), _colour(row)) for row, line in group]
    narrow = f"not shown in {width} columns: {', '.join(given_up)}"
    notes = [*_notes(rows), *([narrow] if given_up else [])]
    return [*lines, *((f"  {plain(note, 400)}", _note_colour(note)) for note in notes)]


def markdown_summary(rows: Sequence[Row], title: str = "effmark") -> str:
    """Return the same numbers as Markdown; names from tests are only themselves in it."""
    used = _headings(rows)
    table = [["test", "measured", *used]]
    table.append(["---", "---", *("---:" for _ in used)])
    for row in sorted(rows, key=_calm)[:_MOST_ROWS]:
        cells = [row["test"], _MARKS[row["validity"]] + row["name"], *_cells(row, used)]
        table.append([markdown_text(cell) for cell in cells])
    lines = ["| " + " | ".join(line) + " |" for line in table]
    notes = [f"- {_whole(note)}" for note in _notes(rows)]
    counted = [(v, sum(r["verdict"] == v for r in rows)) for v in ("worse", "undecided", "pass")]
    judged = ", ".join(f"{count} {verdict}" for verdict, count in counted if count)
    many = "1 measurement" if len(rows) == 1 else f"{len(rows)} measurements"
    head = f"### {title}: {many}" + (f", against the baseline: {judged}" if judged else "")
    more = len(rows) - _MOST_ROWS
    lines += [f"\n… and {more} more measurements"] if more > 0 else []
    return "\n".join([_MARKER, head, "", *lines, "", *notes, ""])


def _calm(row: Row) -> int:
    """Return a key by which what is worse comes first, then what could not be told."""
    order = ("worse", "undecided", "not comparable", "no baseline")
    return order.index(row["verdict"]) if row["verdict"] in order else len(order)


def _whole(note: str) -> str:
    """Return a long text as Markdown, which is cut short piece by piece, so not at all."""
    pieces = (note[i : i + _PIECE] for i in range(0, len(note), _PIECE))
    return "".join(markdown_text(piece) for piece in pieces)


def _headings(rows: Sequence[Row]) -> list[str]:
    used = [
        heading
        for heading, metrics in _COLUMNS.items()
        if any(metric in row["shown"] for row in rows for metric in metrics)
    ]
    blocks = [_BLOCKS] if any(row["blocks"] for row in rows) else []
    compared = [_BASELINE] if any(row["verdict"] for row in rows) else []
    return [*used, *blocks, *compared]


def _cells(row: Row, headings: Sequence[str], *, brief: bool = False) -> list[str]:
    cells = []
    for heading in headings:
        if heading == _BLOCKS:
            cells.append(_blocks(row))
        elif heading == _BASELINE:
            cells.append(_verdict(row, brief=brief))
        else:
            shown = row["shown"]
            cells.append(next((shown[m] for m in _COLUMNS[heading] if m in shown), "–"))
    return cells


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return names to the left, numbers to the right."""
    name = plain(cells[0], widths[0]).ljust(widths[0])
    numbers = [plain(c).rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True)]
    return "  ".join([name, *numbers]).rstrip()


def _file(row: Row) -> str:
    return str(row["test"]).partition("::")[0]


def _name(row: Row) -> str:
    test = str(row["test"]).partition("::")[2] or row["test"]
    measured = str(row["name"]).removeprefix("call ")
    return f"  {_MARKS[row['validity']]}{test} · {measured}"


def _blocks(row: Row) -> str:
    """Return how much was measured: processes, blocks, calls in a block."""
    text = f"{row['blocks']}×{row['calls']}" if row["calls"] > 1 else f"{row['blocks']}"
    return f"{text} in {row['processes']}" if row["processes"] > 1 else text


def _verdict(row: Row, *, brief: bool) -> str:
    if row["ratio"] is None:
        return str(row["verdict"])
    exact = row["low"] is None or row["low"] == row["high"]
    interval = "" if exact or brief else f" [{row['low']:.3g}, {row['high']:.3g}]"
    label = metric(row["judged"]).label
    of = "" if label == "latency" else label
    return f"{of} ×{row['ratio']:.3g}{interval} {row['verdict']}".lstrip()


def _colour(row: Row) -> Colour:
    return _COLOURS.get(row["verdict"], "yellow")


def _note_colour(note: str) -> Colour:
    return "red" if ": worse: " in note else ""


def _notes(rows: Sequence[Row]) -> list[str]:
    """Return what is behind marks and missing numbers, each kind once."""
    notes = [
        f"{row['test']} {row['name']}: {row['verdict']}: {row['detail']}"
        for row in rows
        if row["verdict"] not in ("", "pass")
    ]
    notes += _by_counts_alone(rows)
    notes += [f"{row['name']}: {row['outcome']}" for row in rows if row["outcome"] != "ok"]
    notes += _advice(rows)
    notes += _other_counts(rows)
    more = len(notes) - _MOST_NOTES
    return notes if more <= 0 else [*notes[:_MOST_NOTES], f"… and {more} more notes"]


def _by_counts_alone(rows: Sequence[Row]) -> list[str]:
    """Return what passed although its times could not tell: said, though once for all."""
    alone = [r for r in rows if r["verdict"] == "pass" and "alone;" in r["detail"]]
    if len(alone) < 2:
        return [f"{row['test']} {row['name']}: pass: {row['detail']}" for row in alone]
    why = str(alone[0]["detail"]).partition("alone; ")[2]
    return [f"{len(alone)} pass by counted instructions alone, the first of them because {why}"]


def _other_counts(rows: Sequence[Row]) -> list[str]:
    """Return what would decide where times did not, on a machine without instruction counts."""
    open_ = [row for row in rows if row["verdict"] == "undecided"]
    missing = [d for row in open_ for m in _COLUMNS["instructions"] if (d := row["missing"].get(m))]
    if not missing or any("bytecodes_per_call" in row["shown"] for row in open_):
        return []
    return [
        f"no instruction counts: {missing[0]}; --effmark-bytecodes counts the instructions of "
        "Python on every machine"
    ]


def _advice(rows: Sequence[Row]) -> list[str]:
    """Return each kind of advice once, with how many measurements it concerns."""
    said: dict[str, list[str]] = {}
    for row in rows:
        mark = _LEGEND.get(row["validity"], "")
        for code in dict.fromkeys(words.partition(": ")[0] for words in row["advice"]):
            first = next(w for w in row["advice"] if w.startswith(f"{code}: "))
            said.setdefault(code, []).append(f"{mark}: {first} ({row['name']})".lstrip(": "))
    return [
        words[0] if len(words) == 1 else f"{words[0]} and {len(words) - 1} more"
        for words in said.values()
    ]
