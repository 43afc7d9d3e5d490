"""The leaderboard as JSON: every cell with its numbers, their intervals and their ranks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from effmark.report.cell_places import Place, cell_places
from effmark.report.configurations import machines_of
from effmark.report.standing import marks
from effmark.rows import ROWS_SCHEMA_VERSION, Row, row_json

__all__ = ["json_text"]


def json_text(rows: Sequence[Row]) -> str:
    """Return the published document of rows; a number without a rank says why."""
    each = zip(rows, machines_of(rows), cell_places(rows), strict=True)
    told = [_row(row, machine, places) for row, machine, places in each]
    return json.dumps({"schema_version": ROWS_SCHEMA_VERSION, "rows": told}, allow_nan=False)


def _row(row: Row, machine: str, places: Mapping[str, Place]) -> dict[str, Any]:
    told = row_json(row) | {"machine": machine, "marks": marks(row)}
    for name, place in places.items():
        told["metrics"][name] |= _place(place)
    return told


def _place(place: Place) -> dict[str, Any]:
    if isinstance(place, str):
        return {"no_rank": place}
    rank, ranked = place
    return {"rank": {"low": rank.low, "high": rank.high, "of": ranked, "certain": rank.certain}}
