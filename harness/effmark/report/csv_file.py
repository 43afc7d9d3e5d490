"""The leaderboard as CSV: one line per cell and metric, unrounded; a missing number is empty."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from effmark.report.cell_places import Place, cell_places
from effmark.report.configurations import machines_of
from effmark.report.names import formula_free, plain
from effmark.report.standing import marks
from effmark.rows import Number, Row, row_json

__all__ = ["csv_text"]

_CELL = ("suite", "profile", "machine", "model", "adapter", "precision", "options", "workload",
         "device", "threads", "outcome", "validity", "marks")  # fmt: skip
_NUMBER = ("metric", "value", "low", "high", "unit", "n", "source", "method", "rank_low",
           "rank_high", "ranked", "no_rank", "reason", "detail")  # fmt: skip


def csv_text(rows: Sequence[Row]) -> str:
    """Return CSV with a heading; names that a spreadsheet would run as a formula are quoted."""
    out = io.StringIO()
    writer = csv.DictWriter(out, (*_CELL, *_NUMBER), lineterminator="\n", restval="")
    writer.writeheader()
    for row, machine, places in zip(rows, machines_of(rows), cell_places(rows), strict=True):
        for line in _lines(row, machine, places):
            writer.writerow({k: _safe(v) for k, v in line.items()})
    return out.getvalue()


def _safe(value: object) -> object:
    return formula_free(plain(value, 2000)) if isinstance(value, str) else value


def _lines(row: Row, machine: str, places: Mapping[str, Place]) -> Iterator[dict[str, object]]:
    """Yield a line per metric; a cell without any gives one line that says how it ended."""
    whole = row_json(row)
    cell = {name: whole[name] for name in _CELL if name in whole}
    cell |= {"machine": machine, "options": row.configuration[3],
             "marks": " ".join(marks(row))}  # fmt: skip
    if not row.metrics:
        yield {**cell, "reason": row.record.outcome, "detail": row.record.detail}
    for name, number in row.metrics.items():
        if isinstance(number, Number):
            told = whole["metrics"][name]
            number_of = {k: told[k] for k in told if told[k] is not None}
            yield {**cell, "metric": name, **number_of, **_place(places.get(name))}
        else:
            yield {**cell, "metric": name, "reason": number.reason, "detail": number.detail}


def _place(place: Place | None) -> dict[str, object]:
    if place is None:
        return {}
    if isinstance(place, str):
        return {"no_rank": place}
    rank, ranked = place
    return {"rank_low": rank.low, "rank_high": rank.high, "ranked": ranked}
