"""What the page knows: rows as compact JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from effmark.metrics import METRICS
from effmark.report.numbers import format_number
from effmark.rows import Row, known_metrics, row_json

__all__ = ["page_data"]


def page_data(rows: Sequence[Row], damage: Sequence[str] = ()) -> dict[str, Any]:
    """Return everything that the page shows."""
    names = known_metrics(rows)
    return {
        "title": "effmark leaderboard",
        "metrics": [
            {"name": n, "label": METRICS[n].label, "definition": METRICS[n].definition}
            for n in names
        ],
        "rows": [
            row_json(row)
            | {
                "text": {
                    n: format_number(number)
                    for n in names
                    if (number := row.number(n)) is not None
                }
            }
            for row in rows
        ],
        "skipped": list(damage),
    }
